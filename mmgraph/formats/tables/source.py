"""One table file, read in batches: csv, tsv, jsonl or parquet, with columns that mean the same in all of them."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.formats.tables.cells import plain
from mmgraph.formats.tables.defects import Defects
from mmgraph.parquet import ParquetTable
from mmgraph.table_limit import TableBudget

ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".jsonl.gz")
BATCH_ROWS = 1 << 18


class TableError(InputError):
    """A whole file cannot be used.

    Args:
        kind: One of `mmgraph.formats.tables.defects.KINDS`.
        path: The file.
        detail: What was expected and what was found.
    """

    def __init__(self, kind: str, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.kind, self.detail = kind, detail


class TableSource(ABC):
    """A table that is read in batches of rows.

    Attributes:
        path: The file.
        names: Its columns.
        typed: False for csv and tsv, whose columns have no types: all cells are text there.
        defects: Where rows that cannot be parsed are noted.
    """

    typed: bool = True

    def __init__(self, path: Path, names: Sequence[str], defects: Defects) -> None:
        self.path, self.names, self.defects = path, list(names), defects
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise TableError("unreadable-file", path, f"duplicate columns {first_few(repeated)}")

    @abstractmethod
    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[pa.Table]:
        """Tables of the chosen columns, one after the other; text is binary where nobody has checked it."""

    def row_number(self, position: int) -> int:
        """Number of a row, from 1, given its position among those that `read` gave."""
        return position + 1

    def holds_text(self, name: str) -> bool:
        """Whether a column is known to hold strings; untyped files do not know."""
        del name
        return False

    def require(self, *names: str) -> None:
        """Check that columns exist.

        Raises:
            InputError: Names the missing column and those that were found.
        """
        for name in names:
            if name not in self.names:
                found = ", ".join(self.names) or "(none)"
                raise TableError("missing-column", self.path, f"missing column {name!r}; found columns: {found}")

    def batches(self, columns: Sequence[str] | None = None, *, batch_rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """Read the table.

        Args:
            columns: Which ones, in this order; all by default.
            batch_rows: About how many rows at once.

        Raises:
            InputError: If the file cannot be read, or holds more than `TableBudget` allows a packed one.
        """
        chosen = self.names if columns is None else list(columns)
        self.require(*chosen)
        budget = TableBudget(self.path) if self.path.name.lower().endswith(".gz") else None
        try:
            for table in self.read(chosen, batch_rows):
                if budget is not None:
                    spend(budget, table.nbytes)
                yield plain(table.select(chosen))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeError, OSError, EOFError, zlib.error) as error:
            raise unreadable(self.path, error) from None

    def count_rows(self) -> int:
        """Number of rows that can be parsed; reads the file, and notes no defects."""
        with self.defects.muted():
            return sum(table.num_rows for table in self.batches(self.names[:1]))


class ParquetSource(TableSource):
    """A parquet file."""

    def __init__(self, path: Path, defects: Defects) -> None:
        try:
            self._file = ParquetTable(path)
        except InputError as error:
            raise _refused(path, error) from None
        self._schema = self._file.schema
        super().__init__(path, self._schema.names, defects)

    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[pa.Table]:
        """Batches of row groups."""
        try:
            for batch in self._file.batches(columns, batch_rows=batch_rows):
                yield pa.Table.from_batches([batch])
        except InputError as error:
            raise _refused(self.path, error) from None

    def holds_text(self, name: str) -> bool:
        """By the schema of the file."""
        kind = self._schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))

    def count_rows(self) -> int:
        """Number of rows, from the footer."""
        return self._file.num_rows


def open_source(path: Path, defects: Defects, *, encoding: str = "utf-8", delimiter: str | None = None) -> TableSource:
    """Open a table by the ending of its name.

    Raises:
        InputError: If there is no such file, its ending is unknown, it is empty, or cannot be read.
    """
    if not path.is_file():
        raise TableError(
            "unreadable-file", path, "expected a file, found a folder" if path.is_dir() else "file not found"
        )
    ending = ending_of(path)
    if ending is None:
        raise InputError(f"{path}: {unknown_choice('ending of a table', path.suffix, ENDINGS)}")
    if path.stat().st_size == 0:
        raise TableError("empty-file", path, "the file is empty")
    if ending == ".parquet":
        return ParquetSource(path, defects)
    from mmgraph.formats.tables.delimited import DelimitedSource
    from mmgraph.formats.tables.jsonl import JsonLinesSource

    openers: dict[str, Callable[[], TableSource]] = {
        "csv": lambda: DelimitedSource(path, defects, delimiter=delimiter, encoding=encoding),
        "tsv": lambda: DelimitedSource(path, defects, delimiter="\t", encoding=encoding),
        "jsonl": lambda: JsonLinesSource(path, defects, encoding=encoding),
    }
    return openers[ending.split(".")[1]]()


def ending_of(path: Path) -> str | None:
    """Which of `ENDINGS` a path has."""
    name = path.name.lower()
    return next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if name.endswith(ending)), None)


def _refused(path: Path, error: InputError) -> TableError:
    return TableError("unreadable-file", path, f"cannot be read: {str(error).removeprefix(f'{path}: ')}")


def spend(budget: TableBudget, size: float) -> None:
    """Count bytes of a packed file.

    Raises:
        TableError: If there are too many.
    """
    try:
        budget.spend(size)
    except InputError as error:
        raise _refused(budget.path, error) from None


def unreadable(path: Path, error: Exception) -> TableError:
    """The error for a file that a library gave up on."""
    return TableError("unreadable-file", path, f"cannot be read: {' '.join(str(error).split())}")
