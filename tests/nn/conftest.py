from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures

MakeFeatures = Callable[..., dict[str, ModalityFeatures]]


@pytest.fixture
def make_features() -> MakeFeatures:
    """Features of `num_nodes` nodes: text of width 16 and image of width 24, each absent on some nodes."""

    def make(num_nodes: int = 30, *, present: float = 0.6, seed: int = 0) -> dict[str, ModalityFeatures]:
        generator = torch.Generator().manual_seed(seed)
        return {
            modality: ModalityFeatures(
                FeatureSpec(modality, "fake", dim),
                torch.randn(num_nodes, dim, generator=generator) + 0.5,
                torch.rand(num_nodes, generator=generator) < present,
            )
            for modality, dim in (("text", 16), ("image", 24))
        }

    return make
