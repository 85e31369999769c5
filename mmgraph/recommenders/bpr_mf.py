"""Matrix factorisation with the loss of Bayesian personalised ranking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgraph.recommenders.base import TrainedModel, TrainingConfig, bpr, pairwise_batches, squared_norm, train
from mmgraph.recommenders.interactions import FactorScores, Interactions, Scores


@dataclass(frozen=True)
class BPRConfig(TrainingConfig):
    """Settings of BPR-MF."""

    l2: float = 1e-2


class BPRMF(TrainedModel):
    """One vector for each user and item, and a bias for each item [1].

    Args:
        data: The interactions.
        config: Settings.

    References:
        [1] Rendle et al., 2009, BPR: Bayesian Personalized Ranking from Implicit Feedback, arXiv:1205.2618.
    """

    def __init__(self, data: Interactions, config: BPRConfig) -> None:
        super().__init__()
        self.data, self.config = data, config
        self.users = nn.Parameter(torch.randn(data.num_users, config.dim) * config.dim**-0.5 * 0.1)
        self.items = nn.Parameter(torch.randn(data.num_items, config.dim) * config.dim**-0.5 * 0.1)
        self.bias = nn.Parameter(torch.zeros(data.num_items))

    def losses(self, random: torch.Generator) -> Iterator[Tensor]:
        """BPR on every interaction once."""
        for users, positives, negatives in pairwise_batches(self.data, self.config.batch_size, random):
            user, positive, negative = self.users[users], self.items[positives], self.items[negatives]
            loss = bpr(
                (user * positive).sum(dim=1) + self.bias[positives], (user * negative).sum(dim=1) + self.bias[negatives]
            )
            yield loss + self.config.l2 * squared_norm(user, positive, negative)

    def scores(self) -> Scores:
        """Inner products plus bias."""
        return FactorScores(self.data, self.users, self.items, self.bias)


def fit_bpr_mf(data: Interactions, config: BPRConfig, *, seed: int) -> Scores:
    """Train BPR-MF."""
    return train(lambda: BPRMF(data, config), data, config, seed=seed, name="bpr-mf")[0]
