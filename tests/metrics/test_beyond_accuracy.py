from __future__ import annotations

import math

import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.metrics.beyond_accuracy import (
    catalogue_coverage,
    exposure,
    exposure_gini,
    novelty,
    popularity_ratio,
)

LISTED = torch.tensor([[0, 1], [0, -1], [2, 0], [-1, -1]])
POPULARITY = torch.tensor([8, 4, 2, 1, 0])


def test_coverage_by_hand() -> None:
    assert exposure(LISTED, 5).tolist() == [3, 1, 1, 0, 0]
    assert catalogue_coverage(LISTED, 5) == pytest.approx(3 / 5)


def test_novelty_by_hand() -> None:
    # p = 8/16, 4/16, 2/16: 1, 2 and 3 bits; the list without items does not count.
    assert novelty(LISTED, POPULARITY, 16) == pytest.approx(((1 + 2) / 2 + 1 + (3 + 1) / 2) / 3)
    unseen = torch.tensor([[4]])
    assert novelty(unseen, POPULARITY, 16) == novelty(torch.tensor([[3]]), POPULARITY, 16) == 4.0
    assert novelty(torch.tensor([[0]]), POPULARITY, 8) == 0.0


def test_popularity_ratio_by_hand() -> None:
    # User 0 has items 1 and 3 (mean 2.5), user 7 item 2 (mean 2).
    profiles = torch.tensor([[0, 7, 0], [1, 2, 3]])
    recommended = ((8 + 4) / 2 + 8 + (2 + 8) / 2) / 3
    assert popularity_ratio(LISTED, profiles, POPULARITY) == pytest.approx(recommended / 2.25)
    same = torch.tensor([[1, 3], [2, -1]])
    assert popularity_ratio(same, profiles, POPULARITY) == pytest.approx(1.0)


def test_gini_by_hand_and_against_the_mean_difference() -> None:
    assert exposure_gini(torch.arange(6).view(3, 2), 6) == pytest.approx(0.0)
    assert exposure_gini(torch.tensor([[3], [3]]), 5) == pytest.approx(1 - 1 / 5)
    listed = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(i))[:4] for i in range(9)])
    count = exposure(listed, 12).double()
    difference = (count[:, None] - count[None]).abs().mean()
    assert exposure_gini(listed, 12) == pytest.approx(float(difference / (2 * count.mean())))


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([[0, 1], [2, 2]], "list 1 holds an item twice"),
        ([[0, 5]], r"must lie in 0\.\.4, or be -1, got 0\.\.5"),
        ([[-2, 0]], "got -2"),
        ([[-1, -1]], "no item is listed"),
    ],
)
def test_bad_lists_are_refused(listed: list[list[int]], message: str) -> None:
    for call in (
        lambda lists: catalogue_coverage(lists, 5),
        lambda lists: exposure_gini(lists, 5),
        lambda lists: novelty(lists, POPULARITY, 16),
    ):
        with pytest.raises(InputError, match=message):
            call(torch.tensor(listed))
    with pytest.raises(InputError, match="int64"):
        catalogue_coverage(torch.tensor(listed).float(), 5)


def test_bad_popularity_and_profiles_are_refused() -> None:
    with pytest.raises(InputError, match="at most the number of users, 7"):
        novelty(LISTED, POPULARITY, 7)
    with pytest.raises(InputError, match="without NaN"):
        novelty(LISTED, torch.tensor([1.0, math.nan, 1, 1, 1]), 16)
    with pytest.raises(InputError, match="no interactions"):
        popularity_ratio(LISTED, torch.empty(2, 0, dtype=torch.int64), POPULARITY)
    with pytest.raises(InputError, match="popularity 0"):
        popularity_ratio(LISTED, torch.tensor([[0], [4]]), POPULARITY)
    with pytest.raises(InputError, match=r"must lie in 0\.\.4"):
        popularity_ratio(LISTED, torch.tensor([[0], [5]]), POPULARITY)
