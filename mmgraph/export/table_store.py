"""A table that has no index of its own, read whole and searched exactly."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from mmgraph.export.manifest import as_array, make_manifest, to_rows
from mmgraph.export.store import Store, score_rows
from mmgraph.inference.search import top_k
from mmgraph.inference.table import EmbeddingTable

ROWS_PER_COPY = 1024
"""Rows that are copied out of the table at once: they stay in the cache of the processor."""
WHOLE_FROM = 4
"""If one row in so many may be found, all rows are scored in place, which takes less time than to copy those rows."""


class TableStore(Store):
    """Search in a table in memory, with the interface of all stores.

    Args:
        path: Where the table was read from.
        table: The table.
    """

    def __init__(self, path: Path, table: EmbeddingTable) -> None:
        self.path, self._table = path, table
        self.manifest = {**make_manifest(table), "normalised": False}
        self.rows, self.node_ids = to_rows(table), table.node_ids

    def table(self, *, verify: bool = True) -> EmbeddingTable:  # noqa: ARG002
        """The table, which was verified when it was read."""
        return self._table

    @cached_property
    def _array(self) -> np.ndarray:
        return as_array(self._table.vectors)

    @cached_property
    def _norms(self) -> np.ndarray:
        norms: np.ndarray = np.sqrt(np.einsum("nd,nd->n", self._array, self._array))
        return norms

    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._array[positions]
        return found

    def _search(
        self, query: np.ndarray, k: int, node_type: str | None, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        if node_type is None and among is not None:
            return self._search_exactly(query, k, among)
        found = self._table.search(torch.from_numpy(query), k, node_type=node_type)
        return found.positions.numpy(force=True), found.scores.numpy(force=True)

    def _search_exactly(self, query: np.ndarray, k: int, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if WHOLE_FROM * len(among) >= self.count:
            scores = np.stack([score_rows(self._array, vector, self._norms)[among] for vector in query])
        else:
            scores = np.empty((len(query), len(among)), dtype=np.float32)
            for start in range(0, len(among), ROWS_PER_COPY):
                part = among[start : start + ROWS_PER_COPY]
                rows, norms = self._array[part], self._norms[part]
                for number, vector in enumerate(query):
                    scores[number, start : start + len(part)] = score_rows(rows, vector, norms)
        best, columns = top_k(torch.from_numpy(scores), k)
        return among[columns.numpy()], best.numpy()
