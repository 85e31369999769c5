"""A USearch index `index.usearch` (HNSW over cosines, float32); key `i` of the index is row `i` of `ids.parquet`."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmgraph.errors import InputError, require
from mmgraph.export.folder import store_folder
from mmgraph.export.manifest import as_array
from mmgraph.export.store import Store
from mmgraph.inference.table import EmbeddingTable

INDEX = "index.usearch"
LINKS, BUILD, SEARCH = 16, 128, 128
"""Links per node and width of the search while building and while searching."""


def write_usearch(table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
    """Write an index; built on one thread, because the order of insertion makes the graph.

    Raises:
        InputError: If the path exists and `overwrite` is false.
        MissingExtraError: If usearch is not installed.
    """
    usearch = require("usearch.index", extra="usearch")
    index = usearch.Index(
        ndim=table.dim, metric="cos", dtype="f32", connectivity=LINKS, expansion_add=BUILD, expansion_search=SEARCH
    )
    index.add(np.arange(len(table)), as_array(table.vectors), threads=1)
    kept: dict[str, Any] = {"package": "usearch", "files": [INDEX], "connectivity": LINKS, "expansion_add": BUILD}
    with store_folder(table, path, "usearch", overwrite=overwrite, **kept) as folder:
        index.save(str(folder / INDEX))


class UsearchStore(Store):
    """The index, opened again."""

    exact = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        usearch = require("usearch.index", extra="usearch")
        try:
            if (path / INDEX).is_file():
                self._check_header(path / INDEX, usearch.Index.metadata(str(path / INDEX)) or {})
            index = usearch.Index.restore(str(path / INDEX)) if (path / INDEX).is_file() else None
        except (RuntimeError, MemoryError):
            index = None
        if index is None:
            raise InputError(f"{path / INDEX}: expected a USearch index")
        self.index = index
        self._check("metric", "cosine" if index.metric_kind == usearch.MetricKind.Cos else index.metric_kind, "cosine")
        self._check("dim", index.ndim, self.dim)
        self._check("count", len(index), self.count)
        index.expansion_search = SEARCH  # not part of the file

    def _check_header(self, path: Path, found: Mapping[str, Any]) -> None:
        """Compare what the file says about sizes with the manifest and the file, before the library makes room."""
        with open(path, "rb") as file:
            start = file.read(8)
        rows, width = struct.unpack("<II", start) if len(start) == 8 else (0, 0)
        told = found.get("dimensions"), found.get("count_present"), rows, width
        if told != (self.dim, self.count, self.count, 4 * self.dim) or path.stat().st_size < rows * width:
            raise InputError(f"{path}: expected {self.count:,} vectors of {self.dim} numbers, got {told}")

    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(self.index.get(np.ascontiguousarray(positions, dtype=np.uint64)), dtype=np.float32)

    def _search(
        self,
        query: np.ndarray,
        k: int,
        node_type: str | None,  # noqa: ARG002
        among: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        if among is not None:  # the library filters in C++ only
            return self._search_and_keep(query, k, among)

        def ask(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            found = self.index.search(vector, k, threads=1)
            return np.asarray(found.keys, dtype=np.int64), 1 - np.asarray(found.distances, dtype=np.float32)

        return self._padded(map(ask, query), len(query), k)
