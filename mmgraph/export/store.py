"""A written table that is searched where it lies, without loading its vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.export.filters import Filter, parse_filter
from mmgraph.export.folder import check_files, read_manifest, read_rows
from mmgraph.export.hits import Hits
from mmgraph.export.manifest import from_rows
from mmgraph.inference.search import unit_queries
from mmgraph.inference.table import EmbeddingTable

ROWS_PER_CHUNK = 16_384
OVERFETCH = (2, 32)
"""How many times `k` of the nodes that may be found are hoped for, at first and where that was not enough: a filter that
goes along with the vectors leaves few of the nearest nodes."""


def score_rows(vectors: np.ndarray, query: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Cosine of each row with a query of unit length, `[num_rows]`; 0 for a zero vector.

    Not by a matrix product: there, the place of a row changes its last bit, and equal vectors would not be tied.

    Args:
        vectors: `[num_rows, dim]`.
        query: `[dim]`.
        norms: Length of each row, `[num_rows]`.
    """
    products: np.ndarray = np.einsum("nd,d->n", vectors, query)
    cosines: np.ndarray = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return cosines


class Store(ABC):
    """Embeddings on disk or on a server: ids, vectors and search by cosine.

    Subclasses say how vectors are read and nodes found; ids, types and columns come from `ids.parquet`. Use it in a
    `with` statement, or call `close`.

    Args:
        path: Folder of the store.

    Raises:
        InputError: If it is damaged, or what the library holds is not what the manifest says.
    """

    exact = True
    """Whether a search finds the very nearest nodes."""
    compare_up_to = 1000
    """If at most so many nodes may be found, the query is compared with each of them; otherwise the index is asked.

    Subclasses set what `experiments/benchmarks/filters.py` measured: where comparing takes as long as asking.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = read_manifest(path)
        check_files(path, self.manifest)  # before a library reads a byte of it
        self.rows = read_rows(path)
        self.node_ids = NodeIds(self.rows.column(0), where=f"{path}, column id")
        self._check("nodes", len(self.node_ids), self.count)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {self.count:,} x {self.dim})"

    @property
    def count(self) -> int:
        """Number of nodes."""
        return int(self.manifest["count"])

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.manifest["dim"])

    @cached_property
    def _of_type(self) -> dict[str, np.ndarray]:
        """Ascending positions of the nodes of each type of the manifest."""
        types = np.asarray(self.rows.column(1).to_pylist(), dtype=object)
        return {name: np.flatnonzero(types == name) for name in self.manifest["node_types"]}

    def ids(self) -> list[Any]:
        """External ids, in the order in which they were first written."""
        values: list[Any] = self.node_ids.values.tolist()
        return values

    def vectors(self, ids: Iterable[Any]) -> Tensor:
        """Vectors of these ids, `[len(ids), dim]`, float32; of unit length if the manifest says `normalised`.

        Raises:
            InputError: If some are unknown; the message lists the first five.
        """
        return self.vectors_at(self.node_ids.positions(ids, where=f"{self.path}"))

    def vectors_at(self, positions: np.ndarray) -> Tensor:
        """Vectors of the nodes in these rows, `[len(positions), dim]`, for callers that looked ids up already."""
        if len(positions) == 0:
            return torch.empty(0, self.dim)
        return torch.from_numpy(self._vectors_at(positions).reshape(len(positions), self.dim))

    def search(
        self,
        query: Tensor,
        k: int = 10,
        *,
        node_type: str | None = None,
        where: str | Filter | None = None,
        graph: MultimodalGraph | None = None,
    ) -> Hits:
        """Find the nodes with the highest cosine.

        If few nodes have the type and fit the filter (`compare_up_to`), and wherever the index finds fewer than `k`
        although there are enough, the query is compared with every node that may be found, which is exact.

        Args:
            query: `[num_queries, dim]` or `[dim]`.
            k: Number of nodes per query; if there are fewer, all of them are returned.
            node_type: Search among the nodes of this type only.
            where: Search among the nodes that this filter leaves only (`mmgraph.export.filters`).
            graph: For `within` in the filter.

        Raises:
            InputError: If `k < 1`, the width differs, a query is zero, NaN or infinite, there is no such type, or the
                filter does not fit the store.
        """
        if k < 1:
            raise InputError(f"search: k must be at least 1, got {k}")
        unit = unit_queries(query, self.dim).numpy()
        among = self._candidates(node_type, where, graph)
        k = min(k, self.count if among is None else len(among))
        if k == 0 or len(unit) == 0:
            empty = torch.empty(len(unit), k)
            return Hits(empty.long(), empty, self.rows)
        native = self.exact and where is None  # a library that compares with every node of a type itself
        if among is not None and not native and len(among) <= max(k, self.compare_up_to):
            positions, scores = self._search_exactly(unit, k, among)
        else:
            kind = node_type if where is None else None
            positions, scores = self._search(np.ascontiguousarray(unit), k, kind, among)
        short = np.flatnonzero((positions < 0).any(axis=1))
        if len(short):
            everything = np.arange(self.count) if among is None else among
            positions[short], scores[short] = self._search_exactly(unit[short], k, everything)
        # Equal scores in order of position, as in `EmbeddingTable.search`.
        order = np.lexsort((positions, -scores), axis=-1)
        positions, scores = np.take_along_axis(positions, order, 1), np.take_along_axis(scores, order, 1)
        return Hits(torch.from_numpy(positions), torch.from_numpy(scores), self.rows)

    def _candidates(
        self, node_type: str | None, where: str | Filter | None, graph: MultimodalGraph | None
    ) -> np.ndarray | None:
        """Ascending positions of the nodes that may be found; `None` means all."""
        among = None
        if node_type is not None:
            if node_type not in self.manifest["node_types"]:
                raise unknown_choice("node type", node_type, self.manifest["node_types"])
            among = self._of_type[node_type]
        if where is not None:
            chosen = (parse_filter(where) if isinstance(where, str) else where).mask(self.rows, graph=graph)
            chosen = chosen if among is None else np.intersect1d(chosen, among, assume_unique=True)
            among = None if len(chosen) == self.count else chosen
        return among

    def table(self, *, verify: bool = True) -> EmbeddingTable:
        """Read everything back as a table.

        Args:
            verify: Compare the vectors with the digest in the manifest, if the store keeps every bit.
        """
        vectors = np.empty((self.count, self.dim), dtype=np.float32)
        for start in range(0, self.count, ROWS_PER_CHUNK):
            rows = np.arange(start, min(start + ROWS_PER_CHUNK, self.count))
            vectors[rows] = self._vectors_at(rows)
        verify = verify and bool(self.manifest.get("lossless", True)) and not self.manifest["normalised"]
        return from_rows(self.rows, torch.from_numpy(vectors), self.manifest, self.path, verify=verify)

    def close(self) -> None:  # noqa: B027  (most stores hold nothing open)
        """Release files, locks and connections."""

    @abstractmethod
    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        """Vectors `[len(positions), dim]`, float32, of at least one position."""

    @abstractmethod
    def _search(
        self, query: np.ndarray, k: int, node_type: str | None, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions and cosines `[num_queries, k]` for queries of unit length; position -1 where nothing was found.

        Args:
            query: `[num_queries, dim]`, float32.
            k: At most the number of candidates.
            node_type: Search among this type; a library that filters by type itself need not read `among`.
            among: Ascending positions of the nodes that may be found, at least one; `None` means all. Without a
                `node_type` they are those of a filter.
        """

    def _search_and_keep(self, query: np.ndarray, k: int, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ask for so many of all nodes that about `2 k` of them may be found, and keep these; then for more.

        What an exact store finds in this way is exact; where it finds fewer than `k`, `search` compares with all.
        """
        allowed = np.zeros(self.count + 1, dtype=bool)  # the last one is position -1
        allowed[among] = True
        positions, scores = self._padded((), len(query), k)
        short = np.arange(len(query))
        for factor in OVERFETCH:
            wanted = min(self.count, factor * k * -(-self.count // len(among)))
            nodes, cosines = self._search(query[short], wanted, None, None)
            kept = [np.flatnonzero(allowed[row])[:k] for row in nodes]
            found = [(nodes[row, inside], cosines[row, inside]) for row, inside in enumerate(kept)]
            positions[short], scores[short] = self._padded(found, len(short), k)
            short = short[[len(inside) < k for inside in kept]]
            if len(short) == 0 or wanted == self.count:
                break
        return positions, scores

    def _search_exactly(self, query: np.ndarray, k: int, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compare with every node of `among`, at least `k` of them; arguments and result as in `_search`."""
        positions = np.full((len(query), 0), -1, dtype=np.int64)
        scores = np.zeros((len(query), 0), dtype=np.float32)
        for start in range(0, len(among), ROWS_PER_CHUNK):
            rows = among[start : start + ROWS_PER_CHUNK]
            vectors = self._vectors_at(rows)
            norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
            found = np.stack([score_rows(vectors, vector, norms) for vector in query])
            scores = np.concatenate([scores, found], axis=1)
            positions = np.concatenate([positions, np.broadcast_to(rows, found.shape)], axis=1)
            best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            positions, scores = np.take_along_axis(positions, best, 1), np.take_along_axis(scores, best, 1)
        return positions, scores

    def _padded(self, found: Iterable[tuple[Any, Any]], num_queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions and scores of each query as arrays `[num_queries, k]`, -1 and minus infinity where there are fewer."""
        positions = np.full((num_queries, k), -1, dtype=np.int64)
        scores = np.full((num_queries, k), -np.inf, dtype=np.float32)
        for row, (nodes, values) in enumerate(found):
            positions[row, : len(nodes)], scores[row, : len(nodes)] = nodes, values
        return positions, scores

    def _in_order(self, positions: np.ndarray, ids: list[Any], vectors: np.ndarray) -> np.ndarray:
        """Vectors of these positions, from a library that gives ids and vectors `[len(ids), dim]` in any order."""
        order = np.argsort(rows := self._positions_of(ids))
        place = np.minimum(np.searchsorted(rows[order], positions), max(0, len(rows) - 1))
        missing = positions if len(rows) == 0 else positions[rows[order][place] != positions]
        if len(missing):
            lost = first_few(self.node_ids[missing].tolist())
            raise InputError(f"{self.path}: {len(missing):,} nodes of ids.parquet are not in the store: {lost}")
        found: np.ndarray = vectors.reshape(len(ids), self.dim)[order][place]
        return found

    def _positions_of(self, ids: list[Any]) -> np.ndarray:
        """Rows of ids that the library returned."""
        return (
            self.node_ids.positions(ids, where=f"{self.path}: changed by another program") if ids else np.empty(0, int)
        )

    def _check(self, what: str, found: object, expected: object) -> None:
        """Refuse a store whose content is not what its manifest says."""
        if found != expected:
            raise InputError(f"{self.path}: the manifest says {what} {expected!r}, the store has {found!r}")
