"""A LanceDB database with the table `nodes`: `id`, `type`, the columns, `vector`.

No index is built: LanceDB then compares with every vector, and the search is exact. `lancedb.connect(folder)` opens the
same folder from other programs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmgraph.errors import InputError, require
from mmgraph.export.folder import store_folder
from mmgraph.export.manifest import with_vectors
from mmgraph.export.store import Store
from mmgraph.inference.table import EmbeddingTable

NAME = "nodes"


def write_lancedb(table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
    """Write a table as a database.

    Raises:
        InputError: If the path exists and `overwrite` is false.
        MissingExtraError: If lancedb is not installed.
    """
    lancedb = require("lancedb", extra="lancedb")
    kept: dict[str, Any] = {"package": "lancedb", "files": [f"{NAME}.lance"]}
    with store_folder(table, path, "lancedb", overwrite=overwrite, **kept) as folder:
        lancedb.connect(str(folder)).create_table(NAME, data=with_vectors(table))


class LanceStore(Store):
    """The database, opened again."""

    compare_up_to = 2000

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        lancedb = require("lancedb", extra="lancedb")
        try:
            self.nodes = lancedb.connect(str(path)).open_table(NAME)
        except (ValueError, OSError, RuntimeError) as error:
            raise InputError(f"{path}: expected a LanceDB table {NAME!r}, got: {str(error).splitlines()[0]}") from None
        self._check("dim", self.nodes.schema.field("vector").type.list_size, self.dim)
        self._check("count", self.nodes.count_rows(), self.count)

    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        wanted = self.node_ids[positions].tolist()
        among = f"id IN ({', '.join(map(literal, wanted))})"
        found = self.nodes.search().where(among).select(["id", "vector"]).limit(len(wanted)).to_arrow()
        vectors = found["vector"].combine_chunks().flatten().to_numpy()
        return self._in_order(positions, found["id"].to_pylist(), vectors)

    def _search(
        self,
        query: np.ndarray,
        k: int,
        node_type: str | None,
        among: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        if node_type is None and among is not None:
            return self._search_and_keep(query, k, among)

        def ask(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            question = self.nodes.search(vector, vector_column_name="vector").distance_type("cosine").limit(k)
            if node_type is not None:
                question = question.where(f"type = {literal(node_type)}", prefilter=True)
            found = question.select(["id", "_distance"]).to_arrow()
            return self._positions_of(found["id"].to_pylist()), 1 - found["_distance"].to_numpy()

        return self._padded(map(ask, query), len(query), k)


def literal(value: str | int) -> str:
    """A value as it stands in a filter: numbers as they are, texts in single quotes, which are doubled inside."""
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
