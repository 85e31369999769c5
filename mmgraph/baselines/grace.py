"""GRACE: a node in two noisy views of the graph is the same, all other nodes are different."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmgraph.baselines.augment import drop_columns, drop_edges
from mmgraph.baselines.base import NetworkConfig, SelfSupervised, check_above_zero, check_at_least, check_share
from mmgraph.baselines.encoders import GCNEncoder


@dataclass(frozen=True)
class GRACEConfig(NetworkConfig):
    """Settings of GRACE; the defaults are those published for citation graphs, between Cora's and CiteSeer's.

    Attributes:
        temperature: Divides the cosines.
        drop_edges: Share of edges left out, in the first and in the second view.
        drop_features: Share of columns set to zero, in the first and in the second view.
        contrast: Most nodes that are compared in a step, drawn anew; time and memory grow with its square. The authors compare all.
    """

    weight_decay: float = 1e-5
    temperature: float = 0.5
    drop_edges: tuple[float, float] = (0.2, 0.4)
    drop_features: tuple[float, float] = (0.3, 0.4)
    contrast: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above_zero("temperature", self.temperature)
        check_at_least("contrast", self.contrast, 2)
        for name, values in (("drop_edges", self.drop_edges), ("drop_features", self.drop_features)):
            for value in values:
                check_share(name, value)


class GRACE(SelfSupervised):
    """Graph contrastive learning with node-level InfoNCE [1].

    Hidden layers are twice as wide as the embeddings, as in the authors' code.

    Args:
        in_dim: Width of the features.
        config: Settings.

    References:
        [1] Zhu et al., 2020, Deep Graph Contrastive Representation Learning, arXiv:2006.04131.
    """

    takes_sparse: ClassVar[bool] = True

    def __init__(self, in_dim: int, config: GRACEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = GCNEncoder(in_dim, [2 * config.dim] * (config.num_layers - 1) + [config.dim])
        self.projector = nn.Sequential(nn.Linear(config.dim, config.dim), nn.ELU(), nn.Linear(config.dim, config.dim))

    def loss(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Mean of both directions over the compared nodes (equations 1 and 2)."""
        views = [
            self.encoder(drop_columns(x, columns), drop_edges(edge_index, edges))
            for edges, columns in zip(self.config.drop_edges, self.config.drop_features, strict=True)
        ]
        if x.size(0) > self.config.contrast:
            chosen = torch.randperm(x.size(0), device=x.device)[: self.config.contrast]
            views = [view[chosen] for view in views]
        first, second = (normalize(self.projector(view), dim=1) for view in views)
        return 0.5 * (
            info_nce(first, second, self.config.temperature) + info_nce(second, first, self.config.temperature)
        )


def info_nce(anchor: Tensor, other: Tensor, temperature: float) -> Tensor:
    """`-log(e^{s(u_i, v_i)} / (sum_j e^{s(u_i, v_j)} + sum_{j != i} e^{s(u_i, u_j)}))`, mean over the rows.

    Args:
        anchor: `u`, rows of unit norm, `[n, dim]`.
        other: `v`, the same nodes in the other view.
        temperature: `s` is the cosine divided by it.
    """
    between = anchor @ other.t() / temperature
    within = anchor @ anchor.t() / temperature
    within = within.masked_fill(torch.eye(len(within), dtype=torch.bool, device=within.device), -torch.inf)
    return (torch.logaddexp(between.logsumexp(dim=1), within.logsumexp(dim=1)) - between.diagonal()).mean()
