"""Tables in files with one JSON object per line."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from mmgraph.errors import InputError
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.source import TableSource, spend, unreadable
from mmgraph.table_limit import TableBudget
from mmgraph.untrusted import reason

_ROWS = 1 << 14
_LINE_BYTES = 1 << 26


class JsonLinesSource(TableSource):
    """A file with one JSON object per line; keys are columns, a key that is absent or null is a missing cell.

    Objects inside of objects, and lists of anything but plain values, become JSON text.

    The type of a column is that of its first value. A later cell of another type (a number among strings) is noted as
    a defect and missing; integers among floats are numbers all the same.

    Args:
        path: The file, perhaps compressed by gzip.
        defects: Lines that are no object, and cells of another type, are noted there.
        encoding: Encoding of the file.
    """

    def __init__(self, path: Path, defects: Defects, *, encoding: str) -> None:
        self._encoding = encoding
        self._numbers = array("q")
        self._types: dict[str, pa.DataType] = {}
        # The columns are known only at the end of the file, so it is read twice; the first time nothing is noted.
        silent = Defects("quarantine")
        for _, row in _objects(path, encoding, silent):
            for name, value in row.items():
                known = self._types.setdefault(name, pa.null())
                if known == pa.null():
                    self._types[name] = _type_of(value)
                elif known == pa.int64() and isinstance(value, float):
                    self._types[name] = pa.float64()
        super().__init__(path, list(self._types), defects)

    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[pa.Table]:
        """Batches of lines."""
        del self._numbers[:]
        rows: list[dict[str, Any]] = []
        for number, row in _objects(self.path, self._encoding, self.defects):
            self._numbers.append(number)
            rows.append(row)
            if len(rows) >= min(batch_rows, _ROWS):
                yield self._table(rows, columns)
                rows = []
        if rows:
            yield self._table(rows, columns)

    def holds_text(self, name: str) -> bool:
        """By the first value of the column."""
        return bool(pa.types.is_string(self._types[name]))

    def row_number(self, position: int) -> int:
        """Number of the line."""
        return self._numbers[position]

    def _table(self, rows: list[dict[str, Any]], columns: Sequence[str]) -> pa.Table:
        first = len(self._numbers) - len(rows)
        arrays = {}
        for name in columns:
            kind = self._types[name]
            cells = [row.get(name) for row in rows]
            for i, cell in enumerate(cells):
                if not _fits(cell, kind):
                    detail = f"column {name}: expected {_name(kind)} as in the rows before, got {json.dumps(cell)[:40]}"
                    self.defects.add("mixed-types", self.path, detail, row=self.row_number(first + i))
                    cells[i] = None
            if pa.types.is_null(kind):
                cells = [None] * len(rows)
            elif pa.types.is_floating(kind):
                cells = [None if cell is None else float(cell) for cell in cells]
            arrays[name] = pa.array(cells, kind)
        return pa.table(arrays)


def _objects(path: Path, encoding: str, defects: Defects) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number of the line and the object on it, for every line that holds one."""
    with _open(path) as file:
        for number, line in enumerate(_lines(path, file), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig" if encoding == "utf-8" else encoding))
            except UnicodeDecodeError as error:
                defects.add(
                    "bad-encoding", path, f"expected {encoding}, got byte 0x{line[error.start]:02x}", row=number
                )
            except json.JSONDecodeError as error:
                defects.add("bad-row", path, f"expected a JSON object, got: {error.msg}", row=number)
            except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
                defects.add("bad-row", path, f"expected a JSON object, got: {reason(error)}", row=number)
            except LookupError:
                raise InputError(f"unknown encoding {encoding!r}; for example utf-8, latin-1, cp1252") from None
            else:
                if isinstance(row, dict):
                    yield number, {name: _flat(value) for name, value in row.items()}
                else:
                    defects.add("bad-row", path, f"expected a JSON object, got {type(row).__name__}", row=number)


def _lines(path: Path, file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """Lines of a file; one that is damaged has its error."""
    budget = TableBudget(path) if isinstance(file, gzip.GzipFile) else None
    try:
        while line := file.readline(_LINE_BYTES + 1):
            if len(line) > _LINE_BYTES:  # a small compressed file can hold a line that fills the memory
                raise unreadable(path, ValueError(f"a line has more than {_LINE_BYTES:,} bytes"))
            if budget is not None:  # also where nothing is kept: the columns are looked for first
                spend(budget, len(line))
            yield line
    except (EOFError, OSError, zlib.error) as error:
        raise unreadable(path, error) from None


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else open(path, "rb")


_TYPES: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    type(None): pa.null(),
}


def _flat(value: Any) -> Any:
    if type(value) in _TYPES or (isinstance(value, list) and all(type(item) in _TYPES for item in value)):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _type_of(value: Any) -> pa.DataType:
    if isinstance(value, list):
        inner = next((_TYPES[type(item)] for item in value if item is not None), None)
        return pa.null() if inner is None else pa.list_(inner)
    return _TYPES[type(value)]


def _fits(cell: Any, kind: pa.DataType) -> bool:
    if cell is None or (cell == [] and pa.types.is_null(kind)):
        return True
    if pa.types.is_list(kind):
        return isinstance(cell, list) and all(_fits(item, kind.value_type) for item in cell)
    if pa.types.is_boolean(kind):
        return isinstance(cell, bool)
    if pa.types.is_int64(kind):
        return isinstance(cell, int) and not isinstance(cell, bool) and -(2**63) <= cell < 2**63
    if pa.types.is_floating(kind):
        return isinstance(cell, (int, float)) and not isinstance(cell, bool) and abs(cell) <= sys.float_info.max
    return isinstance(cell, str) and pa.types.is_string(kind)


def _name(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"lists of {_name(kind.value_type)}"
    return {"string": "strings", "int64": "integers", "double": "numbers", "bool": "true or false"}[str(kind)]
