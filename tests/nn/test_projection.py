from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.errors import InputError
from mmgraph.nn.projection import ModalityFusion


def fusion_for(features: dict[str, ModalityFeatures], dim: int = 8) -> ModalityFusion:
    return ModalityFusion(dim, [item.spec for item in features.values()])


def slow_fusion(fusion: ModalityFusion, features: dict[str, ModalityFeatures], masked: dict[str, Tensor]) -> Tensor:
    """The definition, node by node."""
    rows = []
    for node in range(next(iter(features.values())).num_nodes):
        shown = []
        for name in sorted(features):
            item = features[name]
            if item.present[node] and not (name in masked and masked[name][node]):
                centred = item.values[node] - item.mean
                vector = centred / centred.norm() * math.sqrt(item.spec.dim)
                shown.append(fusion.projections[item.spec.key](vector))
        tokens = [fusion.tokens[1 + fusion.modalities.index(name)] for name in features]
        rows.append(torch.stack(shown or tokens).mean(dim=0))
    return torch.stack(rows)


def test_equals_definition_with_masks(make_features) -> None:
    features = make_features()
    fusion = fusion_for(features)
    masked = {"text": torch.rand(30) < 0.4}
    expected = slow_fusion(fusion, features, masked)
    torch.testing.assert_close(fusion(features, masked=masked), expected)
    assert bool((~features["text"].present & ~features["image"].present).any()), "no node without any modality"


def test_garbage_behind_absent_and_masked_rows_changes_no_bit_and_no_gradient(make_features) -> None:
    features = make_features()
    fusion = fusion_for(features)
    masked = {"image": torch.rand(30) < 0.5}

    def run(given: dict[str, ModalityFeatures]) -> list[Tensor]:
        fusion.zero_grad()
        out = fusion(given, masked=masked)
        out.square().sum().backward()
        return [out.detach(), *(parameter.grad.clone() for parameter in fusion.parameters())]

    clean = run(features)
    for garbage in (math.nan, math.inf, -math.inf, 1e30):
        dirty = {}
        for name, item in features.items():
            values = item.values.clone()
            values[~item.present] = garbage
            if name in masked:
                values[masked[name]] = garbage
            dirty[name] = replace(item, values=values)
        for before, after in zip(clean, run(dirty), strict=True):
            assert torch.equal(before, after)


def test_absent_equals_masked(make_features) -> None:
    features = make_features()
    fusion = fusion_for(features)
    hide = torch.rand(30) < 0.5
    absent = {**features, "text": replace(features["text"], present=features["text"].present & ~hide)}
    assert torch.equal(fusion(absent), fusion(features, masked={"text": hide}))


def test_all_present_equals_mask_free_mean(make_features) -> None:
    features = make_features(present=2.0)
    fusion = fusion_for(features)
    parts = [fusion.projections[item.spec.key](item.centred() * math.sqrt(item.spec.dim)) for item in features.values()]
    out = fusion(features, masked={name: torch.zeros(30, dtype=torch.bool) for name in features})
    torch.testing.assert_close(out, torch.stack(parts).mean(dim=0))
    assert torch.equal(out, fusion(features))


def test_order_of_mapping_and_specs_changes_no_bit(make_features) -> None:
    features = make_features()
    fusion = fusion_for(features)
    assert torch.equal(fusion(features), fusion(dict(reversed(features.items()))))


def test_graph_without_modalities_gets_the_empty_token(make_features) -> None:
    fusion = fusion_for(make_features())
    out = fusion({}, num_nodes=3)
    assert torch.equal(out, fusion.tokens[0].expand(3, 8))
    out.sum().backward()
    assert torch.equal(fusion.tokens.grad[0], torch.full((8,), 3.0))


def test_node_with_nothing_gets_the_token_of_the_graphs_modalities_only(make_features) -> None:
    features = make_features()
    fusion = fusion_for(features)
    only_text = {"text": replace(features["text"], present=torch.zeros(30, dtype=torch.bool))}
    assert torch.equal(fusion(only_text), fusion.tokens[1 + fusion.modalities.index("text")].expand(30, 8))


@pytest.mark.parametrize("num_nodes", [0, 1])
def test_tiny_batches(make_features, num_nodes: int) -> None:
    features = make_features(num_nodes)
    out = fusion_for(features)(features)
    out.sum().backward()
    assert out.shape == (num_nodes, 8)
    assert bool(out.isfinite().all())


def test_modality_with_a_dot(make_features) -> None:
    item = replace(make_features()["text"], spec=FeatureSpec("image.front", "fake", 16))
    fusion = fusion_for({"image.front": item})
    assert fusion({"image.front": item}).shape == (30, 8)


def test_errors(make_features) -> None:
    features = make_features()
    fusion = fusion_for(features)
    other = replace(features["text"], spec=FeatureSpec("text", "other", 16))
    with pytest.raises(InputError, match=r"no projection for features 'text__other__16'.*'image__fake__24'"):
        fusion({"text": other})
    with pytest.raises(InputError, match="num_nodes must be given"):
        fusion({})
    with pytest.raises(InputError, match="agree on the number of nodes"):
        fusion({"text": features["text"], "image": features["image"].take(torch.arange(5))})
    with pytest.raises(InputError, match="mask for modality 'audio'"):
        fusion(features, masked={"audio": torch.zeros(30, dtype=torch.bool)})
    with pytest.raises(InputError, match=r"must be bool \[30\]"):
        fusion(features, masked={"text": torch.zeros(30)})
