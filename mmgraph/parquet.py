"""Parquet files from strangers, read with a limit: a few bytes of them can stand for a long text a million times.

The footer is looked at before anything else. Rows then come in batches, with texts as numbers into a dictionary, as they lie
in the file, so that what they would take is known before they take it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmgraph.errors import InputError
from mmgraph.parquet_footer import Chunk, read_chunks
from mmgraph.table_limit import TableBudget
from mmgraph.untrusted import reading

COLUMNS, CHUNKS = 10_000, 1_000_000
"""Most columns of a file, and most columns times row groups."""
BATCH_ROWS, BATCH_BYTES = 2**16, 2**28
_UNKNOWN_ROWS = 2**10
"""Rows of a batch where texts cannot come as numbers: deep inside of others, or kept as differences."""
_WIDTHS = {"BOOLEAN": 1 / 8, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8, "BYTE_ARRAY": 4}


class ParquetTable:
    """One Parquet file whose footer is within the limits.

    Args:
        path: The file.
        verify: Compare pages with their checksums, where the file has them.
        limit: Most bytes that its rows may take in memory; see `TableBudget` for the default.

    Attributes:
        schema: Columns and their types.
        num_rows: Number of rows, from the footer.

    Raises:
        InputError: If it is no Parquet file, or says that it holds more than the limit.
    """

    def __init__(self, path: Path | str, *, verify: bool = False, limit: int | None = None) -> None:
        self.path = Path(path)
        with reading(path, "a parquet file"):
            if not self.path.is_file():
                raise FileNotFoundError(2, "file not found", str(path))
            budget = TableBudget(self.path, limit)
            self.limit = budget.limit
            plain = pq.ParquetFile(path)
            self.metadata: pq.FileMetaData = plain.metadata
            self.schema: pa.Schema = plain.schema_arrow
            self.num_rows = int(self.metadata.num_rows)
            texts = self._texts(self._check_footer(budget))
            self._file = pq.ParquetFile(
                path, metadata=plain.metadata, read_dictionary=texts, page_checksum_verification=verify
            )

    def batches(
        self, columns: Sequence[str] | None = None, *, batch_rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Rows, in their order.

        Args:
            columns: Which ones, all by default.
            batch_rows: Most rows at once; fewer if they are wide.

        Raises:
            InputError: If the file is damaged, or as soon as more than the limit has come out of it.
        """
        chosen = self.schema.names if columns is None else list(columns)
        schema = pa.schema([self.schema.field(name) for name in chosen], metadata=self.schema.metadata)
        width = sum(_width(field.type) for field in schema)
        rows = max(1, min(batch_rows, int(BATCH_BYTES / max(width, 1))))
        if any(column.split(".")[0] in chosen for column in self._unknown):
            rows = min(rows, _UNKNOWN_ROWS)
        budget = TableBudget(self.path, self.limit)
        with reading(self.path, "a parquet file"):
            for batch in self._file.iter_batches(batch_size=rows, columns=chosen):
                batch = batch.select(chosen)  # they come in the order of the file
                size = _batch_size(batch)
                budget.spend(size)
                for part in _small_parts(batch, size):
                    yield pa.RecordBatch.from_arrays(
                        [
                            column if column.type == field.type else column.cast(field.type)
                            for column, field in zip(part.columns, schema, strict=True)
                        ],
                        schema=schema,
                    )

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows.

        Args:
            columns: Which ones, all by default.

        Raises:
            InputError: If the file is damaged, or holds more than the limit.
        """
        chosen = self.schema.names if columns is None else list(columns)
        with reading(self.path, "a parquet file"):
            if not chosen:
                return pa.table({}).replace_schema_metadata(self.schema.metadata)
            schema = pa.schema([self.schema.field(name) for name in chosen], metadata=self.schema.metadata)
            return pa.Table.from_batches(self.batches(chosen), schema=schema)

    def _check_footer(self, budget: TableBudget) -> list[list[Chunk]]:
        """Compare what the footer says with the limits; it may lie, so rows are counted once more when they come.

        Returns:
            Column chunks of each row group.
        """
        footer = self.metadata
        if footer.num_columns > COLUMNS or footer.num_columns * footer.num_row_groups > CHUNKS:
            raise InputError(
                f"{self.path}: expected at most {COLUMNS:,} columns and {CHUNKS:,} columns times row groups, "
                f"got {footer.num_columns:,} columns and {footer.num_row_groups:,} row groups"
            )
        if not all(footer.row_group(at).num_rows >= 0 for at in range(footer.num_row_groups)) or self.num_rows < 0:
            raise InputError(f"{self.path}: expected numbers of rows that are not negative")
        budget.check(self.num_rows * max(1.0, sum(_width(field.type) for field in self.schema)))
        kinds = [footer.schema.column(at) for at in range(footer.num_columns)]
        widths = [
            kind.length if kind.physical_type.startswith("FIXED") else _WIDTHS[kind.physical_type] for kind in kinds
        ]
        groups = read_chunks(self.path)
        for chunks in groups:
            # Values of lists are more than rows; pages that are not packed are as long as they say.
            budget.check(
                sum(
                    max(chunk.num_values * width, chunk.uncompressed_bytes)
                    for chunk, width in zip(chunks, widths, strict=True)
                )
            )
        return groups

    def _texts(self, groups: Sequence[Sequence[Chunk]]) -> list[str]:
        """Columns of texts that can come as numbers into a dictionary; notes the others."""
        footer = self.metadata
        found, self._unknown = [], set[str]()
        simple = {field.name for field in self.schema if _is_text(field.type)}
        for at in range(footer.num_columns):
            column = footer.schema.column(at)
            if column.physical_type != "BYTE_ARRAY":
                continue
            # Arrow cannot give lists of such numbers where a batch spans row groups.
            if column.path in simple and not any(chunks[at].is_delta for chunks in groups):
                found.append(column.path)
            else:
                self._unknown.add(column.path)
        return found


def read_parquet(path: Path | str, columns: Sequence[str] | None = None, *, verify: bool = False) -> pa.Table:
    """Read a Parquet file within the limit.

    Args:
        path: The file.
        columns: Which ones, all by default.
        verify: Compare pages with their checksums, where the file has them.

    Raises:
        InputError: If it is no Parquet file, is damaged, or takes more memory than the limit.
    """
    return ParquetTable(path, verify=verify).read(columns)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or (pa.types.is_dictionary(kind) and _is_text(kind.value_type))
    )


def _width(kind: pa.DataType) -> float:
    """Bytes that a row takes at least."""
    if pa.types.is_fixed_size_list(kind):
        return float(kind.list_size * _width(kind.value_type))
    if pa.types.is_struct(kind):
        return sum(_width(kind.field(at).type) for at in range(kind.num_fields))
    if pa.types.is_dictionary(kind):
        return 4.0
    try:
        return float(kind.bit_width) / 8
    except ValueError:  # of any length: an offset, or nothing
        return 0.0 if pa.types.is_null(kind) else 4.0


def _size(column: pa.Array) -> int:
    """Bytes of a column, with numbers into a dictionary replaced by what they stand for."""
    if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
        lengths = pc.cast(pc.binary_length(column.dictionary), pa.int64())
        return 4 * len(column) + int(pc.sum(lengths.take(column.indices)).as_py() or 0)
    return int(column.nbytes)


def _batch_size(batch: pa.RecordBatch) -> int:
    return sum(_size(column) for column in batch.columns)


def _small_parts(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    """A batch of so many bytes, cut into halves until each is small: offsets of texts end at 2 GiB."""
    if batch.num_rows <= 1 or size <= BATCH_BYTES:
        yield batch
        return
    half = batch.num_rows // 2
    for part in (batch.slice(0, half), batch.slice(half)):
        yield from _small_parts(part, _batch_size(part))
