"""Reading one RecBole atomic file: tab-separated, a header of `name:type`, no quoting."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from mmgraph.errors import InputError, first_few, unknown_choice

FIELD_TYPES = ("token", "token_seq", "float", "float_seq")
FIRST_LINE = 2
"""Line of the first row; the header is line 1."""


@dataclass(frozen=True, eq=False)
class AtomicFile:
    """Content of an atomic file.

    Attributes:
        where: How errors name the file.
        table: A column per field: `token` as string, `float` as number (integers stay integers), `token_seq` and
            `float_seq` as lists. Empty cells are null, empty sequences are empty lists.
        types: Field type by name.
    """

    where: str
    table: pa.Table
    types: dict[str, str]

    def line(self, row: int) -> str:
        """How errors name a row."""
        return f"{self.where}, line {row + FIRST_LINE}"

    def tokens(self, field: str) -> pa.ChunkedArray:
        """The ids in a field.

        Raises:
            InputError: If the field is missing, no `token`, or has an empty cell; names the line.
        """
        return self._complete(field, "token", f"expected a {field}")

    def numbers(self, field: str) -> pa.ChunkedArray:
        """The numbers in a field.

        Raises:
            InputError: If the field is missing, no `float`, or has an empty cell; names the line.
        """
        return self._complete(field, "float", f"expected a number as {field}")

    def values(self, field: str, kind: str) -> pa.ChunkedArray:
        """The cells of a field of some type, with gaps.

        Raises:
            InputError: If the field is missing or of another type.
        """
        if field not in self.types:
            raise InputError(f"{self.where}: missing field {field!r}; got {first_few(list(self.types), 10)}")
        if self.types[field] != kind:
            raise InputError(f"{self.where}: field {field!r} must be {kind}, got {self.types[field]!r}")
        return self.table[field]

    def _complete(self, field: str, kind: str, expected: str) -> pa.ChunkedArray:
        column = self.values(field, kind)
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise InputError(f"{self.line(row)}: {expected}, got an empty cell")
        return column


def parse_atomic(data: bytes, *, where: str) -> AtomicFile:
    """Read an atomic file.

    Args:
        data: Content of the file.
        where: Named in errors.

    Raises:
        InputError: If the header is missing or wrong, a row has another number of cells, a number is none, or the
            bytes are not UTF-8; names the line.

    References:
        RecBole's documentation, "Atomic Files"; `recbole/data/dataset/dataset.py`, version 1.2.1.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{where}, line {line}: expected UTF-8, got byte 0x{data[error.start]:02x}") from None
    head, _, rest = text.partition("\n")
    types = _parse_header(head.rstrip("\r"), where)
    strings = _rows(rest, list(types), where)
    columns = {}
    for name, kind in types.items():
        columns[name] = _convert(strings[name], kind, f"{name}:{kind}", where)
    return AtomicFile(where, pa.table(columns), types)


def _parse_header(head: str, where: str) -> dict[str, str]:
    if not head.strip():
        raise InputError(f"{where}, line 1: expected a header of name:type, got an empty line")
    types: dict[str, str] = {}
    for cell in head.split("\t"):
        name, colon, kind = cell.rpartition(":")
        if not colon or not name:
            raise InputError(f"{where}, line 1: expected a header of name:type, got {cell!r}")
        if kind not in FIELD_TYPES:
            raise InputError(f"{where}, line 1, {name!r}: {unknown_choice('field type', kind, FIELD_TYPES)}")
        if name in types:
            raise InputError(f"{where}, line 1: field {name!r} occurs twice")
        types[name] = kind
    return types


def _rows(text: str, names: list[str], where: str) -> pa.Table:
    if not text:
        return pa.table({name: pa.array([], pa.string()) for name in names})
    wrong: list[Any] = []

    def note(row: Any) -> str:
        wrong.append(row)
        return "skip"

    # One thread: otherwise Arrow does not know the number of a row.
    table = pa_csv.read_csv(
        io.BytesIO(text.encode()),
        read_options=pa_csv.ReadOptions(column_names=names, use_threads=False),
        parse_options=pa_csv.ParseOptions(
            delimiter="\t", quote_char=False, escape_char=False, ignore_empty_lines=False, invalid_row_handler=note
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )
    if wrong:
        row = wrong[0]
        raise InputError(
            f"{where}, line {row.number + 1}: expected {row.expected_columns} cells, got {row.actual_columns}"
        )
    return table


def _convert(column: pa.ChunkedArray, kind: str, field: str, where: str) -> pa.ChunkedArray:
    if kind.endswith("_seq"):
        lists = [list(filter(None, cell.split(" "))) for cell in column.to_pylist()]
        if kind == "token_seq":
            return pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])
        return pa.chunked_array([pa.array(_float_lists(lists, field, where), pa.list_(pa.float64()))])
    filled = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    return filled if kind == "token" else _numbers(filled, field, where)


def _numbers(column: pa.ChunkedArray, field: str, where: str) -> pa.ChunkedArray:
    """Integers where all are, so that times in nanoseconds keep their last digits."""
    for kind in (pa.int64(), pa.float64()):
        try:
            found = column.cast(kind)
        except pa.ArrowInvalid:
            continue
        if pc.all(pc.is_finite(found)).as_py() in (True, None):
            return found
    values = [None if cell is None else _float(cell) for cell in column.to_pylist()]
    for row, (cell, value) in enumerate(zip(column.to_pylist(), values, strict=True)):
        if cell is not None and value is None:
            raise InputError(f"{where}, line {row + FIRST_LINE}: expected a number as {field}, got {cell!r}")
    return pa.chunked_array([pa.array(values, pa.float64())])


def _float(cell: str) -> float | None:
    """A finite number, or `None` if it is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _float_lists(lists: list[list[str]], field: str, where: str) -> list[list[float]]:
    found = []
    for row, cells in enumerate(lists):
        values = [(cell, _float(cell)) for cell in cells]
        for cell, value in values:
            if value is None:
                raise InputError(f"{where}, line {row + FIRST_LINE}: expected numbers as {field}, got {cell!r}")
        found.append([value for _, value in values if value is not None])
    return found
