"""One parquet file: `id`, `type`, the columns, and `vector` as a list of fixed size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmgraph.errors import InputError
from mmgraph.export.manifest import as_array, check_manifest, from_rows, make_manifest, to_rows
from mmgraph.files import atomic_path, content_digest
from mmgraph.inference.table import EmbeddingTable
from mmgraph.parquet import read_parquet as read_table
from mmgraph.sealed import read_sealed_text, sealed_text
from mmgraph.splits.column_bytes import column_bytes

METADATA_KEY = b"mmgraph"
ROWS_PER_GROUP = 65_536


def write_parquet(table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
    """Write a table as one parquet file; the manifest is JSON in the metadata of the schema, under `mmgraph`.

    Raises:
        InputError: If the file exists and `overwrite` is false, or the path is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file, got a folder")
    if path.exists() and not overwrite:
        raise InputError(f"{path} already exists; give another file or ask to overwrite it")
    rows, array = to_rows(table), as_array(table.vectors)
    vector = pa.field("vector", pa.list_(pa.field("item", pa.float32(), nullable=False), table.dim), nullable=False)
    manifest = sealed_text({**make_manifest(table), "rows_sha256": rows_digest(rows)}).encode()
    schema = pa.schema([*rows.schema, vector], metadata={METADATA_KEY: manifest})
    # Floats do not repeat: a dictionary of them is only slow.
    options = {"compression": "zstd", "use_dictionary": rows.column_names, "write_page_checksum": True}
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        for start in range(0, len(table), ROWS_PER_GROUP):
            part = rows.slice(start, ROWS_PER_GROUP)
            flat = pa.array(array[start : start + ROWS_PER_GROUP].ravel())
            lists = pa.FixedSizeListArray.from_arrays(flat, type=vector.type)
            writer.write_table(pa.table([*part.columns, lists], schema=schema))


def read_parquet(path: Path, *, verify: bool = True) -> EmbeddingTable:
    """Read a table written by `write_parquet`.

    Raises:
        InputError: If the file is not parquet, has no manifest, or does not match it.
    """
    whole = read_table(path, verify=verify)
    text = (whole.schema.metadata or {}).get(METADATA_KEY)
    if text is None:
        raise InputError(
            f"{path}: not written by mmgraph (no manifest under {METADATA_KEY.decode()!r} in the metadata)"
        )
    manifest = check_manifest(read_sealed_text(text, path), path)
    last = whole.column(whole.num_columns - 1)
    if whole.column_names[-1] != "vector" or last.type.value_type != pa.float32():
        raise InputError(f"{path}: the last column must be 'vector', float32, got {whole.schema[-1]}")
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in last.chunks]
    vectors = torch.from_numpy(np.concatenate(parts).reshape(whole.num_rows, -1))
    rows = whole.drop_columns("vector")
    table = from_rows(rows, vectors, manifest, path, verify=verify)
    if verify and manifest.get("rows_sha256", digest := rows_digest(rows)) != digest:
        raise InputError(f"{path}: ids, types or columns are not those that were written (SHA-256 differs)")
    return table


def rows_digest(rows: pa.Table) -> str:
    """SHA-256 of ids, types and columns, whatever Parquet does to their layout."""
    return content_digest(*(part for name in rows.column_names for part in (name, *column_bytes(rows[name]))))
