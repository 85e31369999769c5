"""The nodes of a graph from one or several tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.errors import InputError, first_few
from mmgraph.formats.tables.cells import blank_to_null, decode, first_occurrences, guess_numbers, is_integers
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.images import ImageStore
from mmgraph.formats.tables.mapping import NodeTable
from mmgraph.formats.tables.source import TableSource

DEFAULT_TYPE = "node"
NodeFile = tuple[NodeTable, TableSource]
_ID, _TYPE, _FILE, _ROW = "id", "type", ".file", ".row"
_CONTENT, _LABEL, _EXTRA = "content:", "label:", "extra:"
_ROWS_WITH_BYTES = 1 << 10


@dataclass(eq=False)
class NodeRows:
    """Rows of all node tables, in the order of the files.

    Attributes:
        ids: Ids as strings or integers.
        types: Node types.
        content: Column of texts or paths by modality.
        labels: Columns of labels by name.
        extra: Columns that are carried along, by name.
    """

    ids: pa.ChunkedArray
    types: pa.ChunkedArray
    content: dict[str, pa.ChunkedArray] = field(default_factory=dict)
    labels: dict[str, pa.ChunkedArray] = field(default_factory=dict)
    extra: dict[str, pa.ChunkedArray] = field(default_factory=dict)

    def take(self, order: np.ndarray) -> NodeRows:
        """Rows at these positions."""
        index = pa.array(order)
        groups = ({k: v.take(index) for k, v in group.items()} for group in (self.content, self.labels, self.extra))
        return NodeRows(self.ids.take(index), self.types.take(index), *groups)


def read_nodes(
    tables: Sequence[NodeFile],
    images: ImageStore,
    defects: Defects,
    *,
    implied: Sequence[NodeFile] = (),
    ids_are_text: bool = False,
) -> NodeRows:
    """Read all node tables.

    Args:
        tables: Mappings and their files.
        images: Where images are looked for and checked.
        defects: Where defects are noted; rows without an id and repeated ids are left out.
        implied: Tables of other things that name nodes, such as the users of interactions. Ids that no table of nodes
            has become nodes without content.
        ids_are_text: Another table says that ids are strings. Otherwise they are integers if all of them are.

    Raises:
        InputError: If columns are missing, or ids of several tables do not fit together.
    """
    parts = [_read_table(number, *pair, images=images, defects=defects) for number, pair in enumerate(tables)]
    with defects.muted():  # what is wrong with them is noted when they are read as what they are
        parts += [_read_distinct(*pair, defects=defects) for pair in implied]
    ids = _unify_ids([part[_ID] for part in parts], [*tables, *implied], ids_are_text)
    parts = [
        part.set_column(part.column_names.index(_ID), _ID, column) for part, column in zip(parts, ids, strict=True)
    ]
    try:
        rows = pa.concat_tables(parts, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        files = first_few([str(source.path) for _, source in tables])
        raise InputError(
            f"columns of the same name must have the same type in {files}: {' '.join(str(error).split())}"
        ) from None
    _refuse_other_types(rows, implied)
    first = first_occurrences(rows[_ID])
    if not first.all():
        again = rows.filter(pa.array(~first))
        _note_duplicates(again.filter(pc.is_valid(again[_FILE])), tables, defects)
        rows = rows.filter(pa.array(first))

    def group(prefix: str) -> dict[str, pa.ChunkedArray]:
        return {n.removeprefix(prefix): rows[n] for n in rows.column_names if n.startswith(prefix)}

    return NodeRows(rows[_ID], rows[_TYPE], group(_CONTENT), group(_LABEL), group(_EXTRA))


def _read_table(
    number: int, mapping: NodeTable, source: TableSource, *, images: ImageStore, defects: Defects
) -> pa.Table:
    roles = mapping.roles
    source.require(*roles)
    extra = [name for name in source.names if name not in roles] if mapping.columns is None else list(mapping.columns)
    batch_rows = _ROWS_WITH_BYTES if mapping.image else 1 << 16
    done, position = [], 0
    for batch in source.batches([*roles, *extra], batch_rows=batch_rows):
        columns = _clean(batch, source, position, defects, skip=mapping.image)
        ids = with_prefix(columns[mapping.id], mapping.prefix)
        rows = np.fromiter((source.row_number(position + i) for i in range(batch.num_rows)), np.int64, batch.num_rows)
        position += batch.num_rows
        known = ids.is_valid()
        if not pc.all(known, min_count=0).as_py():
            for row in rows[~np.asarray(known)].tolist():
                defects.add("missing-id", source.path, f"column {mapping.id}: expected an id, got nothing", row=row)
        types = (
            columns[mapping.type_column].cast(pa.string()).fill_null(DEFAULT_TYPE)
            if mapping.type_column
            else pa.chunked_array([pa.array([mapping.type or DEFAULT_TYPE] * batch.num_rows, pa.string())])
        )
        table = {_ID: ids, _TYPE: types, _FILE: pa.array(np.full(batch.num_rows, number)), _ROW: pa.array(rows)}
        if mapping.text:
            table[f"{_CONTENT}text"] = _joined([columns[name] for name in mapping.text])
        if mapping.image or mapping.image_folder:
            cells = batch[mapping.image] if mapping.image else None
            table[f"{_CONTENT}image"] = images.find(mapping, source, cells, ids, rows)
        for name, kind in mapping.modalities.items():
            cells = blank_to_null(columns[name].cast(pa.string()))
            table[f"{_CONTENT}{name}"] = images.paths(cells) if kind == "file" else cells
        table |= {f"{_LABEL}{name}": columns[name] for name in mapping.labels}
        table |= {f"{_EXTRA}{name}": columns[name] for name in extra}
        done.append(pa.table(table).filter(known))
    whole = pa.concat_tables(done) if done else _empty(mapping)
    if not source.typed:
        for name in [name for name in whole.column_names if name.startswith(_EXTRA)]:
            whole = whole.set_column(whole.column_names.index(name), name, guess_numbers(whole[name]))
    return whole


def _refuse_other_types(rows: pa.Table, implied: Sequence[NodeFile]) -> None:
    """Refuse users whose ids are those of items: their interactions would join items with items.

    Raises:
        InputError: Names an id and says how to tell them apart.
    """
    named = rows.filter(pc.is_null(rows[_FILE]))
    known = rows.filter(pc.is_valid(rows[_FILE]))
    if not len(named) or not len(known):
        return
    files = " and ".join(f"{source.path}, column {mapping.id}" for mapping, source in implied)
    for kind in named[_TYPE].unique().to_pylist():
        # Also ids that are twice in the tables of nodes: the row that counts might be right for the user by chance.
        others = known.filter(pc.not_equal(known[_TYPE], kind))
        users = named.filter(pc.equal(named[_TYPE], kind))[_ID]
        position = pc.index_in(users, value_set=others[_ID].combine_chunks()).drop_null()
        if not len(position):
            continue
        at = position[0].as_py()
        node, other = others[_ID][at].as_py(), others[_TYPE][at].as_py()
        if pc.any(pc.and_(pc.equal(known[_ID], node), pc.equal(known[_TYPE], kind))).as_py():
            raise InputError(
                f"{files}: {node!r} is a {kind!r} and a {other!r} in the tables of nodes; give one of them a prefix in "
                f"a mapping, for example prefix '{kind}:' where its nodes are and user_prefix '{kind}:' here"
            )
        raise InputError(
            f"{files}: {node!r} should be a {kind!r}, but a table of nodes has it as {other!r}; "
            f"if that is what it is, give user_type {other!r} (--user-type {other}), "
            f"else give one of them a prefix, for example user_prefix 'user:' (--user-prefix user:)"
        )


def _read_distinct(mapping: NodeTable, source: TableSource, *, defects: Defects) -> pa.Table:
    """Each id once, with its type and nothing else."""
    none = pa.array([], pa.string())
    ids: pa.ChunkedArray = pa.chunked_array([none])
    for batch in source.batches([mapping.id]):
        column = with_prefix(_clean(batch, source, 0, defects, skip=None)[mapping.id], mapping.prefix).drop_null()
        before = ids if len(ids) else pa.chunked_array([], column.type)
        ids = pa.chunked_array([*before.chunks, *column.chunks], column.type).unique()
        ids = pa.chunked_array([ids])
    types = pa.array([mapping.type or DEFAULT_TYPE] * len(ids), pa.string())
    nothing = pa.nulls(len(ids), pa.int64())
    return pa.table({_ID: ids, _TYPE: types, _FILE: nothing, _ROW: nothing})


def _clean(
    batch: pa.Table, source: TableSource, first: int, defects: Defects, *, skip: str | None
) -> dict[str, pa.ChunkedArray]:
    """Columns by name, text as valid strings; the column of images is left as it is."""
    columns = {}
    for name in batch.column_names:
        column = batch[name]
        if name != skip and (pa.types.is_binary(column.type) or pa.types.is_string(column.type)):

            def note(row: int, detail: str, name: str = name) -> None:
                number = source.row_number(first + row)
                defects.add("bad-encoding", source.path, f"column {name}: {detail}", row=number)

            column = decode(column, note)
        columns[name] = column
    return columns


def with_prefix(column: pa.ChunkedArray, prefix: str) -> pa.ChunkedArray:
    """Ids with something put before them, as strings; unchanged if there is nothing to put."""
    if not prefix:
        return column
    return pc.binary_join_element_wise(prefix, column.cast(pa.string()), "")


def _joined(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Texts of several columns one after the other, null where all are blank."""
    texts = [blank_to_null(_as_text(column)) for column in columns]
    if len(texts) == 1:
        return texts[0]
    joined = pc.binary_join_element_wise(*texts, ". ", null_handling="skip")
    return blank_to_null(joined)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cells as text; of a list of texts, one after the other."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return pc.binary_join(column.cast(pa.list_(pa.string())), ". ")
    return column.cast(pa.string())


def _unify_ids(columns: list[pa.ChunkedArray], tables: Sequence[NodeFile], ids_are_text: bool) -> list[pa.ChunkedArray]:
    """Make the ids of all tables strings, or integers if every one of them is."""
    has_prefix = any(mapping.prefix for mapping, _ in tables)
    text = ids_are_text or has_prefix
    for column, (mapping, source) in zip(columns, tables, strict=True):
        if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
            raise InputError(
                f"{source.path}, column {mapping.id}: expected strings or integers as ids, got {column.type}"
            )
        is_text = pa.types.is_string(column.type) and len(column) > 0
        text = text or (is_text and (source.typed or not is_integers(column)))
    unified = []
    for column, (mapping, source) in zip(columns, tables, strict=True):
        where = f"{source.path}, column {mapping.id}"
        if text and pa.types.is_integer(column.type) and len(column) and not has_prefix:
            raise InputError(f"{where}: ids are integers here and strings elsewhere; make them alike, or use a prefix")
        try:
            unified.append(column.cast(pa.string() if text else pa.int64()))
        except pa.ArrowInvalid:
            raise InputError(f"{where}: expected integers of 64 bits; use strings for larger ones") from None
    return unified


def _note_duplicates(rows: pa.Table, tables: Sequence[NodeFile], defects: Defects) -> None:
    for file in sorted(set(rows[_FILE].to_pylist())):
        mapping, source = tables[file]
        inside = rows.filter(pc.equal(rows[_FILE], file))
        listed = zip(inside[_ID].to_pylist(), inside[_ROW].to_pylist(), strict=True)
        for node, row in listed:
            detail = f"column {mapping.id}: duplicate id {node!r}; the first row with it counts"
            defects.add("duplicate-id", source.path, detail, row=row, id=node)


def _empty(mapping: NodeTable) -> pa.Table:
    none = pa.array([], pa.string())
    names = [_ID, _TYPE, *(f"{_CONTENT}{name}" for name in (["text"] if mapping.text else []))]
    return pa.table(dict.fromkeys(names, none) | {_FILE: pa.array([], pa.int64()), _ROW: pa.array([], pa.int64())})
