"""Rebuild the features of hidden nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec
from mmgraph.errors import InputError
from mmgraph.nn.heads import FeatureDecoder
from mmgraph.objectives.base import BatchViews, Objective, scaled_cosine_error


@dataclass(frozen=True)
class MaskedFeaturesConfig:
    """Masked-feature reconstruction.

    Attributes:
        weight: Weight in the sum of the objectives; 0, the default, turns it off. UniGraph2 has 1.
        gamma: Power of the scaled cosine error.
    """

    weight: float = 0.0
    gamma: float = 2.0

    def __post_init__(self) -> None:
        if self.gamma <= 0:
            raise InputError(f"masked_features.gamma must be above 0, got {self.gamma}")


class MaskedFeatures(Objective):
    """Scaled cosine error between decoded embeddings of masked nodes and their features [1].

    Each graph (domain) has a decoder of its own with one output head per modality that the graph has; targets are
    the centred features that the encoder did not see. The mean runs over masked pairs of node and modality, as the
    paper's text does not say how modalities of unequal count are weighed.

    Args:
        config: Weight and power.
        dim: Width of the embeddings.
        domains: Feature spaces of each graph by graph name.

    Shapes:
        - input: `BatchViews` of one graph
        - output: scalar

    References:
        [1] He et al., 2025, UniGraph2: Learning a Unified Embedding Space to Bind Multimodal Graphs, arXiv:2502.00806.
    """

    name: ClassVar[str] = "masked_features"

    def __init__(self, config: MaskedFeaturesConfig, dim: int, domains: Mapping[str, Sequence[FeatureSpec]]) -> None:
        super().__init__()
        self.config = config
        self.domains = list(domains)
        self.decoders = nn.ModuleList(FeatureDecoder(dim, list(specs)) for specs in domains.values())

    def forward(self, views: BatchViews) -> Tensor:
        """Loss of one batch."""
        view = views.masked
        if not any(bool(masked.any()) for masked in view.masked.values()):
            return view.output.embedding.sum() * 0.0
        decoder: FeatureDecoder = self.decoders[self.domains.index(views.graph_name)]  # type: ignore[assignment]
        losses: list[Tensor] = []
        counts: list[int] = []
        for modality, features in views.features.items():
            rows = torch.nonzero(view.masked[modality]).flatten()
            if rows.numel() == 0:
                continue
            part = views.ranks.part(rows.numel())
            mine = part.of(rows)
            prediction = decoder.decode(view.output.embedding[mine], modality)
            error = scaled_cosine_error(prediction, features.take(mine).centred(), gamma=self.config.gamma)
            losses.append(part.weight * (rows.numel() * error))
            counts.append(rows.numel())
        return torch.stack(losses).sum() / sum(counts)
