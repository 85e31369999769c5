"""How many of the true nearest neighbours a search through codes still finds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmgraph.compression.scan import CodeIndex
from mmgraph.errors import InputError
from mmgraph.inference.search import SCORES_PER_CHUNK, unit_rows
from mmgraph.inference.table import EmbeddingTable
from mmgraph.seeding import generator

SAME = 1e-6
"""Cosines that differ by less are equal: float32 products of equal vectors differ in the last bits."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The exact answer that forms are compared with.

    Attributes:
        query: `[num_queries]`, int64: rows of the query nodes.
        threshold: `[num_queries]`, float32: cosine of the k-th nearest other node, less `SAME`.
        unit: `[num_nodes, dim]`: the full vectors, of unit length.
        k: Number of neighbours, at most the number of other nodes.
    """

    query: Tensor
    threshold: Tensor
    unit: Tensor
    k: int

    @classmethod
    def of(cls, table: EmbeddingTable, *, k: int = 10, queries: int = 1000, seed: int = 0) -> Neighbours:
        """Compare some nodes with all others by cosine.

        Args:
            table: The full vectors.
            k: Number of neighbours.
            queries: Number of nodes to ask for, drawn from all without replacement; all if there are fewer.
            seed: Seed of the draw.

        Raises:
            InputError: If there are fewer than two nodes, or `k` or `queries` is below 1.
        """
        if k < 1 or queries < 1:
            raise InputError(f"neighbours: expected k and queries of at least 1, got {k} and {queries}")
        if len(table) < 2:
            raise InputError(f"neighbours: expected at least 2 nodes, got {len(table)}")
        unit, k = unit_rows(table.vectors.detach()), min(k, len(table) - 1)
        drawn = torch.randperm(len(table), generator=generator(seed, "recall queries"))[:queries]
        query = drawn.sort().values.to(unit.device)
        parts = []
        for rows in torch.split(query, max(1, SCORES_PER_CHUNK // len(table))):
            scores = unit[rows] @ unit.t()
            scores[torch.arange(len(rows), device=unit.device), rows] = -torch.inf  # a node is no neighbour of itself
            parts.append(scores.topk(k, dim=1).values[:, -1])
        return cls(query, torch.cat(parts) - SAME, unit, k)

    def recall(self, index: CodeIndex) -> Tensor:
        """Recall@k of each query, `[num_queries]`.

        A node that is found counts if its exact cosine is at least that of the k-th neighbour, so whichever of several
        equally near nodes is found, it is right. Equal scores of codes are in order of row.
        """
        query = self.unit[self.query]
        _, found = index.search(query, self.k + 1)
        others = found != self.query.unsqueeze(1)
        # The node itself goes, or, where it was not found, the last one.
        others[others.all(dim=1), -1] = False
        found = found[others].view(len(query), self.k)
        exact = torch.stack([(self.unit[rows] * one).sum(dim=1) for rows, one in zip(found, query, strict=True)])
        return (exact >= self.threshold.unsqueeze(1)).double().mean(dim=1)
