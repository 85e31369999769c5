"""A weighted sum of objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec
from mmgraph.errors import InputError
from mmgraph.objectives.base import BatchViews, Objective
from mmgraph.objectives.cross_modal import CrossModal, CrossModalConfig
from mmgraph.objectives.geometry import Geometry, GeometryConfig
from mmgraph.objectives.levels import Levels, LevelsConfig
from mmgraph.objectives.links import Links, LinksConfig
from mmgraph.objectives.masked_features import MaskedFeatures, MaskedFeaturesConfig
from mmgraph.objectives.shortest_path import ShortestPath, ShortestPathConfig
from mmgraph.objectives.views import Views, ViewsConfig

MAX_LEVELS = 3


@dataclass(frozen=True)
class ObjectivesConfig:
    """Which objectives are trained, and how much each counts. A weight of 0 turns one off.

    Attributes:
        masked_features: Rebuild the features of masked nodes.
        shortest_path: Rebuild the distance between nodes.
        links: Find the other end of an edge; this and what follows are not part of UniGraph2.
        levels: Keep what propagation without training knows.
        geometry: Keep the cosines that propagation without training gives.
        views: Find a node as it is from the node that shows less.
        cross_modal: Find one modality of a node from another.
    """

    masked_features: MaskedFeaturesConfig = field(default_factory=MaskedFeaturesConfig)
    shortest_path: ShortestPathConfig = field(default_factory=ShortestPathConfig)
    links: LinksConfig = field(default_factory=LinksConfig)
    levels: LevelsConfig = field(default_factory=LevelsConfig)
    geometry: GeometryConfig = field(default_factory=GeometryConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    cross_modal: CrossModalConfig = field(default_factory=CrossModalConfig)


class ObjectiveMix(nn.Module):
    """All objectives whose weight is not 0.

    Args:
        config: Weights and settings.
        dim: Width of the embeddings.
        domains: Feature spaces of each graph by graph name.

    Shapes:
        - input: `BatchViews` of one graph
        - output: scalar, and the unweighted loss of each objective by name
    """

    def __init__(self, config: ObjectivesConfig, dim: int, domains: Mapping[str, Sequence[FeatureSpec]]) -> None:
        super().__init__()
        candidates: list[tuple[float, Objective]] = [
            (config.masked_features.weight, MaskedFeatures(config.masked_features, dim, domains)),
            (config.shortest_path.weight, ShortestPath(config.shortest_path, dim)),
            (config.links.weight, Links(config.links, dim, domains)),
            (config.levels.weight, Levels(config.levels, dim, MAX_LEVELS)),
            (config.geometry.weight, Geometry(config.geometry)),
            (config.views.weight, Views(config.views)),
            (config.cross_modal.weight, CrossModal(config.cross_modal)),
        ]
        self.weights = {objective.name: weight for weight, objective in candidates if weight != 0}
        self.objectives = nn.ModuleDict({o.name: o for weight, o in candidates if weight != 0})
        if not self.weights:
            raise InputError("objectives: at least one weight must be above 0, got 0 for all")
        if min(self.weights.values()) < 0:
            raise InputError(f"objectives: weights must not be negative, got {self.weights}")

    def forward(self, views: BatchViews) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted loss, and each objective's own loss for the log."""
        losses = {name: objective(views) for name, objective in self.objectives.items()}
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        return total, {name: loss.detach() for name, loss in losses.items()}
