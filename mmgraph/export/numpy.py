"""A folder for tools that read arrays: `vectors.npy`, `ids.parquet` (same row order) and `manifest.json`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmgraph.data.arrays import load_npy
from mmgraph.errors import InputError
from mmgraph.export.manifest import as_array, check_manifest, from_rows, make_manifest, to_rows
from mmgraph.files import atomic_folder
from mmgraph.inference.table import EmbeddingTable
from mmgraph.sealed import check_digests, digests_of, read_sealed_json, write_sealed_json

MANIFEST, VECTORS, IDS = "manifest.json", "vectors.npy", "ids.parquet"


def write_numpy(table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
    """Write a table as a folder.

    Raises:
        InputError: If the folder exists and `overwrite` is false, or it holds something else than a table.
    """
    if path.exists() and overwrite:
        _check_replaceable(path)
    with atomic_folder(path, overwrite=overwrite) as temporary:
        np.save(temporary / VECTORS, as_array(table.vectors), allow_pickle=False)
        pq.write_table(to_rows(table), temporary / IDS, compression="zstd", write_page_checksum=True)
        write_sealed_json(temporary / MANIFEST, {**make_manifest(table), "digests": digests_of(temporary)})


def read_numpy(path: Path, *, verify: bool = True) -> EmbeddingTable:
    """Read a table written by `write_numpy`; the vectors stay on disk and are mapped.

    Raises:
        InputError: If a file is missing, damaged, or does not match the manifest.
    """
    manifest = check_manifest(read_sealed_json(path / MANIFEST), path / MANIFEST)
    if verify:
        check_digests(path, manifest.get("digests", {}), source=path / MANIFEST)
    array = load_npy(path / VECTORS, mmap_mode="c")
    if array.dtype != np.float32:
        raise InputError(f"{path / VECTORS}: expected float32, got {array.dtype}")
    try:
        rows = pq.read_table(path / IDS, page_checksum_verification=verify)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path / IDS}: expected a parquet file, got: {str(error).splitlines()[0]}") from None
    return from_rows(rows, torch.from_numpy(array), manifest, path, verify=verify)


def _check_replaceable(path: Path) -> None:
    """Overwriting replaces the whole folder: never one that holds anything else."""
    if not path.is_dir():
        raise InputError(f"{path}: expected the name of a folder, got a file")
    strange = sorted(item.name for item in path.iterdir() if item.name not in (MANIFEST, VECTORS, IDS))
    if strange:
        raise InputError(f"{path}: refusing to overwrite a folder that holds other things: {', '.join(strange[:5])}")
