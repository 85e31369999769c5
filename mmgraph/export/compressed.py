"""Codes of vectors instead of vectors: half precision, int8, fewer dimensions, signs, product codes.

The folder holds `codes.npy` (and `signs.npy` for binary forms), in the order of `ids.parquet`, and `codec.safetensors`:
steps, centroids and the projection. Queries have the full width and are projected by the store itself. All codes are read
in every search; the file is mapped, so they need not fit into memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmgraph.compression.codec import Codec, Codes, bytes_per_vector
from mmgraph.compression.form import Form
from mmgraph.compression.scan import CodeIndex
from mmgraph.data.arrays import load_npy
from mmgraph.errors import InputError
from mmgraph.export.folder import read_manifest, store_folder
from mmgraph.export.projected import CODEC, ProjectedStore, upsert_projected, write_projected
from mmgraph.export.store import Store
from mmgraph.inference.table import EmbeddingTable

DEFAULT_FORM = "int8"


def write_compressed(
    table: EmbeddingTable,
    path: Path,
    *,
    overwrite: bool = False,
    form: str = DEFAULT_FORM,
    inner: str | None = None,
    seed: int = 0,
) -> None:
    """Learn a codec from a table and write its codes.

    Args:
        table: Full vectors.
        path: Folder.
        overwrite: Replace what is there.
        form: See `mmgraph.compression.form.Form.parse`.
        inner: Format of the store of narrower vectors, see `mmgraph.export.projected`; codes of our own by default.
        seed: Seed of the codec.

    Raises:
        InputError: If the path exists and `overwrite` is false, or the form or `inner` is unknown or does not fit.
        MissingExtraError: If product codes are asked for and faiss is not installed.
    """
    codec = Codec.fit(table.vectors.detach(), Form.parse(form), seed=seed)
    if inner is not None:
        write_projected(codec, table, path, inner, overwrite=overwrite)
        return
    _write(codec, codec.encode(table.vectors.detach()), table, path, overwrite)


def upsert_compressed(
    old: CompressedStore | ProjectedStore,
    new: EmbeddingTable,
    merged: EmbeddingTable,
    path: Path,
    *,
    form: str | None = None,
    inner: str | None = None,
    seed: int = 0,
) -> None:
    """Replace and append codes by the codec that is there; codes of all other nodes stay as they are.

    Args:
        old: The store that is there.
        new: What is written to it.
        merged: Ids, types and columns of the result.
        path: Folder of the store.
        form: Refuse a store of another form.
        inner: Refuse a store of another format inside.
        seed: Not used: nothing is learnt.

    Raises:
        InputError: If the store has another form or another format inside.
    """
    del seed
    codec = old.codec
    if form is not None and str(Form.parse(form)) != str(codec.form):
        raise InputError(f"{path}: expected a store of form {form!r}, got {str(codec.form)!r}")
    if inner is not None and inner != old.manifest.get("inner"):
        raise InputError(f"{path}: expected a store of inner {inner!r}, got {old.manifest.get('inner')!r}")
    if isinstance(old, ProjectedStore):
        upsert_projected(old, new, merged, path)
        return
    positions = torch.from_numpy(merged.node_ids.positions(new.node_ids.values))
    fresh = codec.encode(new.vectors.detach().cpu())
    codes: Codes = {}
    for name, kept in old.codes.items():
        codes[name] = kept.new_zeros(len(merged), *kept.shape[1:])
        codes[name][: len(kept)] = kept
        codes[name][positions] = fresh[name]
    _write(codec, codes, merged, path, True)


def _write(codec: Codec, codes: Codes, table: EmbeddingTable, path: Path, overwrite: bool) -> None:
    about: dict[str, Any] = {
        "package": "safetensors",
        "files": [CODEC, *(_file(name) for name in codes)],
        "normalised": True,
        "lossless": False,
        "form": str(codec.form),
        "width": codec.width,
        "bytes_per_vector": bytes_per_vector(codes),
    }
    with store_folder(table, path, "compressed", overwrite=overwrite, **about) as folder:
        codec.save(folder / CODEC)
        for name, part in codes.items():
            np.save(folder / _file(name), part.numpy(force=True), allow_pickle=False)


def open_compressed(path: Path) -> CompressedStore | ProjectedStore:
    """Open a folder that `write_compressed` wrote."""
    return ProjectedStore(path) if "inner" in read_manifest(path) else CompressedStore(path)


class CompressedStore(Store):
    """The codes, mapped, and the codec that reads them; vectors come back in the original width, as approximations."""

    exact = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.codec = Codec.load(path / CODEC)
        self._check("form", str(self.codec.form), self.manifest.get("form"))
        self._check("dim", self.codec.dim, self.dim)
        names = ["codes"] if self.codec.signs is None else ["codes", "signs"]
        self.codes: Codes = {name: torch.from_numpy(_mapped(path / _file(name))) for name in names}
        for part in self.codes.values():
            self._check("count", len(part), self.count)
        self.index = CodeIndex(self.codec, self.codes)
        self._check("bytes_per_vector", bytes_per_vector(self.codes), self.manifest.get("bytes_per_vector"))

    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.codec.restore(self.codes["codes"][torch.from_numpy(positions)]).numpy()
        return found

    def _search(
        self,
        query: np.ndarray,
        k: int,
        node_type: str | None,  # noqa: ARG002
        among: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = None if among is None else torch.from_numpy(among)
        scores, positions = self.index.search(torch.from_numpy(query), k, among=rows)
        return positions.numpy(), scores.numpy()


def _file(name: str) -> str:
    return f"{name}.npy"


def _mapped(path: Path) -> np.ndarray:
    return load_npy(path, mmap_mode="c")
