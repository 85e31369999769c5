"""Edges in the order in which layers read them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from mmgraph.errors import InputError


@dataclass(frozen=True, eq=False)
class MessageGraph:
    """Edges sorted by target (compressed sparse rows), built once and read by every layer.

    A layer may be bipartite: messages flow from rows of one matrix to rows of another. For a graph whose nodes send
    and receive, both are the same rows.

    Attributes:
        indptr: `[num_targets + 1]`: the in-edges of target `i` are `indptr[i] .. indptr[i + 1]`.
        source: `[num_edges]`: source of each edge, edges sorted by target, ties in the given order.
        target: `[num_edges]`: target of each edge, ascending.
        num_sources: Number of rows that send.
    """

    indptr: Tensor
    source: Tensor
    target: Tensor
    num_sources: int

    @property
    def num_targets(self) -> int:
        """Number of rows that receive."""
        return self.indptr.numel() - 1

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return self.source.numel()

    @cached_property
    def degree(self) -> Tensor:
        """Number of in-edges of each target, `[num_targets]`."""
        return self.indptr.diff()

    @cached_property
    def by_source(self) -> tuple[Tensor, Tensor, Tensor]:
        """The transpose: `indptr` `[num_sources + 1]`, `target` and the edge's position, both `[num_edges]`."""
        position = stable_order(self.source, self.num_sources)
        return row_starts(self.source, self.num_sources), self.target.index_select(0, position), position

    @classmethod
    def from_edges(cls, edge_index: Tensor, num_sources: int, num_targets: int) -> MessageGraph:
        """Sort edges by target.

        Args:
            edge_index: `[2, num_edges]`: row 0 are sources, row 1 targets.
            num_sources: Number of rows that send.
            num_targets: Number of rows that receive.

        Raises:
            InputError: On a wrong shape or an edge that points outside.
        """
        if edge_index.dim() != 2 or edge_index.size(0) != 2 or edge_index.dtype != torch.int64:
            raise InputError(
                f"edge_index must be int64 [2, num_edges], got {edge_index.dtype} {list(edge_index.shape)}"
            )
        source, target = edge_index
        if target.numel():
            # One transfer for all four numbers: on a GPU each read waits for the queue.
            low, high, low_target, high_target = torch.stack([*source.aminmax(), *target.aminmax()]).tolist()
            if low < 0 or high >= num_sources or low_target < 0 or high_target >= num_targets:
                raise InputError(
                    f"edge_index must point at sources 0..{num_sources - 1} and targets 0..{num_targets - 1}, "
                    f"got {low}..{high} and {low_target}..{high_target}"
                )
        order = stable_order(target, num_targets)
        return cls(
            row_starts(target, num_targets), source.index_select(0, order), target.index_select(0, order), num_sources
        )

    def with_self_loops(self, offset: int = 0) -> MessageGraph:
        """Add one edge `offset + i -> i` for every target, as its last in-edge.

        Args:
            offset: Row of the first target among the sources; not 0 where targets are appended to the sources.
        """
        own = torch.arange(self.num_targets, device=self.source.device)
        position = torch.arange(self.num_edges, device=self.source.device) + self.target
        loop_position = self.indptr[1:] + own
        source = self.source.new_empty(self.num_edges + self.num_targets)
        target = torch.empty_like(source)
        source[position], target[position] = self.source, self.target
        source[loop_position], target[loop_position] = own + offset, own
        steps = torch.arange(self.num_targets + 1, device=self.source.device)
        return MessageGraph(self.indptr + steps, source, target, max(self.num_sources, offset + self.num_targets))

    def repeat(self, heads: int) -> MessageGraph:
        """One copy of the edges per head, between rows `node * heads + head`.

        Attention with many heads on `[num_nodes, heads * width]` is then attention with one head on the same memory
        seen as `[num_nodes * heads, width]`.

        Args:
            heads: Number of copies.
        """
        if heads == 1:
            return self
        degree, device = self.degree, self.source.device
        head = torch.arange(heads, device=device)
        indptr = (heads * self.indptr[:-1].unsqueeze(1) + degree.unsqueeze(1) * head).flatten()
        indptr = torch.cat([indptr, heads * self.indptr[-1:]])
        # Edge e of target i goes to indptr[i * heads + h] + (e - indptr[i]).
        first = self.indptr.index_select(0, self.target) * (heads - 1)
        first += torch.arange(self.num_edges, device=device)
        step = degree.index_select(0, self.target)
        source = self.source.new_empty(self.num_edges * heads)
        target = torch.empty_like(source)
        for number in range(heads):
            position = first + step * number
            source[position] = self.source * heads + number
            target[position] = self.target * heads + number
        return MessageGraph(indptr, source, target, self.num_sources * heads)


def stable_order(index: Tensor, size: int) -> Tensor:
    """Positions that sort `index`, ties in the given order: `index.argsort(stable=True)`, but faster on the CPU.

    Args:
        index: `[n]`, int64, all in `0 .. size - 1`.
        size: One more than the largest possible value.
    """
    count = index.numel()
    if index.device.type != "cpu" or count < 1024 or size > 8 * count:
        return index.argsort(stable=True)
    # Conversion to sparse rows is a stable counting sort, some five times faster than torch's.
    columns = np.arange(count)
    matrix = scipy.sparse.coo_array((np.ones(count, dtype=np.int8), (index.numpy(), columns)), shape=(size, count))
    return torch.from_numpy(matrix.tocsr().indices.astype(np.int64))


def row_starts(index: Tensor, size: int) -> Tensor:
    """Where the run of each value starts once `index` is sorted, and where the last one ends: `[size + 1]`.

    Args:
        index: `[n]`, int64, all in `0 .. size - 1`.
        size: One more than the largest possible value.
    """
    indptr = torch.zeros(size + 1, dtype=torch.int64, device=index.device)
    torch.cumsum(torch.bincount(index, minlength=size), 0, out=indptr[1:])
    return indptr
