"""A folder with the tensor `vectors` in `vectors.safetensors`; its metadata has the manifest, `ids.parquet` the ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmgraph.errors import InputError
from mmgraph.export.folder import check_files, read_manifest, read_rows, store_folder
from mmgraph.export.manifest import as_array, from_rows, make_manifest
from mmgraph.inference.table import EmbeddingTable

VECTORS = "vectors.safetensors"


def write_safetensors(table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
    """Write a table as a folder.

    Raises:
        InputError: If the path exists and `overwrite` is false.
    """
    kept: dict[str, Any] = {"package": "safetensors", "files": [VECTORS]}
    with store_folder(table, path, "safetensors", overwrite=overwrite, **kept) as folder:
        metadata = {"mmgraph": json.dumps(make_manifest(table), ensure_ascii=False)}
        save_file({"vectors": torch.from_numpy(as_array(table.vectors))}, str(folder / VECTORS), metadata=metadata)


def read_safetensors(path: Path, *, verify: bool = True) -> EmbeddingTable:
    """Read a table written by `write_safetensors`, every bit of it.

    Raises:
        InputError: If a file is missing, damaged, or does not match the manifest.
    """
    manifest = read_manifest(path)
    if verify:
        check_files(path, manifest)
    try:
        vectors = load_file(str(path / VECTORS))["vectors"]
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"{path / VECTORS}: expected a tensor 'vectors', got: {str(error).splitlines()[0]}") from None
    if vectors.dtype != torch.float32:
        raise InputError(f"{path / VECTORS}: expected float32, got {vectors.dtype}")
    return from_rows(read_rows(path, verify=verify), vectors, manifest, path, verify=verify)
