"""Masks and the scaled cosine error."""

from __future__ import annotations

import math

import pytest
import torch

from mmgraph.data.batch import GraphBatch
from mmgraph.errors import InputError
from mmgraph.objectives.base import MaskConfig, draw_masks, scaled_cosine_error
from mmgraph.seeding import generator
from mmgraph.testing.factories import make_graph


def test_scaled_cosine_error_matches_the_formula() -> None:
    prediction, target = torch.randn(7, 5), torch.randn(7, 5)
    expected = 0.0
    for p, t in zip(prediction.tolist(), target.tolist(), strict=True):
        dot = sum(a * b for a, b in zip(p, t, strict=True))
        norms = math.sqrt(sum(a * a for a in p)) * math.sqrt(sum(b * b for b in t))
        expected += (1 - dot / norms) ** 3 / 7
    assert scaled_cosine_error(prediction, target, gamma=3.0).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 0.0), (2.5, 0.0), (-1.0, 4.0)])
def test_scaled_cosine_error_closed_forms(scale: float, expected: float) -> None:
    target = torch.randn(4, 6)
    assert scaled_cosine_error(scale * target, target, gamma=2.0).item() == pytest.approx(expected, abs=1e-5)


def test_scaled_cosine_error_has_a_finite_gradient_at_the_optimum() -> None:
    target = torch.randn(4, 6)
    prediction = target.clone().requires_grad_()
    scaled_cosine_error(prediction, target, gamma=1.5).backward()
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()


def test_masks_hide_only_what_is_present() -> None:
    batch = GraphBatch.whole(make_graph(num_nodes=300, missing=0.5))
    masks = draw_masks(batch.features, 300, MaskConfig(node_rate=0.4, modality_rate=0.3), generator(0))
    for modality, features in batch.features.items():
        assert masks[modality].any()
        assert not (masks[modality] & ~features.present).any()


def test_node_masks_hide_all_modalities_of_a_node() -> None:
    batch = GraphBatch.whole(make_graph(num_nodes=300, missing=0.0))
    masks = draw_masks(batch.features, 300, MaskConfig(node_rate=0.3), generator(0))
    first, *others = masks.values()
    assert all(torch.equal(first, other) for other in others)
    assert first.float().mean().item() == pytest.approx(0.3, abs=0.08)


def test_mask_rates_are_checked() -> None:
    with pytest.raises(InputError, match=r"mask.node_rate must lie in 0..1, got 1.5"):
        MaskConfig(node_rate=1.5)
