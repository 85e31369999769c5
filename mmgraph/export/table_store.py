"""A table that has no index of its own, read whole and searched exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mmgraph.export.manifest import make_manifest, to_rows
from mmgraph.export.store import Store
from mmgraph.inference.table import EmbeddingTable


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
        self._types = np.asarray(table.types, dtype=object)

    def table(self, *, verify: bool = True) -> EmbeddingTable:  # noqa: ARG002
        """The table, which was verified when it was read."""
        return self._table

    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._table.vectors[torch.from_numpy(positions)].numpy(force=True)
        return found

    def _search(
        self,
        query: np.ndarray,
        k: int,
        node_type: str | None,
        among: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        if node_type is None and among is not None:
            return self._search_and_keep(query, k, among)
        found = self._table.search(torch.from_numpy(query), k, node_type=node_type)
        return found.positions.numpy(force=True), found.scores.numpy(force=True)
