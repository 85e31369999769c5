"""A USearch index `index.usearch` (HNSW over cosines, float32); key `i` of the index is row `i` of `ids.parquet`."""

from __future__ import annotations

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
            index = usearch.Index.restore(str(path / INDEX)) if (path / INDEX).is_file() else None
        except RuntimeError:
            index = None
        if index is None:
            raise InputError(f"{path / INDEX}: expected a USearch index")
        self.index = index
        self._check("metric", "cosine" if index.metric_kind == usearch.MetricKind.Cos else index.metric_kind, "cosine")
        self._check("dim", index.ndim, self.dim)
        self._check("count", len(index), self.count)
        index.expansion_search = SEARCH  # not part of the file

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
