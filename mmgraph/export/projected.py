"""Fewer dimensions in a store of any other format: the projection is kept beside it and applied to every query.

The folder holds `codec.safetensors` and `vectors`, a store of its own with vectors of fewer dimensions, of unit length.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmgraph.compression.codec import Codec
from mmgraph.errors import InputError, unknown_choice
from mmgraph.export.folder import store_folder
from mmgraph.export.formats import INNER
from mmgraph.export.store import Store
from mmgraph.inference.table import EmbeddingTable

if TYPE_CHECKING:
    from mmgraph.compression.form import Form

CODEC, VECTORS = "codec.safetensors", "vectors"


def write_projected(codec: Codec, table: EmbeddingTable, path: Path, inner: str, *, overwrite: bool = False) -> None:
    """Write the projected vectors of a table in another format.

    Args:
        codec: Of a form that projects and does nothing else.
        table: Full vectors.
        path: Folder.
        inner: Name of the other format.
        overwrite: Replace what is there.

    Raises:
        InputError: If the path exists and `overwrite` is false, the format is none of `INNER`, the form codes numbers, or a
            vector has nothing in the kept dimensions.
        MissingExtraError: If the library of the format is not installed.
    """
    from mmgraph.export.base import write_table

    if inner not in INNER:
        raise unknown_choice("inner format", inner, INNER)
    _check_form(codec.form)
    with store_folder(table, path, "compressed", overwrite=overwrite, **_about(codec, inner)) as folder:
        codec.save(folder / CODEC)
        write_table(_narrow(codec, table), folder / VECTORS, format=inner)


def upsert_projected(old: ProjectedStore, new: EmbeddingTable, merged: EmbeddingTable, path: Path) -> None:
    """Replace and append vectors; the projection stays as it was learnt, and vectors of other nodes stay as they are.

    Args:
        old: The store that is there.
        new: What is written to it.
        merged: Ids, types and columns of the result.
        path: Folder of the store.
    """
    from mmgraph.export.base import write_table

    codec, inner = old.codec, old.manifest["inner"]
    with store_folder(merged, path, "compressed", overwrite=True, **_about(codec, inner)) as folder:
        codec.save(folder / CODEC)
        copy = shutil.copytree if (path / VECTORS).is_dir() else shutil.copy2
        copy(path / VECTORS, folder / VECTORS)
        write_table(_narrow(codec, new), folder / VECTORS, format=inner, upsert=True)


class ProjectedStore(Store):
    """The store inside, and the projection of queries; vectors come back in the original width, as approximations."""

    exact = False

    def __init__(self, path: Path) -> None:
        from mmgraph.export.base import open_store

        super().__init__(path)
        self.codec = Codec.load(path / CODEC)
        self._check("form", str(self.codec.form), self.manifest.get("form"))
        self._check("dim", self.codec.dim, self.dim)
        self.inner = open_store(path / VECTORS, model=self.manifest["model"], dim=self.codec.width)
        if self.inner.node_ids != self.node_ids:
            raise InputError(f"{path}: the ids of {VECTORS} are not those of ids.parquet")

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()

    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        narrow = torch.from_numpy(self.inner._vectors_at(positions))
        found: np.ndarray = self.codec.restore(narrow.reshape(len(positions), self.codec.width)).numpy()
        return found

    def _search(
        self, query: np.ndarray, k: int, node_type: str | None, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        narrow = self.codec.project(torch.from_numpy(query)).numpy()
        return self.inner._search(np.ascontiguousarray(narrow), k, node_type, among)


def _check_form(form: Form) -> None:
    if form.code != "float32" or form.dims is None:
        raise InputError(f"form {str(form)!r}: only dims:K and first:K can be kept in another format")


def _narrow(codec: Codec, table: EmbeddingTable) -> EmbeddingTable:
    return replace(table, vectors=codec.project(table.vectors.detach()))


def _about(codec: Codec, inner: str) -> dict[str, Any]:
    return {
        "package": "safetensors",
        "files": [CODEC, VECTORS],
        "normalised": True,
        "lossless": False,
        "form": str(codec.form),
        "width": codec.width,
        "inner": inner,
    }
