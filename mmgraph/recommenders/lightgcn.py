"""LightGCN, the network of torch-geometric."""

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
from mmgraph.recommenders.interactions import FactorScores, Interactions, Scores
from mmgraph.recommenders.propagation import user_item_matrix


@dataclass(frozen=True)
class LightGCNConfig(TrainingConfig):
    """Settings of LightGCN.

    Attributes:
        num_layers: Steps of propagation.
    """

    l2: float = 1e-3
    num_layers: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 0, "num_layers")


class LightGCN(TrainedModel):
    """Vectors of users and items, averaged over their propagation along the interactions [1].

    The network is `torch_geometric.nn.LightGCN`; the matrix is normalised once instead of in each step.

    Args:
        data: The interactions.
        config: Settings.

    References:
        [1] He et al., 2020, LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation,
            arXiv:2002.02126.
    """

    def __init__(self, data: Interactions, config: LightGCNConfig) -> None:
        from torch_geometric.nn import LightGCN as Network

        super().__init__()
        self.data, self.config = data, config
        num_nodes = data.num_users + data.num_items
        self.network = Network(num_nodes, config.dim, config.num_layers, normalize=False)
        nn.init.normal_(self.network.embedding.weight, std=0.1)  # as its authors' code does
        self.matrix = user_item_matrix(data)

    def losses(self, random: torch.Generator) -> Iterator[Tensor]:
        """BPR on every interaction once."""
        start = self.data.num_users
        for users, positives, negatives in pairwise_batches(self.data, self.config.batch_size, random):
            out, own = self.network.get_embedding(self.matrix), self.network.embedding.weight
            user, positive, negative = out[users], out[start + positives], out[start + negatives]
            loss = bpr((user * positive).sum(dim=1), (user * negative).sum(dim=1))
            yield loss + self.config.l2 * squared_norm(own[users], own[start + positives], own[start + negatives])

    @torch.no_grad()
    def scores(self) -> Scores:
        """Inner products of the propagated vectors."""
        out = self.network.get_embedding(self.matrix)
        return FactorScores(self.data, *out.split([self.data.num_users, self.data.num_items]))


def fit_lightgcn(data: Interactions, config: LightGCNConfig, *, seed: int) -> Scores:
    """Train LightGCN."""
    return train(lambda: LightGCN(data, config), data, config, seed=seed, name="lightgcn")[0]
