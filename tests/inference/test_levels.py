from __future__ import annotations

import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmgraph.errors import InputError
from mmgraph.inference.levels import Blend, combine_levels, level_name


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
