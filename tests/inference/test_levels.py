from __future__ import annotations

import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.errors import InputError
from mmgraph.inference.levels import Blend, Hybrid, combine_levels, level_name


@pytest.fixture
def levels() -> list[Tensor]:
    return list(torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)))


def test_blend_adds_content_and_its_smoothed_form_to_the_embedding() -> None:
    own, near, last = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 5.0]])
    found = combine_levels([own, near, last], Blend(content=0.5, smoothed=1.0, level_weights=(1.0, 2.0)))
    # unit(last) = (0, 1), unit(own) = (1, 0), unit(own + 2 near) = (3, 4) / 5
    torch.testing.assert_close(found, torch.tensor([[0.5 + 0.6, 1.0 + 0.8]]))


def test_blend_of_nothing_has_the_cosines_of_the_embedding(levels: list[Tensor]) -> None:
    found = combine_levels(levels, Blend(content=0.0, smoothed=0.0))
    torch.testing.assert_close(found, normalize(levels[-1], dim=1))


def test_blend_by_name_has_the_default_weights(levels: list[Tensor]) -> None:
    assert torch.equal(combine_levels(levels, "blend"), combine_levels(levels, Blend()))
    assert not torch.allclose(combine_levels(levels, "blend"), combine_levels(levels, Blend(content=0.2)))


def test_a_level_of_zeros_takes_no_part_and_makes_no_nan(levels: list[Tensor]) -> None:
    zeros = [torch.zeros_like(levels[0]), torch.zeros_like(levels[0]), torch.zeros_like(levels[0]), levels[-1]]
    torch.testing.assert_close(combine_levels(zeros, "blend"), normalize(levels[-1], dim=1))


def test_last_keeps_no_earlier_level(levels: list[Tensor]) -> None:
    alive: list[weakref.ref[Tensor]] = []

    def stream() -> Iterator[Tensor]:
        for x in levels:
            assert sum(reference() is not None for reference in alive) <= 1
            copied = x.clone()
            alive.append(weakref.ref(copied))
            yield copied
            del copied

    assert torch.equal(combine_levels(stream(), "last"), levels[-1])


def test_names_tell_levels_apart() -> None:
    assert level_name("last") == "last"
    assert level_name("blend") == level_name(Blend()) != level_name(Blend(content=0.2))


def test_bad_levels(levels: list[Tensor]) -> None:
    with pytest.raises(InputError, match="unknown level 'first'"):
        combine_levels(levels, "first")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must not be negative, got -1"):
        Blend(content=-1)


def test_a_hybrid_cosine_is_the_weighted_mean_of_both_cosines(levels: list[Tensor]) -> None:
    values = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    features = {"text": ModalityFeatures(FeatureSpec("text", "fake", 4), values, torch.ones(5, dtype=torch.bool))}
    found = normalize(combine_levels(levels, Hybrid(weight=2.0), features), dim=1)
    last, content = normalize(levels[-1], dim=1), normalize(values - values.mean(dim=0), dim=1)
    torch.testing.assert_close(found @ found.t(), (last @ last.t() + 2.0 * content @ content.t()) / 3.0)


def test_a_node_without_the_modality_of_a_hybrid_keeps_its_embedding_alone(levels: list[Tensor]) -> None:
    values, present = torch.full((5, 2), torch.nan), torch.tensor([False, True, True, True, True])
    values[1:] = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    found = combine_levels(
        levels, "hybrid", {"text": ModalityFeatures(FeatureSpec("text", "fake", 2), values, present)}
    )
    torch.testing.assert_close(found[0], torch.cat([normalize(levels[-1][:1], dim=1)[0], torch.zeros(2)]))
    torch.testing.assert_close(found[1, 3:], torch.tensor([1.0, 0.0]))


def test_bad_hybrids(levels: list[Tensor]) -> None:
    with pytest.raises(InputError, match="weight must be positive, got 0"):
        Hybrid(weight=0)
    with pytest.raises(InputError, match="unknown modality of a hybrid 'text'"):
        combine_levels(levels, "hybrid")
    assert level_name("hybrid") == level_name(Hybrid()) == "hybrid text 1.0"
