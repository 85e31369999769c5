"""A DuckDB database `embeddings.duckdb` with one table `nodes`: `id`, `type`, the columns, `vector FLOAT[dim]`.

Search is SQL, and exact:

    SELECT id, array_cosine_similarity(vector, (SELECT vector FROM nodes WHERE id = 'p7')) AS score
    FROM nodes ORDER BY score DESC LIMIT 10;

The table `manifest` has one row with the manifest as JSON, for whoever gets the file without its folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.errors import InputError, require
from mmgraph.export.folder import store_folder
from mmgraph.export.manifest import make_manifest, with_vectors
from mmgraph.export.store import Store
from mmgraph.inference.table import EmbeddingTable

DATABASE = "embeddings.duckdb"


def write_duckdb(table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
    """Write a table as a database.

    Raises:
        InputError: If the path exists and `overwrite` is false, or DuckDB takes a column for another one because it
            does not tell upper from lower case.
        MissingExtraError: If duckdb is not installed.
    """
    duckdb = require("duckdb", extra="duckdb")
    kept: dict[str, Any] = {"package": "duckdb", "files": [DATABASE]}
    with store_folder(table, path, "duckdb", overwrite=overwrite, **kept) as folder:
        connection = duckdb.connect(str(folder / DATABASE))
        try:
            incoming = with_vectors(table)
            names = incoming.schema.names
            clash = sorted({name for name in names if [n.lower() for n in names].count(name.lower()) > 1})
            if clash:
                raise InputError(f"{path}: DuckDB does not tell these columns apart: {', '.join(clash)}")
            connection.register("incoming", incoming)
            connection.execute(
                f"CREATE TABLE nodes AS SELECT * REPLACE (vector::FLOAT[{table.dim}] AS vector) FROM incoming"
            )
            connection.unregister("incoming")
            connection.execute("CREATE TABLE manifest (content JSON)")
            connection.execute("INSERT INTO manifest VALUES (?)", [json.dumps(make_manifest(table))])
        finally:
            connection.close()


class DuckStore(Store):
    """The database, opened again to be read."""

    compare_up_to = 0  # SQL filters as fast as vectors are read

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        duckdb = require("duckdb", extra="duckdb")
        try:
            self.connection = duckdb.connect(str(path / DATABASE), read_only=True)
            (kind,) = self.connection.execute("SELECT typeof(vector) FROM nodes LIMIT 1").fetchone()
        except duckdb.Error as error:
            raise InputError(
                f"{path / DATABASE}: expected a table nodes, got: {str(error).strip().splitlines()[0]}"
            ) from None
        try:
            self._check("dim", int(kind.removeprefix("FLOAT[").removesuffix("]")), self.dim)
            self._check("count", self.connection.execute("SELECT count(*) FROM nodes").fetchone()[0], self.count)
        except InputError:
            self.close()
            raise

    def close(self) -> None:
        """Close the database; other programs can then write to it."""
        self.connection.close()

    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        wanted = self.node_ids[positions].tolist()
        among = "SELECT id, vector FROM nodes WHERE id IN (SELECT unnest(?))"
        found = self.connection.execute(among, [wanted]).fetchnumpy()
        return self._in_order(positions, list(found["id"]), np.stack(found["vector"]))

    def _search(
        self,
        query: np.ndarray,
        k: int,
        node_type: str | None,
        among: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        chosen, values = ("", []) if node_type is None else ("WHERE type = ?", [node_type])
        # A cursor is a connection of its own, so that searches in several threads do not share `chosen`.
        cursor = self.connection.cursor()
        if node_type is None and among is not None:
            chosen = "WHERE id IN (SELECT id FROM chosen)"
            cursor.register("chosen", pa.table({"id": self.node_ids.arrow.take(pa.array(among))}))
        question = (
            f"SELECT id, array_cosine_similarity(vector, ?::FLOAT[{self.dim}]) AS score FROM nodes {chosen} "
            f"ORDER BY score DESC, rowid LIMIT {k}"
        )

        def ask(vector: np.ndarray) -> tuple[np.ndarray, list[float]]:
            found = cursor.execute(question, [vector.tolist(), *values]).fetchall()
            return self._positions_of([node for node, _ in found]), [score for _, score in found]

        with cursor:
            return self._padded(map(ask, query), len(query), k)
