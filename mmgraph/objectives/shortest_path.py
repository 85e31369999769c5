"""Rebuild the distance in hops between nodes of a subgraph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.nn.heads import DistanceDecoder
from mmgraph.objectives.base import BatchViews, Objective


@dataclass(frozen=True)
class ShortestPathConfig:
    """Shortest-path-distance reconstruction.

    Attributes:
        weight: Weight in the sum of the objectives; 0, the default, turns it off. UniGraph2 has 0.5.
        cutoff: Hops that are told apart; anything further, or unreachable, counts as `cutoff + 1`.
        max_pairs: Pairs of nodes per batch, spread evenly over the distances.
        num_sources: Random source nodes per subgraph from which distances are measured.
    """

    weight: float = 0.0
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
        generator = views.generator(self.name)
        pairs, hops = views.distances(self.config.cutoff, self.config.num_sources, generator)
        if hops.numel() == 0:
            return embedding.sum() * 0.0
        chosen = stratify(hops, self.config.max_pairs, generator)
        part = views.ranks.part(chosen.numel())
        pairs, hops = pairs[:, part.of(chosen)], hops[part.of(chosen)]
        prediction = self.decoder(embedding[pairs[0]], embedding[pairs[1]])
        target = hops.float() / (self.config.cutoff + 1)
        return part.weight * torch.nn.functional.mse_loss(prediction.float(), target)


def stratify(hops: Tensor, max_pairs: int, generator: torch.Generator) -> Tensor:
    """Choose pairs so that each distance occurs about equally often; all of them if there are few enough.

    Args:
        hops: `[num_pairs]`.
        max_pairs: Pairs to choose at most.
        generator: Source of randomness.

    Returns:
        Positions, `[num_chosen]`.
    """
    if hops.numel() <= max_pairs:
        return torch.arange(hops.numel(), device=hops.device)
    weight = 1.0 / torch.bincount(hops).clamp(min=1).float()
    return torch.multinomial(weight[hops], max_pairs, generator=generator)
