"""Keep what propagation without training knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmgraph.errors import InputError
from mmgraph.objectives.base import BatchViews, Objective, scaled_cosine_error


@dataclass(frozen=True)
class LevelsConfig:
    """Reconstruction of the levels of a node from its embedding.

    Attributes:
        weight: Weight in the sum of the objectives; 0 turns it off.
        gamma: Power of the scaled cosine error.
    """

    weight: float = 4.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if self.gamma <= 0:
            raise InputError(f"levels.gamma must be above 0, got {self.gamma}")


class Levels(Objective):
    """Scaled cosine error between linear maps of the embedding and the levels `S^l x` that the network reads.

    A contrast of links alone forgets what does not help to find links. The levels side by side are the strongest
    control for node classification; here one embedding of the width of one level must hold them all.

    Args:
        config: Weight and power.
        dim: Width of the embeddings and levels.
        num_levels: Number of levels at most.

    Shapes:
        - input: `BatchViews` of one graph
        - output: scalar
    """

    name: ClassVar[str] = "levels"

    def __init__(self, config: LevelsConfig, dim: int, num_levels: int) -> None:
        super().__init__()
        self.config = config
        self.decoders = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_levels))

    def forward(self, views: BatchViews) -> Tensor:
        """Loss of one batch: the mean over levels, each over the seeds where it is not zero."""
        embedding = views.clean.embedding[: views.num_seeds]
        losses = [embedding.sum() * 0.0]
        for decoder, level in zip(self.decoders, views.levels(), strict=False):
            rows = torch.nonzero(level.abs().sum(dim=1) > 0).flatten()
            if rows.numel():
                part = views.ranks.part(rows.numel())
                mine = part.of(rows)
                error = scaled_cosine_error(decoder(embedding[mine]), level[mine], gamma=self.config.gamma)
                losses.append(part.weight * error)
        return torch.stack(losses).sum() / max(1, len(losses) - 1)
