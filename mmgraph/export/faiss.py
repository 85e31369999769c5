"""Faiss indexes of vectors of unit length under the inner product, which is their cosine.

`faiss` compares with every vector (IndexFlatIP). `faiss-hnsw` walks a graph of near neighbours (Malkov and Yashunin,
arXiv:1603.09320). `faiss-ivfpq` looks into the nearest cells only and keeps one byte per group of dimensions (Jégou et
al., "Product Quantization for Nearest Neighbor Search", 2011); its vectors are approximations.

The folder holds `index.faiss`; number `i` of the index is row `i` of `ids.parquet`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmgraph.errors import InputError, require
from mmgraph.export.folder import store_folder
from mmgraph.export.manifest import as_array
from mmgraph.export.store import Store
from mmgraph.inference.search import SCORES_PER_CHUNK, top_k, unit_rows
from mmgraph.inference.table import EmbeddingTable
from mmgraph.untrusted import reason

INDEX = "index.faiss"
HNSW_LINKS, HNSW_BUILD, HNSW_SEARCH = 32, 200, 128
"""Links per node and width of the search while building and while searching (M, efConstruction, efSearch)."""
CODE_BITS = 8
"""Bits per group of dimensions in a product quantiser; 256 centroids need as many vectors to learn from."""
VECTORS_PER_CENTROID = 32
"""How many vectors at most a centroid is learnt from: with 63,436 x 384 on one core, 38 s instead of 280 s."""
HNSW_FILTERED = 512
"""Width of the search that is divided by the share of nodes that may be found."""
WALK_PER_ROW = 17.5
"""A step in width takes as long as to compare with so many vectors (63,436 x 384: 3.5 and 0.2 microseconds)."""
TIED = 1e-6
"""Cosines that differ by less may belong to equal vectors: Faiss adds in an order that depends on the place of a vector."""
CANDIDATES = 64
"""Nodes beyond `k` among which those with the same score are looked for."""
MATRIX_QUERIES = 5
"""From so many queries on, one matrix product is faster than the scan of each query through `IndexFlatIP` (faiss 1.15,
64,000 x 384, one core: 5 ms per query, a product 25 ms for 8 and 35 ms for 16)."""
SPARE = 16
"""Nodes beyond `k` among which a matrix product leaves the order open."""
PROBED_SHARE = 4
"""One cell in so many is looked into by `faiss-ivfpq`."""


def write_flat(table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
    """Write an exact index.

    Raises:
        InputError: If the path exists and `overwrite` is false.
        MissingExtraError: If faiss is not installed.
    """
    faiss = require("faiss", extra="faiss")
    index = faiss.IndexFlatIP(table.dim)
    index.add(unit_vectors(table))
    _write(index, table, path, "faiss", overwrite)


def write_hnsw(table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
    """Write a navigable graph; on one thread, because the order of insertion makes the graph.

    Raises:
        InputError: If the path exists and `overwrite` is false.
        MissingExtraError: If faiss is not installed.
    """
    faiss = require("faiss", extra="faiss")
    index = faiss.IndexHNSWFlat(table.dim, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = HNSW_BUILD, HNSW_SEARCH
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        index.add(unit_vectors(table))
    finally:
        faiss.omp_set_num_threads(threads)
    _write(index, table, path, "faiss-hnsw", overwrite, M=HNSW_LINKS, ef_construction=HNSW_BUILD, ef_search=HNSW_SEARCH)


def write_ivfpq(table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
    """Write an inverted file of product codes; cells and codes are learnt from the vectors themselves.

    Raises:
        InputError: If the path exists and `overwrite` is false.
        MissingExtraError: If faiss is not installed.
    """
    faiss = require("faiss", extra="faiss")
    vectors, count = unit_vectors(table), len(table)
    cells, groups = max(1, min(2 * math.isqrt(count), count // VECTORS_PER_CENTROID)), code_groups(table.dim)
    bits = min(CODE_BITS, max(1, count.bit_length() - 1))
    if count < 2:
        raise InputError(f"{path}: faiss-ivfpq needs at least 2 vectors to learn from, got {count}; use faiss")
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(table.dim), table.dim, cells, groups, bits, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1  # small tables are no mistake
    index.cp.max_points_per_centroid = index.pq.cp.max_points_per_centroid = VECTORS_PER_CENTROID
    index.nprobe = max(1, math.ceil(cells / PROBED_SHARE))
    index.train(vectors)
    index.add(vectors)
    _write(
        index, table, path, "faiss-ivfpq", overwrite, lossless=False, cells=cells, code_size=groups, nprobe=index.nprobe
    )


def upsert_ivfpq(old: FaissStore, new: EmbeddingTable, merged: EmbeddingTable, path: Path) -> None:
    """Replace and append codes without learning cells and codes again.

    Rebuilding from the vectors of the store would quantise approximations a second time.

    Args:
        old: The store that is there.
        new: What is written to it.
        merged: Ids, types and columns of the result; its vectors are those of `old` where `new` has none.
        path: Folder of the store.
    """
    faiss = require("faiss", extra="faiss")
    index = old.index
    positions = merged.node_ids.positions(new.node_ids.values)
    index.set_direct_map_type(faiss.DirectMap.NoMap)
    index.remove_ids(positions[positions < old.count])
    index.add_with_ids(unit_vectors(new), positions)
    kept = {name: old.manifest[name] for name in ("lossless", "cells", "code_size", "nprobe")}
    _write(index, merged, path, "faiss-ivfpq", True, **kept)


def code_groups(dim: int) -> int:
    """Number of groups of dimensions with a code each: the smallest groups of two or more that divide the width."""
    return next((dim // size for size in range(2, dim) if dim % size == 0), dim)


def unit_vectors(table: EmbeddingTable) -> np.ndarray:
    """Vectors of unit length, `[num_nodes, dim]`, float32."""
    return as_array(unit_rows(table.vectors.detach()))


def _write(index: Any, table: EmbeddingTable, path: Path, store: str, overwrite: bool, **options: Any) -> None:
    faiss = require("faiss", extra="faiss")
    kept = {"files": [INDEX], "package": "faiss-cpu", "normalised": True, **options}
    with store_folder(table, path, store, overwrite=overwrite, **kept) as folder:
        faiss.write_index(index, str(folder / INDEX))


_TABLE_BYTES = 2**28
"""Tables of products that IVF-PQ computes when it is opened; they are not in the file."""


@contextmanager
def _limits(faiss: Any, path: Path) -> Iterator[None]:
    """No array of an index is much larger than its file; faiss would make room for what a damaged file says."""
    if not hasattr(faiss, "set_deserialization_vector_byte_limit"):  # before faiss 1.14
        yield
        return
    before = faiss.get_deserialization_vector_byte_limit()
    faiss.set_deserialization_vector_byte_limit(max(path.stat().st_size, _TABLE_BYTES))
    try:
        yield
    finally:
        faiss.set_deserialization_vector_byte_limit(before)


class FaissStore(Store):
    """Any of the three indexes, opened again."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        faiss = require("faiss", extra="faiss")
        try:
            with _limits(faiss, path / INDEX):
                self.index = faiss.read_index(str(path / INDEX))
        except (RuntimeError, MemoryError, OSError) as error:
            raise InputError(f"{path / INDEX}: expected a faiss index, got: {reason(error)}") from None
        found = "cosine" if self.index.metric_type == faiss.METRIC_INNER_PRODUCT else self.index.metric_type
        self._check("metric", found, "cosine")
        self._check("dim", self.index.d, self.dim)
        self._check("count", self.index.ntotal, self.count)
        self.exact = self.manifest["store"] == "faiss"
        self._ivf = isinstance(self.index, faiss.IndexIVF)
        self._flat = self.index  # to compare with every vector
        if self._ivf:  # looking into all cells for one in so many takes as long as looking into some for all
            self.compare_up_to = self.count // PROBED_SHARE
        elif not self.exact:
            self._flat = faiss.downcast_index(self.index.storage)
            # The fewer may be found, the wider the walk has to be: `rows` vectors take as long as one of this width.
            self.compare_up_to = math.isqrt(int(HNSW_FILTERED * WALK_PER_ROW * self.count))

    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        faiss = require("faiss", extra="faiss")
        if self._ivf and self.index.direct_map.type == faiss.DirectMap.NoMap:
            self.index.set_direct_map_type(faiss.DirectMap.Hashtable)
        found: np.ndarray = self.index.reconstruct_batch(np.ascontiguousarray(positions))
        return found

    def _search(
        self,
        query: np.ndarray,
        k: int,
        node_type: str | None,  # noqa: ARG002
        among: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.exact and among is None and len(query) >= MATRIX_QUERIES:
            return self._search_matrix(query, k)
        faiss = require("faiss", extra="faiss")
        if self.exact and among is not None:
            return self._search_exactly(query, k, among)
        options = self._only(among)
        if self._ivf:
            params = faiss.SearchParametersIVF(nprobe=self.index.nprobe, **options)
        elif self.exact:
            params = faiss.SearchParameters()
        else:
            wide = 0 if among is None else HNSW_FILTERED * self.count // len(among)
            params = faiss.SearchParametersHNSW(efSearch=max(2 * k, self.index.hnsw.efSearch, wide), **options)
        scores, positions = self.index.search(query, k, params=params)
        return positions, np.where(positions < 0, -np.inf, scores)

    def _search_exactly(self, query: np.ndarray, k: int, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        faiss = require("faiss", extra="faiss")
        cells = {"nprobe": self.index.nlist} if self._ivf else {}
        kind = faiss.SearchParametersIVF if self._ivf else faiss.SearchParameters
        params = kind(**cells, **self._only(among))
        more = min(k + CANDIDATES, len(among))
        scores, positions = self._flat.search(query, more, params=params)
        # Where the order of sums may decide, add again in an order that is the same for all, so that equal ones are tied.
        tied = np.flatnonzero((np.diff(scores[:, : k + 1], axis=1) > -TIED).any(axis=1))
        for row in () if self._ivf else tied:
            enough = more == len(among) or scores[row, -1] < scores[row, k - 1] - TIED
            nodes = np.sort(positions[row]) if enough else among
            positions[row, :k], scores[row, :k] = super()._search_exactly(query[row : row + 1], k, nodes)
        return positions[:, :k], scores[:, :k]

    def _only(self, among: np.ndarray | None) -> dict[str, Any]:
        """A selector of these positions, if there are any."""
        if among is None:
            return {}
        faiss = require("faiss", extra="faiss")
        allowed = np.zeros(self.count, dtype=bool)
        allowed[among] = True
        return {"sel": faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))}

    def _search_matrix(self, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Compare many queries with every vector, some queries at a time."""
        faiss = require("faiss", extra="faiss")
        # The vectors of the index itself, not a copy.
        vectors = faiss.rev_swig_ptr(self.index.get_xb(), self.count * self.dim).reshape(self.count, self.dim)
        positions = np.empty((len(query), k), dtype=np.int64)
        scores = np.empty((len(query), k), dtype=np.float32)
        step = max(1, SCORES_PER_CHUNK // self.count)
        for start in range(0, len(query), step):
            part = query[start : start + step]
            _, near = top_k(torch.from_numpy(part @ vectors.T), min(k + SPARE, self.count))
            # The product adds in an order that depends on where a vector stands, so that equal vectors are not tied.
            found = np.sort(near.numpy(), axis=1)
            again = np.einsum("qd,qnd->qn", part, vectors[found])
            best = np.argsort(-again, axis=1, kind="stable")[:, :k]
            positions[start : start + step] = np.take_along_axis(found, best, 1)
            scores[start : start + step] = np.take_along_axis(again, best, 1)
        return positions, scores
