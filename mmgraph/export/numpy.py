"""A folder for tools that read arrays: `vectors.npy`, `ids.parquet` (same row order) and `manifest.json`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from mmgraph.data.arrays import load_npy
from mmgraph.errors import InputError
from mmgraph.export.folder import IDS, MANIFEST, check_files, read_manifest, read_rows
from mmgraph.export.manifest import as_array, from_rows, make_manifest, to_rows
from mmgraph.files import atomic_folder
from mmgraph.inference.table import EmbeddingTable
from mmgraph.sealed import digests_of, write_sealed_json

VECTORS = "vectors.npy"


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
    manifest = read_manifest(path)
    if verify:
        check_files(path, manifest)
    array = load_npy(path / VECTORS, mmap_mode="c")
    if array.dtype != np.float32:
        raise InputError(f"{path / VECTORS}: expected float32, got {array.dtype}")
    return from_rows(read_rows(path, verify=verify), torch.from_numpy(array), manifest, path, verify=verify)


def _check_replaceable(path: Path) -> None:
    """Overwriting replaces the whole folder: never one that holds anything else."""
    if not path.is_dir():
        raise InputError(f"{path}: expected the name of a folder, got a file")
    strange = sorted(item.name for item in path.iterdir() if item.name not in (MANIFEST, VECTORS, IDS))
    if strange:
        raise InputError(f"{path}: refusing to overwrite a folder that holds other things: {', '.join(strange[:5])}")
