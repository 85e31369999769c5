"""Tables in csv and tsv files."""

from __future__ import annotations

import bisect
import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from mmgraph.errors import InputError
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.source import TableError, TableSource, unreadable

_BLOCK = 1 << 22
_HEADER_BYTES = 1 << 16
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class DelimitedSource(TableSource):
    """A file with a header line and a delimiter. All cells are text; only an empty field is missing.

    Args:
        path: The file, perhaps compressed by gzip.
        defects: Rows with another number of columns than the header are noted there and left out.
        delimiter: A comma by default, or a semicolon if the header has semicolons and no comma.
        encoding: Encoding of the file.
    """

    typed = False

    def __init__(self, path: Path, defects: Defects, *, delimiter: str | None, encoding: str) -> None:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise InputError(f"unknown encoding {encoding!r}; for example utf-8, latin-1, cp1252, utf-16") from None
        self._encoding = encoding
        self._skipped: list[int] = []
        self.delimiter = delimiter or self._guess_delimiter(path)
        try:
            with pa.csv.open_csv(
                path, read_options=self._read_options(), parse_options=self._parse_options()
            ) as reader:
                names = reader.schema.names
        except UnicodeDecodeError as error:
            raise TableError(
                "bad-encoding", path, f"the header is no {encoding}: {error.reason}{self._hint(path)}"
            ) from None
        except (pa.ArrowInvalid, UnicodeError, OSError) as error:
            raise unreadable(path, error) from None
        super().__init__(path, names, defects)

    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[pa.Table]:
        """Blocks of the file; their size is in bytes, so `batch_rows` does not matter."""
        del batch_rows
        self._skipped.clear()
        convert = pa.csv.ConvertOptions(
            include_columns=list(columns),
            # As bytes: one cell that is not valid text must not cost the others.
            column_types=dict.fromkeys(self.names, pa.binary()),
            null_values=[""],  # text such as "NA" or "null" is text
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        )
        with pa.csv.open_csv(
            self.path,
            read_options=self._read_options(),
            parse_options=self._parse_options(note=True),
            convert_options=convert,
        ) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    def row_number(self, position: int) -> int:
        """Number of the data row, rows that were left out included."""
        number = position + 1
        for skipped in self._skipped:  # ascending
            if skipped > number:
                break
            number += 1
        return number

    def _read_options(self) -> pa.csv.ReadOptions:
        # One thread: the numbers of bad rows are not known otherwise.
        return pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK, encoding=self._encoding)

    def _parse_options(self, *, note: bool = False) -> pa.csv.ParseOptions:
        def skip(row: pa.csv.InvalidRow) -> str:
            if note:
                number = row.number - 1  # the header is row 1
                bisect.insort(self._skipped, number)
                detail = f"expected {row.expected_columns} columns, got {row.actual_columns}"
                self.defects.add("bad-row", self.path, detail, row=number)
            return "skip"

        return pa.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=skip)

    def _guess_delimiter(self, path: Path) -> str:
        try:
            with pa.input_stream(str(path)) as file:  # unpacks what is compressed
                header = file.read(_HEADER_BYTES).decode(self._encoding, errors="replace").splitlines()
        except (pa.ArrowInvalid, OSError):
            return ","  # told when the header is read
        return ";" if header and ";" in header[0] and "," not in header[0] else ","

    def _hint(self, path: Path) -> str:
        with open(path, "rb") as file:
            mark = file.read(2)
        encoding = _MARKS.get(mark)
        return f"; it looks like {encoding}: save it as utf-8 or name its encoding" if encoding else ""
