"""Tables and graphs joined by id, in an order that depends on the ids alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.inference.search import first_identical
from mmgraph.inference.table import EmbeddingTable

SCORES_AT_ONCE = 2**23
"""Scores held at once by a full ranking, if not told otherwise (32 MiB in float32, a few copies of it at most)."""
_scores_at_once: ContextVar[int] = ContextVar("scores_at_once", default=SCORES_AT_ONCE)


@contextmanager
def scores_at_once(count: int) -> Iterator[None]:
    """For a while, full rankings hold at most so many scores, but at least one query's.

    Raises:
        InputError: If the number is below 1.
    """
    if count < 1:
        raise InputError(f"scores at once must be at least 1, got {count}")
    token = _scores_at_once.set(count)
    try:
        yield
    finally:
        _scores_at_once.reset(token)


@dataclass(frozen=True, eq=False)
class AlignedGraph:
    """A graph's nodes in ascending order of their ids.

    Floating-point sums depend on the order of rows, so everything that is evaluated is first brought into one
    order; a table or a graph with shuffled rows then gives the same metrics to the last bit.

    Attributes:
        graph: The graph, in whatever order.
    """

    graph: MultimodalGraph

    @cached_property
    def order(self) -> np.ndarray:
        """Position in the graph of each aligned node, `[num_nodes]`."""
        return np.argsort(self.graph.node_ids.values, kind="stable")

    @cached_property
    def ids(self) -> NodeIds:
        """Ids in ascending order."""
        return self.graph.node_ids.take(self.order)

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return self.graph.num_nodes

    @cached_property
    def node_type(self) -> Tensor:
        """`[num_nodes]`: index into the graph's `node_types`."""
        return self.graph.node_type.cpu()[torch.from_numpy(self.order)]

    @cached_property
    def position(self) -> Tensor:
        """`[num_nodes]`: aligned position of each node of the graph."""
        position = torch.empty(self.num_nodes, dtype=torch.int64)
        position[torch.from_numpy(self.order)] = torch.arange(self.num_nodes)
        return position

    def find(self, ids: Iterable[Any], where: str) -> Tensor:
        """Aligned positions of ids.

        Raises:
            InputError: If some are unknown.
        """
        return torch.from_numpy(self.ids.positions(ids, where=where))

    def edges(self) -> Tensor:
        """All edges of all relations in both directions, aligned, `[2, num_messages]`."""
        return self.position[self.graph.message_edges()[0].cpu()]

    def unit_vectors(self, table: EmbeddingTable) -> Tensor:
        """Vectors of all nodes, aligned, scaled to length 1; zero vectors stay zero: `[num_nodes, dim]`.

        Raises:
            InputError: If nodes are missing from the table, or vectors hold NaN or infinity.
        """
        table.check_finite()
        return torch.nn.functional.normalize(table.vectors_of(self.ids.values), dim=1)


class CosineScores:
    """Cosines of queries with fixed candidates; equal candidates get equal scores, bit for bit.

    A matrix product may give two identical rows scores that differ in the last bit, depending on where they stand,
    and ties would then not be ties. So identical candidates are scored once.

    Args:
        candidates: `[num_candidates, dim]`, unit vectors.
    """

    def __init__(self, candidates: Tensor) -> None:
        rows, copies = torch.unique(first_identical(candidates), return_inverse=True)
        self.copies = copies if rows.numel() < candidates.size(0) else None
        self.distinct = candidates[rows] if self.copies is not None else candidates

    def __call__(self, queries: Tensor) -> Tensor:
        """Scores `[num_queries, num_candidates]` of unit vectors `[num_queries, dim]`."""
        scores = queries @ self.distinct.t()
        return scores if self.copies is None else scores[:, self.copies]


class PairSet:
    """Directed pairs of nodes, looked up by their first node.

    Args:
        pairs: `[2, num_pairs]`, in any order, repeats allowed.
        num_nodes: Number of nodes.
    """

    def __init__(self, pairs: Tensor, num_nodes: int) -> None:
        self.num_nodes = num_nodes
        self.keys = torch.unique(pairs[0] * num_nodes + pairs[1])

    def pairs(self) -> Tensor:
        """All pairs `[2, n]`, each once, in ascending order."""
        return torch.stack([self.keys // self.num_nodes, self.keys % self.num_nodes])

    def contains(self, pairs: Tensor) -> Tensor:
        """Which of the pairs `[2, n]` are in the set, `[n]`, bool."""
        return torch.isin(pairs[0] * self.num_nodes + pairs[1], self.keys)

    def of(self, first: Tensor) -> tuple[Tensor, Tensor]:
        """Partners of nodes: for each pair the number of its node within `first`, and the partner."""
        start = torch.searchsorted(self.keys, first * self.num_nodes)
        stop = torch.searchsorted(self.keys, (first + 1) * self.num_nodes)
        count = stop - start
        row = torch.repeat_interleave(torch.arange(first.numel()), count)
        offset = torch.arange(row.numel()) - (count.cumsum(0) - count)[row]
        return row, self.keys[start[row] + offset] % self.num_nodes


def chunk_size(num_candidates: int) -> int:
    """Number of queries to rank at once."""
    return max(1, _scores_at_once.get() // max(1, num_candidates))


def refuse_leaks(where: str, aligned: AlignedGraph, held_out: Tensor) -> None:
    """Refuse held-out pairs that the graph contains, in whatever relation or direction.

    Args:
        where: Named in the error.
        aligned: The graph that models may see.
        held_out: `[2, num_pairs]`, aligned positions.

    Raises:
        InputError: Counts the pairs and names the first.
    """
    leaked = PairSet(aligned.edges(), aligned.num_nodes).contains(held_out)
    if bool(leaked.any()):
        first = held_out[:, torch.nonzero(leaked)[0, 0]].tolist()
        source, target = aligned.ids[first[0]], aligned.ids[first[1]]
        raise InputError(
            f"{where}: {int(leaked.sum()):,} held-out pairs are edges of graph {aligned.graph.name!r}, "
            f"first: {source!r} - {target!r}; leave them out of the graph"
        )
