"""Weighted edges that can be multiplied with, and looked up by the pair of nodes that they join."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.nn.aggregate import sum_of_sources
from mmgraph.nn.message_graph import MessageGraph, row_starts

WEIGHT = "weight"
"""Name of the edge attribute that weighs messages; edges of a relation without it weigh 1."""


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Edges between the nodes of one graph, each pair once with the sum of its weights, none from a node to itself.

    Attributes:
        keys: `[num_pairs]`, ascending: `target * num_nodes + source`.
        weight: `[num_pairs]`, float32.
        num_nodes: Number of nodes.
    """

    keys: Tensor
    weight: Tensor
    num_nodes: int

    @classmethod
    def from_edges(cls, edge_index: Tensor, weight: Tensor, num_nodes: int) -> Adjacency:
        """Merge parallel edges.

        Args:
            edge_index: `[2, num_edges]`, from row 0 to row 1.
            weight: `[num_edges]`.
            num_nodes: Number of nodes.
        """
        other = edge_index[0] != edge_index[1]
        source, target = edge_index[:, other]
        keys, place = torch.unique(target * num_nodes + source, return_inverse=True)
        total = torch.zeros(keys.numel(), dtype=torch.float32, device=keys.device)
        return cls(keys, total.index_add_(0, place, weight[other].float()), num_nodes)

    @cached_property
    def edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Target, source and weight of each pair, by target."""
        return self.keys // self.num_nodes, self.keys % self.num_nodes, self.weight

    @cached_property
    def messages(self) -> MessageGraph:
        """The pairs in the form that sums over neighbours take."""
        target, source, _ = self.edges
        return MessageGraph(row_starts(target, self.num_nodes), source, target, self.num_nodes)

    @cached_property
    def degree(self) -> Tensor:
        """Sum of the weights of each target's edges, `[num_nodes]`."""
        target, _, weight = self.edges
        return torch.zeros(self.num_nodes, device=weight.device).index_add_(0, target, weight)

    def multiply(self, x: Tensor) -> Tensor:
        """Weighted sum over the neighbours, `[num_nodes, dim]`."""
        return sum_of_sources(x, self.weight, self.messages)

    def sum_into(self, rows: Tensor, x: Tensor) -> Tensor:
        """The same for some targets only, `[num_rows, dim]`.

        Args:
            rows: Ascending positions.
            x: `[num_nodes, dim]`.
        """
        place = torch.full((self.num_nodes,), -1, dtype=torch.int64, device=rows.device)
        place[rows] = torch.arange(rows.numel(), device=rows.device)
        target, source, weight = self.edges
        kept = torch.nonzero(place[target] >= 0).flatten()
        target, source = place[target[kept]], source[kept]
        graph = MessageGraph(row_starts(target, rows.numel()), source, target, self.num_nodes)
        return sum_of_sources(x, weight[kept], graph)

    def weight_between(self, target: Tensor, source: Tensor) -> Tensor:
        """Weight of each pair, `[num_pairs]`; 0 where there is no edge."""
        if not self.keys.numel():
            return torch.zeros(target.numel(), device=self.weight.device)
        key = target * self.num_nodes + source
        place = torch.searchsorted(self.keys, key).clamp(max=self.keys.numel() - 1)
        return torch.where(self.keys[place] == key, self.weight[place], 0.0)

    def neighbours_among(self, nodes: Tensor, candidates: Tensor) -> Tensor:
        """Which of the candidates each node has an edge with, `[num_nodes, num_candidates]`, bool.

        Args:
            nodes: `[num_nodes]`.
            candidates: `[num_candidates]`; a node may occur several times.
        """
        found = torch.zeros(nodes.numel(), candidates.numel(), dtype=torch.bool, device=nodes.device)
        ordered, order = torch.sort(candidates, stable=True)
        indptr = self.messages.indptr
        start, count = indptr[nodes], indptr[nodes + 1] - indptr[nodes]
        row = torch.repeat_interleave(torch.arange(nodes.numel(), device=nodes.device), count)
        first = torch.cumsum(count, 0) - count
        edge = torch.arange(row.numel(), device=nodes.device) - first[row] + start[row]
        neighbour = self.messages.source[edge]
        low = torch.searchsorted(ordered, neighbour)
        times = torch.searchsorted(ordered, neighbour, right=True) - low
        hit = torch.nonzero(times).flatten()
        row, low, times = row[hit], low[hit], times[hit]
        again = torch.repeat_interleave(torch.arange(hit.numel(), device=nodes.device), times)
        step = torch.arange(again.numel(), device=nodes.device) - (torch.cumsum(times, 0) - times)[again]
        found[row[again], order[low[again] + step]] = True
        return found


def message_weights(graph: MultimodalGraph) -> Tensor:
    """Weight of each message of `graph.message_edges()`, `[num_messages]`, float32: the attribute `weight`, else 1.

    Raises:
        InputError: If a weight is negative, NaN or infinite, or there are several per edge.
    """
    parts = []
    for name, relation in graph.relations.items():
        weight = relation.attributes.get(WEIGHT)
        if weight is None:
            weight = torch.ones(relation.num_edges, device=graph.device)
        elif weight.dim() != 1 or not bool(((weight >= 0) & torch.isfinite(weight)).all()):
            raise InputError(
                f"graph {graph.name!r}, relation {name!r}: expected one finite weight of 0 or more per edge"
            )
        parts += [weight.float(), weight.float()]
    return torch.cat(parts) if parts else torch.zeros(0, device=graph.device)


def relation_keys(graph: MultimodalGraph) -> dict[int, str]:
    """Name of each type of message: types of the ends, relation and direction.

    Graphs that have a relation in common, between nodes of the same types, share what a network learns about it.
    """
    keys = {}
    for number, (name, relation) in enumerate(graph.relations.items()):
        label = f"{relation.source_type}-{name}-{relation.target_type}"
        keys[2 * number] = label
        if not relation.symmetric:
            keys[2 * number + 1] = f"{label} (reverse)"
    return keys
