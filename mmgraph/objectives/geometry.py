"""Keep the distances that propagation without training gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmgraph.distributed import Part, Ranks
from mmgraph.errors import InputError
from mmgraph.objectives.base import BatchViews, Objective, unit


@dataclass(frozen=True)
class GeometryConfig:
    """Cosines between nodes stay near those of a weighted sum of levels.

    Attributes:
        weight: Weight in the sum of the objectives; 0 turns it off.
        level_weights: Weights of the levels that are summed; those that a graph's views do not have are left out.
        alone: Share of the seeds that are compared without neighbours as well, as queries are.
    """

    weight: float = 1.0
    level_weights: tuple[float, ...] = (0.5, 1.0, 0.5)
    alone: float = 0.25

    def __post_init__(self) -> None:
        if not self.level_weights:
            raise InputError("geometry.level_weights must not be empty")
        if not 0 <= self.alone <= 1:
            raise InputError(f"geometry.alone must lie in 0..1, got {self.alone}")


class Geometry(Objective):
    """Squared error between the cosines of embeddings and the cosines of smoothed features, over pairs of seeds.

    A contrast of links moves nodes together that are linked, and everything else along with them; searching by
    cosine, prototypes of few examples and queries then lose what smoothed features had. This is similarity-preserving
    distillation [1] with smoothed features as the teacher. The error is divided by the variance of the target, so that
    1 is what a constant reaches.

    Args:
        config: Weight, levels, share of nodes without neighbours.

    Shapes:
        - input: `BatchViews` of one graph
        - output: scalar

    References:
        [1] Tung and Mori, 2019, Similarity-Preserving Knowledge Distillation, arXiv:1907.09682.
    """

    name: ClassVar[str] = "geometry"

    def __init__(self, config: GeometryConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, views: BatchViews) -> Tensor:
        """Loss of one batch."""
        embedding = views.clean.embedding[: views.num_seeds]
        levels = views.levels()
        start = torch.stack([w * level for w, level in zip(self.config.level_weights, levels, strict=False)]).sum(dim=0)
        rows = torch.nonzero((start.abs().sum(dim=1) > 0) & (levels[0].abs().sum(dim=1) > 0)).flatten()
        if rows.numel() < 2:
            return embedding.sum() * 0.0
        full, target = unit(embedding[rows]), unit(start[rows])
        part = views.ranks.part(rows.numel())
        losses = [_error(part.of(full), full, part.of(target), target, part, views.ranks)]
        present = {name: features.present[rows] for name, features in views.features.items()}
        has_content = torch.zeros(rows.numel(), dtype=torch.bool, device=rows.device)
        for item in present.values():
            has_content |= item
        chosen = torch.rand(rows.numel(), generator=views.generator(self.name), device=rows.device) < self.config.alone
        place = torch.nonzero(chosen & has_content).flatten()
        if place.numel():
            part = views.ranks.part(place.numel())
            place = part.of(place)
            shown = {name: item[place] for name, item in present.items()}
            alone = unit(views.reduced(rows[place], shown, alone=True))
            losses.append(_error(alone, full, unit(levels[0][rows[place]]), target, part, views.ranks))
        return torch.stack(losses).mean()


def _error(a: Tensor, b: Tensor, target_a: Tensor, target_b: Tensor, part: Part, ranks: Ranks) -> Tensor:
    """Of a part of the rows `a` with all rows `b`."""
    wanted = target_a @ target_b.t()
    error = (a @ b.t() - wanted).square().mean() / ranks.variance(wanted, part).clamp(min=1e-6)
    return part.weight * error
