"""Labels of nodes from a table of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.formats.tables.cells import blank_to_null, decode, guess_numbers, moments
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.source import open_source


def read_labels(
    path: Path,
    label: str,
    node_ids: NodeIds,
    *,
    others: Sequence[str] = (),
    id: str = "id",
    numbers: bool = False,
) -> pa.Table:
    """Read the labels of nodes from a table (csv, tsv, jsonl, parquet).

    Args:
        path: The file.
        label: Column of labels: strings, integers, or lists of strings. Null, empty or blank means no label.
        node_ids: Ids of the graph; those of the file must be among them.
        others: Further columns to read, those that the file has; text that holds numbers or dates becomes these.
        id: Column of the ids.
        numbers: The labels are numbers: text is read as such, and NaN means no label.

    Returns:
        Columns `id`, `label` and others, one row for each node that has a label.

    Raises:
        InputError: If the file or a column is missing, a cell is no text, ids are unknown or occur twice, or a label is
            no finite number where these are asked for.
    """
    defects = Defects()
    source = open_source(path, defects)
    source.require(id, label)
    roles = {"id": id, "label": label} | {name: name for name in others if name in source.names}
    parts = list(source.batches(list(dict.fromkeys(roles.values()))))
    if not parts:
        raise InputError(f"{path}: expected at least one row, got none")
    whole, columns = pa.concat_tables(parts), {}
    for role, name in roles.items():
        column = whole[name]
        if pa.types.is_binary(column.type) or pa.types.is_string(column.type):

            def note(row: int, detail: str, name: str = name) -> None:
                defects.add("bad-encoding", path, f"column {name}: {detail}", row=source.row_number(row))

            column = decode(column, note)
            column = column if role == "id" else blank_to_null(column)
        columns[role] = column if source.typed or role in ("id", "label") else _numbers_or_moments(column)
    defects.check()
    if not source.typed and node_ids.values.dtype != object:
        columns["id"] = guess_numbers(columns["id"])
    table = pa.table(columns)
    where = f"{path}, column {id}"
    node_ids.positions(NodeIds(table["id"], where=where).values, where=where)
    if numbers:
        values = _finite_numbers(table["label"], table["id"], f"{path}, column {label}")
        table = table.set_column(table.column_names.index("label"), "label", values)
    labels = table["label"]
    known = pc.is_valid(labels)
    if pa.types.is_list(labels.type) or pa.types.is_large_list(labels.type):
        known = pc.fill_null(pc.greater(pc.list_value_length(labels), 0), False)
    return table.filter(known)


def _finite_numbers(labels: pa.ChunkedArray, ids: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Labels as float64, null for NaN."""
    kind = labels.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        labels = pc.utf8_trim_whitespace(labels)
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InputError(f"{where}: expected numbers, got {kind}")
    try:
        values = labels.cast(pa.float64(), safe=False)
    except pa.ArrowInvalid:  # some text is no number: find it, to name it
        wrong = next(row for row, label in enumerate(labels) if not _is_number(label))
    else:
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
        wrong = pc.index(pc.fill_null(pc.is_inf(values), False), True).as_py()
        if wrong < 0:
            return values
    raise InputError(f"{where}: expected a finite number, got {labels[wrong].as_py()!r} for id {ids[wrong].as_py()!r}")


def _is_number(label: pa.Scalar) -> bool:
    try:
        label.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _numbers_or_moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    numbers = guess_numbers(column)
    if not pa.types.is_string(numbers.type):
        return numbers
    found = moments(column)
    return column if found is None else found
