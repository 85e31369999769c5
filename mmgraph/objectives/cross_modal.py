"""The modalities of one node must find each other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.objectives.base import BatchViews, Objective
from mmgraph.objectives.views import contrast


@dataclass(frozen=True)
class CrossModalConfig:
    """Contrast of a node seen by one modality alone with itself seen by another.

    Attributes:
        weight: Weight in the sum of the objectives; 0 turns it off.
        temperature: Divides the cosines.
    """

    weight: float = 0.25
    temperature: float = 0.1

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise InputError(f"cross_modal.temperature must be above 0, got {self.temperature}")


class CrossModal(Objective):
    """InfoNCE between two modalities of the same nodes, both without neighbours, in both directions, as in CLIP [1].

    Zero where no two seeds have two modalities in common.

    Args:
        config: Weight and temperature.

    Shapes:
        - input: `BatchViews` of one graph
        - output: scalar

    References:
        [1] Radford et al., 2021, Learning Transferable Visual Models From Natural Language Supervision, arXiv:2103.00020.
    """

    name: ClassVar[str] = "cross_modal"

    def __init__(self, config: CrossModalConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, views: BatchViews) -> Tensor:
        """Loss of one batch."""
        losses = []
        present = {name: item.present[: views.num_seeds] for name, item in views.features.items()}
        for pair in combinations(sorted(present), 2):
            rows = torch.nonzero(present[pair[0]] & present[pair[1]]).flatten()
            if rows.numel() < 2:
                continue
            part = views.ranks.part(rows.numel())
            mine = part.of(rows)
            one, other = (
                views.reduced(
                    mine,
                    {name: torch.full_like(mine, name == modality, dtype=torch.bool) for name in present},
                    alone=True,
                )
                for modality in pair
            )
            place, same = part.of(torch.arange(rows.numel(), device=rows.device)), views.node_index[rows]
            temperature = self.config.temperature
            losses += [
                part.weight
                * contrast(a, views.ranks.gather(b, rows.numel()), place, same=same, temperature=temperature)
                for a, b in ((one, other), (other, one))
            ]
        return torch.stack(losses).mean() if losses else views.clean.embedding.sum() * 0.0
