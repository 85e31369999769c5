"""Rebuild the distance in hops between nodes of a subgraph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmgraph.data.batch import GraphBatch
from mmgraph.errors import InputError
from mmgraph.nn.heads import DistanceDecoder
from mmgraph.objectives.base import BatchViews, Objective


@dataclass(frozen=True)
class ShortestPathConfig:
    """Shortest-path-distance reconstruction.

    Attributes:
        weight: Weight in the sum of the objectives; 0 turns it off.
        cutoff: Hops that are told apart; anything further, or unreachable, counts as `cutoff + 1`.
        max_pairs: Pairs of nodes per batch, spread evenly over the distances.
        num_sources: Random source nodes per subgraph from which distances are measured.
    """

    weight: float = 0.5
    cutoff: int = 5
    max_pairs: int = 4096
    num_sources: int = 4

    def __post_init__(self) -> None:
        for name in ("cutoff", "max_pairs", "num_sources"):
            if getattr(self, name) < 1:
                raise InputError(f"shortest_path.{name} must be at least 1, got {getattr(self, name)}")


class ShortestPath(Objective):
    """Mean squared error of the predicted distance in hops between two nodes [1].

    Departures from the published code, which takes all ordered pairs of a batch from a Floyd-Warshall run and is
    infinite on any disconnected batch: distances come from a truncated breadth-first search inside each subgraph,
    the target is divided by `cutoff + 1`, pairs are stratified by distance, and the decoder is symmetric.

    Args:
        config: Weight, cut-off and number of pairs.
        dim: Width of the embeddings.

    Shapes:
        - input: `BatchViews` of one graph
        - output: scalar

    References:
        [1] He et al., 2025, UniGraph2: Learning a Unified Embedding Space to Bind Multimodal Graphs, arXiv:2502.00806.
    """

    name: ClassVar[str] = "shortest_path"

    def __init__(self, config: ShortestPathConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.decoder = DistanceDecoder(dim)

    def forward(self, views: BatchViews) -> Tensor:
        """Loss of one batch."""
        embedding = views.masked.output.embedding
        pairs, hops = sample_pairs(views.batch, self.config, views.generator(self.name))
        if hops.numel() == 0:
            return embedding.sum() * 0.0
        prediction = self.decoder(embedding[pairs[0]], embedding[pairs[1]])
        target = hops.float() / (self.config.cutoff + 1)
        return torch.nn.functional.mse_loss(prediction.float(), target)


def hops_from(sources: Tensor, edge_index: Tensor, *, num_nodes: int, cutoff: int) -> Tensor:
    """Distance in hops of every node from the nearest source, by breadth-first search.

    Args:
        sources: `[num_sources]`: rows at distance 0. In a disjoint union one source per subgraph gives the distances
            inside each.
        edge_index: `[2, num_edges]`.
        num_nodes: Number of rows.
        cutoff: Hops to walk.

    Returns:
        `[num_nodes]`, int64; `cutoff + 1` beyond the cut-off or if unreachable.
    """
    hops = torch.full((num_nodes,), cutoff + 1, dtype=torch.int64, device=edge_index.device)
    hops[sources] = 0
    for hop in range(1, cutoff + 1):
        reached = edge_index[1, hops[edge_index[0]] == hop - 1]
        reached = reached[hops[reached] > hop]
        if reached.numel() == 0:
            break
        hops[reached] = hop
    return hops


def sample_pairs(batch: GraphBatch, config: ShortestPathConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw pairs of nodes of the same subgraph, each distance about equally often.

    Returns:
        Pairs `[2, num_pairs]` and their distances `[num_pairs]` in `1 .. cutoff + 1`.
    """
    device = batch.node_index.device
    num_subgraphs = int(batch.subgraph.max()) + 1 if batch.num_nodes else 0
    rows = torch.arange(batch.num_nodes, device=device)
    pairs, hops = [], []
    for _ in range(config.num_sources):
        # Sorting by (subgraph, random key) puts one random row of each subgraph first in its run.
        key = batch.subgraph.double() + torch.rand(batch.num_nodes, generator=generator, device=device).double()
        order = torch.argsort(key)
        counts = torch.bincount(batch.subgraph, minlength=num_subgraphs)
        first = torch.cumsum(counts, 0) - counts
        source = order[first[counts > 0]]
        source_of = torch.zeros(num_subgraphs, dtype=torch.int64, device=device)
        source_of[batch.subgraph[source]] = source
        distance = hops_from(source, batch.edge_index, num_nodes=batch.num_nodes, cutoff=config.cutoff)
        other = distance > 0
        pairs.append(torch.stack([source_of[batch.subgraph[other]], rows[other]]))
        hops.append(distance[other])
    all_pairs, all_hops = torch.cat(pairs, dim=1), torch.cat(hops)
    if all_hops.numel() > config.max_pairs:
        weight = 1.0 / torch.bincount(all_hops, minlength=config.cutoff + 2).clamp(min=1).float()
        chosen = torch.multinomial(weight[all_hops], config.max_pairs, generator=generator)
        all_pairs, all_hops = all_pairs[:, chosen], all_hops[chosen]
    return all_pairs, all_hops
