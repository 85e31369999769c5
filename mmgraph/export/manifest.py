"""What every written embedding table says about itself, and the checks before it is written."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError, first_few
from mmgraph.inference.table import VECTOR_COLUMNS, EmbeddingTable
from mmgraph.versions import installed_version

ROWS_PER_BATCH = 16_384
FORMAT, VERSION = "mmgraph.embeddings", 1
_FIELDS = {
    "dim": int,
    "count": int,
    "model": str,
    "graph": str,
    "node_types": list,
    "columns": list,
    "has_columns": bool,
    "vectors_sha256": str,
}


def check_vectors(table: EmbeddingTable, *, allow_zero: bool = False) -> None:
    """Refuse vectors that a store cannot rank by cosine.

    Args:
        table: The table to be written.
        allow_zero: Accept zero vectors; NaN and infinity are never accepted.

    Raises:
        InputError: Counts the nodes and lists the first five ids.
    """
    table.check_finite()
    zero = torch.nonzero(table.norms == 0).flatten()
    if zero.numel() and not allow_zero:
        ids = table.node_ids[zero.numpy(force=True)].tolist()
        raise InputError(
            f"embeddings of graph {table.graph!r}: vectors of {len(ids):,} nodes are zero and have no cosine: "
            f"{first_few(ids)}; drop these nodes or allow zero vectors"
        )


def make_manifest(table: EmbeddingTable) -> dict[str, Any]:
    """Describe a table: width, metric, model, graph, count, versions of the libraries, digest of the vectors."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "dim": table.dim,
        "metric": "cosine",
        "model": table.model,
        "graph": table.graph,
        "count": len(table),
        "id_type": "string" if table.node_ids.values.dtype == object else "int64",
        "node_types": list(table.node_types),
        "columns": [] if table.columns is None else table.columns.column_names,
        "has_columns": table.columns is not None,
        "vectors_sha256": vectors_digest(as_array(table.vectors)),
        "libraries": {
            "python": platform.python_version(),
            **{name: installed_version(name) for name in ("mmgraph", "torch", "torch-geometric", "numpy", "pyarrow")},
        },
    }


def check_manifest(manifest: object, path: Path) -> dict[str, Any]:
    """Check that a manifest describes a table that this version can read.

    Raises:
        InputError: Names the file and the first field that is missing or wrong.
    """
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise InputError(f"{path}: expected a manifest of format {FORMAT!r}, got {found!r}")
    if manifest.get("version") != VERSION:
        raise InputError(f"{path}: expected version {VERSION} of the format, got {manifest.get('version')!r}")
    for name, kind in _FIELDS.items():
        if not isinstance(manifest.get(name), kind):
            raise InputError(f"{path}: manifest field {name!r} must be {kind.__name__}, got {manifest.get(name)!r}")
    return manifest


def as_array(vectors: Tensor) -> np.ndarray:
    """Vectors as a contiguous little-endian array, without a copy where they are one."""
    return np.ascontiguousarray(vectors.detach().numpy(force=True), dtype="<f4")


def vectors_digest(array: np.ndarray) -> str:
    """SHA-256 of the bytes of the vectors, row by row."""
    return hashlib.sha256(array.reshape(-1).data.cast("B")).hexdigest()


def to_rows(table: EmbeddingTable) -> pa.Table:
    """Ids, types and columns as one table `id, type, ...`; a column whose name is taken gets `_` appended."""
    names, arrays = ["id", "type"], [pa.array(table.node_ids.values), _types(table)]
    taken = set(VECTOR_COLUMNS)
    if table.columns is not None:
        for name, column in zip(table.columns.column_names, table.columns.columns, strict=True):
            while name in taken:
                name += "_"
            taken.add(name)
            names.append(name)
            arrays.append(column)
    return pa.table(arrays, names=names)


def _types(table: EmbeddingTable) -> pa.Array:
    """Name of the type of each node, without a Python string for each."""
    return pa.array(table.node_types, pa.string()).take(pa.array(table.node_type.numpy(force=True)))


def with_vectors(table: EmbeddingTable) -> pa.RecordBatchReader:
    """Ids, types, columns and `vector`, a list of fixed size, in batches: what databases read from Arrow."""
    rows, array = to_rows(table), as_array(table.vectors)
    vector = pa.list_(pa.field("item", pa.float32(), nullable=False), table.dim)
    schema = pa.schema([*rows.schema, pa.field("vector", vector)])

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(table), ROWS_PER_BATCH):
            part = rows.slice(start, ROWS_PER_BATCH).combine_chunks()
            flat = pa.array(array[start : start + ROWS_PER_BATCH].ravel())
            lists = pa.FixedSizeListArray.from_arrays(flat, type=vector)
            yield from pa.table([*part.columns, lists], schema=schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, batches())


def from_rows(rows: pa.Table, vectors: Tensor, manifest: dict[str, Any], path: Path, *, verify: bool) -> EmbeddingTable:
    """Put a table together again from what was written.

    Raises:
        InputError: If rows, vectors and manifest do not fit together.
    """
    count, dim, types = manifest["count"], manifest["dim"], tuple(manifest["node_types"])
    if rows.num_rows != count or list(vectors.shape) != [count, dim]:
        raise InputError(
            f"{path}: the manifest says {count} x {dim}, got {rows.num_rows} ids and vectors {list(vectors.shape)}"
        )
    if rows.num_columns != 2 + len(manifest["columns"]):
        raise InputError(f"{path}: expected id, type and columns {manifest['columns']}, got {rows.column_names}")
    if verify and vectors_digest(vectors.numpy()) != manifest["vectors_sha256"]:
        raise InputError(f"{path}: the vectors are not those that were written (SHA-256 differs from the manifest)")
    kinds = np.asarray(rows.column(1).to_pylist(), dtype=object)
    unknown = sorted({str(kind) for kind in kinds} - set(types))
    if unknown:
        raise InputError(f"{path}: unknown node types {first_few(unknown)}; the manifest has {list(types)}")
    codes = np.zeros(count, dtype=np.int64)
    for code, kind in enumerate(types):
        codes[kinds == kind] = code
    columns = rows.select(range(2, rows.num_columns)).rename_columns(manifest["columns"])
    return EmbeddingTable(
        node_ids=NodeIds(rows.column(0), where=f"{path}, column id"),
        vectors=vectors,
        node_types=types,
        node_type=torch.from_numpy(codes),
        graph=manifest["graph"],
        model=manifest["model"],
        columns=columns if manifest["has_columns"] else None,
    )
