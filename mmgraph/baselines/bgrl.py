"""BGRL: predict what a slowly moving teacher says of a node in another view, without negatives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from mmgraph.baselines.augment import drop_columns, drop_edges
from mmgraph.baselines.base import NetworkConfig, SelfSupervised, check_at_least, check_share
from mmgraph.baselines.encoders import GCNEncoder
from mmgraph.baselines.teacher import follow, make_teacher


@dataclass(frozen=True)
class BGRLConfig(NetworkConfig):
    """Settings of BGRL.

    Attributes:
        drop_edges: Share of edges left out, in the first and in the second view.
        drop_features: Share of columns set to zero, in the first and in the second view.
        momentum: Of the teacher at the start; it rises to 1 along half a cosine.
        predictor_dim: Width of the predictor's hidden layer.
    """

    weight_decay: float = 1e-5
    warmup: float = 0.1
    cosine: bool = True
    drop_edges: tuple[float, float] = (0.2, 0.4)
    drop_features: tuple[float, float] = (0.3, 0.4)
    momentum: float = 0.99
    predictor_dim: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("predictor_dim", self.predictor_dim, 1)
        check_share("momentum", self.momentum)
        for name, values in (("drop_edges", self.drop_edges), ("drop_features", self.drop_features)):
            for value in values:
                check_share(name, value)


class BGRL(SelfSupervised):
    """Bootstrapped graph latents [1]: GCN with batch normalisation, cosine to the teacher, both directions.

    The teacher starts with weights of its own, as in the authors' code.

    Args:
        in_dim: Width of the features.
        config: Settings.

    References:
        [1] Thakoor et al., 2022, Large-Scale Representation Learning on Graphs via Bootstrapping, arXiv:2102.06514.
    """

    takes_sparse: ClassVar[bool] = True

    def __init__(self, in_dim: int, config: BGRLConfig) -> None:
        super().__init__()
        self.config = config
        dims = [2 * config.dim] * (config.num_layers - 1) + [config.dim]
        self.encoder = GCNEncoder(in_dim, dims, batch_norm=True)
        self.teacher = make_teacher(GCNEncoder(in_dim, dims, batch_norm=True))
        self.predictor = nn.Sequential(
            nn.Linear(config.dim, config.predictor_dim), nn.PReLU(), nn.Linear(config.predictor_dim, config.dim)
        )

    def loss(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """`2 - cos(q_1, h_2) - cos(q_2, h_1)`, mean over the nodes (equation 3)."""
        views = [
            (drop_columns(x, columns), drop_edges(edge_index, edges))
            for edges, columns in zip(self.config.drop_edges, self.config.drop_features, strict=True)
        ]
        predictions = [self.predictor(self.encoder(*view)) for view in views]
        with torch.no_grad():
            targets = [self.teacher(*view) for view in views]
        return 2.0 - sum(
            (cosine_similarity(q, h, dim=1).mean() for q, h in zip(predictions, reversed(targets), strict=True)),
            torch.zeros((), device=x.device),
        )

    def after_step(self, share: float) -> None:
        """Let the teacher follow."""
        follow(self.teacher, self.encoder, teacher_momentum(self.config.momentum, share))


def teacher_momentum(start: float, share: float) -> float:
    """Momentum after a share of the training: from `start` at 0 to 1 at 1, along half a cosine."""
    return 1.0 - (1.0 - start) * (1.0 + math.cos(math.pi * share)) / 2.0
