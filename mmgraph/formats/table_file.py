"""One table in parquet or CSV, with columns that mean the same in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from mmgraph.errors import InputError, first_few

# Without leading zeros, plus signs and spaces: reading and printing such a number gives the same text again.
_INTEGER = r"^(0|-?[1-9][0-9]{0,18})$"
_NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
_LEADING_ZERO = r"^[-+]?0[0-9]"


@dataclass(frozen=True, eq=False)
class TableFile:
    """A table read from a file.

    Attributes:
        path: The file, or what else the messages should name.
        table: Its columns; those of a CSV file are strings, with null for an empty field.
        typed: False for CSV, whose columns have no types.
    """

    path: Path | str
    table: pa.Table
    typed: bool

    def require(self, *names: str) -> None:
        """Check that columns exist.

        Raises:
            InputError: Names the missing column and those that were found.
        """
        for name in names:
            if name not in self.table.column_names:
                raise InputError(
                    f"{self.path}: missing column {name!r}; found columns: {', '.join(self.table.column_names) or '(none)'}"
                )

    def strings(self, name: str, *, default: str | None = None) -> pa.ChunkedArray:
        """A column as strings; null, or an absent column, becomes the default."""
        if name not in self.table.column_names:
            return pa.chunked_array([pa.array([default] * self.table.num_rows, pa.string())])
        column = self.table[name].cast(pa.string())
        return column if default is None else column.fill_null(default)

    def column(self, name: str) -> pa.ChunkedArray:
        """A column with its type; for CSV the narrowest of integer, float and string that fits all values."""
        column = self.table[name]
        return column if self.typed else guess_numbers(column)


def read_table_file(folder: Path, stem: str) -> TableFile:
    """Read `stem.parquet` or `stem.csv` of a folder.

    Raises:
        InputError: If neither or both exist, or the file cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder with tables, found {'a file' if folder.exists() else 'nothing'}")
    found = [path for path in (folder / f"{stem}.parquet", folder / f"{stem}.csv") if path.exists()]
    if len(found) != 1:
        what = "both" if found else first_few(sorted(path.name for path in folder.iterdir())) or "an empty folder"
        raise InputError(f"{folder}: expected {stem}.parquet or {stem}.csv, found {what}")
    path = found[0]
    try:
        table = pq.read_table(path, partitioning=None) if path.suffix == ".parquet" else _read_csv(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    names = table.column_names
    if len(set(names)) != len(names):
        raise InputError(f"{path}: duplicate columns {first_few(sorted({n for n in names if names.count(n) > 1}))}")
    return TableFile(path, _plain(table), typed=path.suffix == ".parquet")


def guess_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turn strings into integers or floats if *all* of them are; "007" stays a string, null stays null."""
    if column.null_count == len(column):
        return column
    if is_integers(column):
        return column.cast(pa.int64())
    numbers = pc.and_not(pc.match_substring_regex(column, _NUMBER), pc.match_substring_regex(column, _LEADING_ZERO))
    return column.cast(pa.float64()) if pc.all(numbers).as_py() else column


def is_integers(column: pa.ChunkedArray) -> bool:
    """Whether every string prints an integer of 64 bits without leading zeros."""
    if not pc.all(pc.match_substring_regex(column, _INTEGER), min_count=0).as_py():
        return False
    try:
        column.cast(pa.int64())
    except pa.ArrowInvalid:  # 19 digits, but more than 64 bits
        return False
    return True


def unify_ids(columns: Sequence[pa.ChunkedArray], typed: Sequence[bool]) -> list[pa.ChunkedArray]:
    """Decide for all id columns together whether the untyped ones are integers.

    Strings in a typed column say that ids are strings. Otherwise they are integers only if every untyped id of
    every column is one.
    """
    guesses = [column for column, known in zip(columns, typed, strict=True) if not known]
    texts = any(pa.types.is_string(c.type) for c, known in zip(columns, typed, strict=True) if known and len(c))
    integers = not texts and any(map(len, guesses)) and all(is_integers(column) for column in guesses)
    return [
        column.cast(pa.int64()) if integers and not known else column
        for column, known in zip(columns, typed, strict=True)
    ]


def _read_csv(path: Path) -> pa.Table:
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    with pa.csv.open_csv(path, parse_options=parse) as reader:
        names = reader.schema.names
    # Text such as "NA" or "null" is text; only an empty field is missing.
    convert = pa.csv.ConvertOptions(
        column_types={name: pa.string() for name in names},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    return pa.csv.read_csv(path, parse_options=parse, convert_options=convert)


def _plain(table: pa.Table) -> pa.Table:
    """Undo encodings that different writers choose for the same values."""
    columns = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
            column = column.cast(pa.string())
        columns.append(column)
    return pa.table(columns, names=table.column_names)
