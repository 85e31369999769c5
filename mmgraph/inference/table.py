"""Embeddings of nodes with their external ids, and exact search among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph, check_nodes
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.inference.search import SCORES_PER_CHUNK, SearchResult, first_identical, top_k, unit_queries
from mmgraph.notebook import html_table

VECTOR_COLUMNS = ("id", "type", "vector")
"""Names that an embedding takes in every table that leaves the program."""


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """One vector per node, with ids and types. The only thing that is searched, evaluated and exported.

    Attributes:
        node_ids: External ids, unique strings or integers.
        vectors: `[num_nodes, dim]`, float32.
        node_types: Names of the node types.
        node_type: `[num_nodes]`, int64: index into `node_types`.
        graph: Name of the graph.
        model: Digest of the encoder, or the name of the control that made the vectors.
        columns: Optional table with one row per node: names and paths to show beside a result.
    """

    node_ids: NodeIds
    vectors: Tensor
    node_types: tuple[str, ...]
    node_type: Tensor
    graph: str
    model: str
    columns: pa.Table | None = None

    def __post_init__(self) -> None:
        where = f"embeddings of graph {self.graph!r}"
        if len(self.node_ids) == 0:
            raise InputError(f"{where}: expected at least one node, got none")
        if self.vectors.dim() != 2 or self.vectors.size(0) != len(self.node_ids) or self.vectors.size(1) == 0:
            raise InputError(
                f"{where}: vectors must have shape [{len(self.node_ids)}, dim], got {list(self.vectors.shape)}"
            )
        if self.vectors.dtype != torch.float32:
            raise InputError(f"{where}: vectors must be float32, got {self.vectors.dtype}")
        check_nodes(where, len(self.node_ids), self.node_types, self.node_type)
        if self.columns is not None and self.columns.num_rows != len(self.node_ids):
            raise InputError(f"{where}: columns must have {len(self.node_ids)} rows, got {self.columns.num_rows}")

    @classmethod
    def for_graph(cls, graph: MultimodalGraph, vectors: Tensor, *, model: str) -> EmbeddingTable:
        """Pair vectors `[num_nodes, dim]`, row by row, with the nodes of a graph."""
        ids, types = graph.node_ids, graph.node_types
        return cls(ids, vectors, types, graph.node_type, graph.name, model, graph.columns)

    def __len__(self) -> int:
        return len(self.node_ids)

    def __repr__(self) -> str:
        return f"EmbeddingTable({self.graph!r}: {len(self):,} x {self.dim}, model {self.model[:12]!r})"

    def _repr_html_(self) -> str:
        first = self.take(torch.arange(min(len(self), 5)))
        frame = first.to_pandas()
        frame["vector"] = [" ".join(f"{x:.2f}" for x in row[:4].tolist()) + " …" for row in first.vectors]
        return html_table(repr(self), list(frame.columns), frame.itertuples(index=False), total=len(self))

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.vectors.size(1)

    @cached_property
    def norms(self) -> Tensor:
        """Euclidean length of each vector, `[num_nodes]`; NaN or infinite where the vector is."""
        norms: Tensor = torch.linalg.vector_norm(self.vectors, dim=1)
        return norms

    @property
    def types(self) -> list[str]:
        """Name of the type of each node."""
        return [self.node_types[code] for code in self.node_type.tolist()]

    def positions(self, ids: Iterable[Any]) -> Tensor:
        """Rows of these ids, `[len(ids)]`, int64.

        Raises:
            InputError: If some are unknown; the message lists the first five.
        """
        found = self.node_ids.positions(ids, where=f"embeddings of graph {self.graph!r}")
        return torch.from_numpy(found).to(self.vectors.device)

    def vectors_of(self, ids: Iterable[Any]) -> Tensor:
        """Vectors of these ids, `[len(ids), dim]`.

        Raises:
            InputError: If some are unknown; the message lists the first five.
        """
        return self.vectors[self.positions(ids)]

    def nodes_of_type(self, node_type: str) -> Tensor:
        """Rows of the nodes of a type, ascending.

        Raises:
            InputError: If there is no such type.
        """
        if node_type not in self.node_types:
            raise unknown_choice("node type", node_type, self.node_types)
        return torch.nonzero(self.node_type == self.node_types.index(node_type)).flatten().to(self.vectors.device)

    def take(self, index: Tensor) -> EmbeddingTable:
        """Distinct rows at these positions, in this order, as a new table."""
        rows = index.numpy(force=True)
        return replace(
            self,
            node_ids=self.node_ids.take(rows),
            vectors=self.vectors[index.to(self.vectors.device)],
            node_type=self.node_type[index.to(self.node_type.device)],
            columns=None if self.columns is None else self.columns.take(pa.array(rows)),
        )

    def check_finite(self) -> None:
        """Refuse NaN and infinite vectors.

        Raises:
            InputError: Counts the nodes and lists the first five ids.
        """
        # Not `self.norms`: those are kept, and vectors may have changed since. Finite norms come from finite numbers.
        if bool(torch.isfinite(torch.linalg.vector_norm(self.vectors, dim=1)).all()):
            return
        # A norm may overflow. Smallest and largest carry NaN along and need no copy of the vectors, which isfinite makes.
        low, high = torch.aminmax(self.vectors, dim=1)
        good = torch.isfinite(low) & torch.isfinite(high)
        if not bool(good.all()):
            bad = self.node_ids[torch.nonzero(~good).flatten().numpy(force=True)].tolist()
            raise InputError(
                f"embeddings of graph {self.graph!r}: vectors of {len(bad):,} nodes hold NaN or infinity: {first_few(bad)}"
            )

    @cached_property
    def _inverse_norms(self) -> Tensor:
        self.check_finite()
        return torch.where(self.norms > 0, 1.0 / self.norms, 0.0)

    @cached_property
    def _first_identical(self) -> Tensor:
        return first_identical(self.vectors)

    def search(
        self, query: Tensor, k: int = 10, *, node_type: str | None = None, exclude: Tensor | None = None
    ) -> SearchResult:
        """Find the nodes with the highest cosine, exactly; equal scores in order of position.

        A node whose vector is zero has cosine 0 with everything. Memory is bounded: queries go in chunks.

        Args:
            query: `[num_queries, dim]` or `[dim]`.
            k: Number of nodes per query; if there are fewer, all of them are returned.
            node_type: Search among the nodes of this type only.
            exclude: Positions that must not be found, `[num_queries]` or `[num_queries, m]`, int64, for example
                the query node itself; -1 excludes nothing.

        Raises:
            InputError: If `k < 1`, the width differs, a query is zero, NaN or infinite, or a vector of the table
                is NaN or infinite.
        """
        if k < 1:
            raise InputError(f"search: k must be at least 1, got {k}")
        query = unit_queries(query, self.dim, self.vectors.device)
        nodes = None if node_type is None else self.nodes_of_type(node_type)
        vectors, scale = self.vectors, self._inverse_norms
        rows, copies = self._distinct_rows(nodes)
        if rows is not None:
            vectors, scale = vectors[rows], scale[rows]
        num_nodes = len(self) if nodes is None else nodes.numel()
        columns = None if exclude is None else self._excluded_columns(exclude, len(query), nodes)
        k = min(k, num_nodes)
        step = max(1, SCORES_PER_CHUNK // max(1, num_nodes))
        positions = torch.empty(len(query), k, dtype=torch.int64, device=query.device)
        scores = torch.empty(len(query), k, device=query.device)
        for start in range(0, len(query), step):
            chunk = (query[start : start + step] @ vectors.t()).mul_(scale)
            if copies is not None:
                chunk = chunk[:, copies]
            if columns is not None:
                # One more column takes the writes of "excludes nothing".
                chunk = torch.nn.functional.pad(chunk, (0, 1))
                chunk.scatter_(1, columns[start : start + step], -torch.inf)
                chunk = chunk[:, :-1]
            scores[start : start + step], positions[start : start + step] = top_k(chunk, k)
        if nodes is not None:
            positions = nodes[positions]
        return SearchResult(positions.masked_fill(scores == -torch.inf, -1), scores, self)

    def _distinct_rows(self, nodes: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Rows to score, and for each candidate the number of its row among them; `None` means all, in order.

        Identical vectors are scored once, because a matrix product gives them scores that differ in the last bit,
        depending on where in the matrix they stand, and ties would then not be ties.
        """
        first = self._first_identical if nodes is None else self._first_identical[nodes]
        rows, copies = torch.unique(first, return_inverse=True)
        return (nodes, None) if rows.numel() == first.numel() else (rows, copies)

    def _excluded_columns(self, exclude: Tensor, num_queries: int, nodes: Tensor | None) -> Tensor:
        """Turn positions to exclude into columns of the score matrix; the number of columns means none."""
        exclude = exclude.to(self.vectors.device)
        exclude = exclude.unsqueeze(1) if exclude.dim() == 1 else exclude
        if exclude.dim() != 2 or exclude.size(0) != num_queries or exclude.dtype != torch.int64:
            raise InputError(
                f"search: exclude must be int64 [{num_queries}] or [{num_queries}, m], "
                f"got {exclude.dtype} {list(exclude.shape)}"
            )
        if exclude.numel() and (int(exclude.min()) < -1 or int(exclude.max()) >= len(self)):
            raise InputError(
                f"search: exclude must lie in -1..{len(self) - 1}, got {int(exclude.min())}..{int(exclude.max())}"
            )
        count = len(self) if nodes is None else nodes.numel()
        column = torch.full((len(self) + 1,), count, dtype=torch.int64, device=exclude.device)
        inside = torch.arange(len(self), device=exclude.device) if nodes is None else nodes
        column[inside] = torch.arange(count, device=exclude.device)
        return column[exclude]  # position -1 reads the last entry, which stays "none"

    def to_pandas(self) -> pd.DataFrame:
        """One row per node: `id`, `type`, the columns, and `vector` as an array per row."""
        frame = pd.DataFrame({"id": self.node_ids.values, "type": self.types})
        if self.columns is not None:
            shown = self.columns.select([name for name in self.columns.column_names if name not in VECTOR_COLUMNS])
            frame = pd.concat([frame, shown.to_pandas()], axis=1)
        frame["vector"] = list(self.vectors.numpy(force=True))
        return frame
