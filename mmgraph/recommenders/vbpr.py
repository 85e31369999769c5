"""VBPR: matrix factorisation that also reads the content of items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgraph.recommenders.base import (
    TrainedModel,
    TrainingConfig,
    bpr,
    check_least,
    pairwise_batches,
    squared_norm,
    train,
)
from mmgraph.recommenders.content import ItemContent, item_content
from mmgraph.recommenders.interactions import FactorScores, Interactions, Scores


@dataclass(frozen=True)
class VBPRConfig(TrainingConfig):
    """Settings of VBPR.

    Attributes:
        content_l2: Weight of the squared projection of the content.
    """

    l2: float = 1e-2
    content_l2: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 0, "content_l2")


class VBPR(TrainedModel):
    """`b_i + p_u . q_i + t_u . E f_i + c . f_i` with features `f_i` of all modalities side by side [1, equation 4].

    Two departures, both in favour of new items: they are no negatives, and they are scored by content alone.

    Args:
        data: The interactions.
        content: Raw features.
        config: Settings.

    References:
        [1] He and McAuley, 2016, VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback, arXiv:1510.01784.
    """

    def __init__(self, data: Interactions, content: ItemContent, config: VBPRConfig) -> None:
        super().__init__()
        self.data, self.config = data, config
        self.register_buffer("content", content.values, persistent=False)
        self.register_buffer("known", (data.item_degree > 0).float(), persistent=False)
        dim, width = config.dim, content.values.size(1)
        self.users = nn.Parameter(torch.randn(data.num_users, 2 * dim) * dim**-0.5 * 0.1)
        self.items = nn.Parameter(torch.randn(data.num_items, dim) * dim**-0.5 * 0.1)
        self.bias = nn.Parameter(torch.zeros(data.num_items))
        self.content_bias = nn.Parameter(torch.zeros(width))
        self.project = nn.Linear(width, dim, bias=False)

    content: Tensor
    known: Tensor

    def losses(self, random: torch.Generator) -> Iterator[Tensor]:
        """BPR on every interaction once."""
        for users, positives, negatives in pairwise_batches(self.data, self.config.batch_size, random):
            user = self.users[users]
            sides = [
                torch.cat([self.items[items], self.project(self.content[items])], dim=1)
                for items in (positives, negatives)
            ]
            biases = [self.bias[i] + self.content[i] @ self.content_bias for i in (positives, negatives)]
            values = [(user * side).sum(dim=1) + bias for side, bias in zip(sides, biases, strict=True)]
            own = squared_norm(user, self.items[positives], self.items[negatives])
            shared = self.project.weight.square().sum() + self.content_bias.square().sum()
            yield bpr(*values) + self.config.l2 * own + self.config.content_l2 * shared

    @torch.no_grad()
    def scores(self) -> Scores:
        """Inner products plus bias."""
        own = self.items * self.known.unsqueeze(1)
        items = torch.cat([own, self.project(self.content)], dim=1)
        return FactorScores(self.data, self.users, items, self.bias * self.known + self.content @ self.content_bias)


def fit_vbpr(data: Interactions, config: VBPRConfig, *, seed: int) -> Scores:
    """Train VBPR on raw features."""
    content = item_content(data)
    return train(lambda: VBPR(data, content, config), data, config, seed=seed, name="vbpr")[0]
