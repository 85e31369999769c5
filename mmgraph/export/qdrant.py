"""Qdrant collections: in a folder, without a server, or on a server.

A point has the UUIDv5 of its id as number (`point_id`), and as payload `id` (the original), `type` and the columns.
Writing the same id again replaces the point.

In a folder, the client of Qdrant keeps points as pickles in SQLite and compares with every vector; it is meant for some
ten thousand nodes. Open only folders that you trust: reading a pickle can run code. On a server, search is approximate
and vectors are of unit length; the folder then holds ids and manifest only, and names server and collection.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmgraph.errors import InputError, require
from mmgraph.export.folder import store_folder
from mmgraph.export.manifest import as_array, make_manifest, to_rows
from mmgraph.export.store import Store
from mmgraph.inference.table import EmbeddingTable

COLLECTION = "nodes"
"""Name of the collection in a folder; on a server it has the name of the folder."""
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "mmgraph")
POINTS_PER_REQUEST = 1024
IDS_PER_FILTER = 10_000
"""A server is told which points may be found if there are at most so many; otherwise more are fetched and some kept."""
API_KEY = "QDRANT_API_KEY"


def point_id(node_id: str | int) -> str:
    """UUIDv5 of an id; the integer 7 and the text "7" have different ones."""
    return str(uuid.uuid5(NAMESPACE, f"{type(node_id).__name__}:{node_id}"))


def write_qdrant(table: EmbeddingTable, path: Path, *, overwrite: bool = False, url: str | None = None) -> None:
    """Write a collection.

    A collection on a server is filled in place: run the same command again after an interruption.

    Args:
        table: What to write.
        path: The folder; its name is that of the collection on a server.
        overwrite: Replace the folder, and the collection if it was written by mmgraph.
        url: Address of a server; the key is read from `$QDRANT_API_KEY`.

    Raises:
        InputError: If the folder or collection exists and `overwrite` is false, or the collection is not one of ours.
        MissingExtraError: If qdrant-client is not installed.
    """
    kept: dict[str, Any] = {"package": "qdrant-client", "normalised": url is not None}
    kept |= {"files": ["collection", "meta.json", ".lock"]} if url is None else {"url": url, "collection": path.name}
    with store_folder(table, path, "qdrant", overwrite=overwrite, **kept) as folder:
        client = _connect(folder, url)
        try:
            name = COLLECTION if url is None else path.name
            _create(client, table, name, overwrite=overwrite)
            _upload(client, table, name)
        finally:
            client.close()


def upsert_qdrant(
    old: QdrantStore, new: EmbeddingTable, merged: EmbeddingTable, path: Path, url: str | None = None
) -> None:
    """Write new points over the old ones on the server, or the whole folder again.

    Raises:
        InputError: If the collection lies elsewhere than at `url`.
    """
    there = old.manifest.get("url")
    if url is not None and url != there:
        raise InputError(f"{path}: expected a collection at {url}, got {there or 'one in the folder'}")
    if there is None:
        old.close()  # the client locks the folder
        write_qdrant(merged, path, overwrite=True)
        return
    kept: dict[str, Any] = {"package": "qdrant-client", "normalised": True, "url": there, "collection": old.name}
    with store_folder(merged, path, "qdrant", overwrite=True, **kept):
        _upload(old.client, new, old.name)


def _connect(folder: Path, url: str | None) -> Any:
    qdrant = require("qdrant_client", extra="qdrant")
    if url is not None:
        return qdrant.QdrantClient(url=url, api_key=os.environ.get(API_KEY))
    try:
        return qdrant.QdrantClient(path=str(folder))
    except RuntimeError as error:  # the folder is locked
        raise InputError(f"{folder}: {str(error).splitlines()[0]}") from None


def _create(client: Any, table: EmbeddingTable, name: str, *, overwrite: bool) -> None:
    models = require("qdrant_client.models", extra="qdrant")
    if client.collection_exists(name):
        if not overwrite:
            raise InputError(f"collection {name!r} already exists; give another folder or ask to overwrite it")
        if "mmgraph" not in (client.get_collection(name).config.metadata or {}):
            raise InputError(f"refusing to overwrite collection {name!r}: not written by mmgraph")
        client.delete_collection(name)
    vectors = models.VectorParams(size=table.dim, distance=models.Distance.COSINE)
    client.create_collection(name, vectors_config=vectors, metadata={"mmgraph": make_manifest(table)})


def _upload(client: Any, table: EmbeddingTable, name: str) -> None:
    models = require("qdrant_client.models", extra="qdrant")
    storage = getattr(getattr(client, "_client", None), "collections", {}).get(name)
    connection = getattr(getattr(storage, "storage", None), "storage", None)
    if connection is not None:
        # Each point is a transaction that waits for the disk; this folder is not in place yet, so nothing can be lost.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")
    rows, array = to_rows(table), as_array(table.vectors)
    for start in range(0, len(table), POINTS_PER_REQUEST):
        part = [json_value(row) for row in rows.slice(start, POINTS_PER_REQUEST).to_pylist()]
        vectors = array[start : start + POINTS_PER_REQUEST].tolist()
        batch = models.Batch(ids=[point_id(row["id"]) for row in part], vectors=vectors, payloads=part)
        client.upsert(name, batch, wait=True)


def json_value(value: Any) -> Any:
    """A value as JSON has it: NaN and infinity become null, bytes hexadecimal, dates and the like text."""
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)


class QdrantStore(Store):
    """The collection, opened again; a folder stays locked until it is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.name = self.manifest.get("collection", COLLECTION)
        self.exact = "url" not in self.manifest
        if not self.exact:
            self.compare_up_to = 0  # vectors stay on the server, which filters by id
        self.client = _connect(path, self.manifest.get("url"))
        try:
            if not self.client.collection_exists(self.name):
                raise InputError(f"{path}: expected a collection {self.name!r}, found none")
            found = self.client.get_collection(self.name).config.params.vectors
            self._check("metric", str(found.distance.value).lower(), "cosine")
            self._check("dim", found.size, self.dim)
            self._check("count", self.client.count(self.name, exact=True).count, self.count)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the client and release the folder."""
        self.client.close()

    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        wanted = self.node_ids[positions].tolist()
        found: list[Any] = []
        for part in _parts([point_id(node) for node in wanted]):
            found += self.client.retrieve(self.name, part, with_payload=["id"], with_vectors=True)
        vectors = np.asarray([point.vector for point in found], dtype=np.float32)
        return self._in_order(positions, [point.payload["id"] for point in found], vectors)

    def _search(
        self,
        query: np.ndarray,
        k: int,
        node_type: str | None,
        among: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        models = require("qdrant_client.models", extra="qdrant")
        chosen = None
        if node_type is None and among is not None:
            if self.exact or len(among) > IDS_PER_FILTER:
                return self._search_and_keep(query, k, among)
            chosen = models.Filter(
                must=[models.HasIdCondition(has_id=[point_id(node) for node in self.node_ids[among]])]
            )
        if node_type is not None:
            condition = models.FieldCondition(key="type", match=models.MatchValue(value=node_type))
            chosen = models.Filter(must=[condition])
        questions = [
            models.QueryRequest(query=vector.tolist(), filter=chosen, limit=k, with_payload=["id"]) for vector in query
        ]
        answers = [answer for part in _parts(questions) for answer in self.client.query_batch_points(self.name, part)]
        found = (
            (self._positions_of([point.payload["id"] for point in answer.points]), [p.score for p in answer.points])
            for answer in answers
        )
        return self._padded(found, len(query), k)


def _parts(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), POINTS_PER_REQUEST):
        yield items[start : start + POINTS_PER_REQUEST]
