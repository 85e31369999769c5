from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.errors import InputError
from mmgraph.seeding import generator
from mmgraph.splits.shares import TimeCut, check_shares, deal, deal_groups, part_sizes, settle

SHARES = st.sampled_from([(0.85, 0.05, 0.1), (0.6, 0.2, 0.2), (1.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.7, 0.0, 0.3)])
NAMES = ("train", "valid", "test")


def shares_of(values: tuple[float, ...]) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"train": 0.5, "test": 0.6}, r"add up to 1, got \[0.5, 0.0, 0.6\]"),
        ({"train": 1.5, "test": -0.5}, r"must not be negative and add up to 1, got \[1.5, 0.0, -0.5\]"),
        ({"train": float("nan"), "test": 1.0}, "add up to 1"),
        ({"train": 0.5, "dev": 0.5}, "unknown part 'dev'; choose from: test, train, valid"),
        ({}, "add up to 1"),
    ],
)
def test_bad_shares(shares: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_shares(shares)


def test_shares_come_in_one_order() -> None:
    assert list(check_shares({"test": 0.3, "train": 0.7}).items()) == [("train", 0.7), ("valid", 0.0), ("test", 0.3)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), SHARES, st.integers(0, 9))
def test_dealt_parts_have_their_shares(count: int, values: tuple[float, ...], seed: int) -> None:
    sizes = np.bincount(deal(count, shares_of(values), generator(seed)), minlength=3)
    assert sizes.tolist() == part_sizes(count, shares_of(values)).tolist()
    assert (np.abs(sizes - np.array(values) * count) <= 1).all()
    assert sizes[np.array(values) == 0].sum() == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=60), SHARES, st.integers(0, 9), st.booleans())
def test_dealt_groups_come_close_to_the_shares(
    sizes: list[int], values: tuple[float, ...], seed: int, in_all_parts: bool
) -> None:
    shares, counts = shares_of(values), np.array(sizes, dtype=np.int64)
    part = deal_groups(counts, shares, generator(seed), in_all_parts=in_all_parts)
    got = np.bincount(part, weights=counts, minlength=3)
    wanted = np.array(values) * counts.sum()
    num_parts = np.count_nonzero(values)
    if not in_all_parts:
        assert (got <= wanted + max(sizes, default=0)).all()
    elif len(sizes) < num_parts:
        assert (part == 0).all()
    else:
        assert (got[wanted > 0] > 0).all()
    if not (in_all_parts and len(sizes) < num_parts):
        assert got[np.array(values) == 0].sum() == 0


def test_single_members_meet_the_shares_exactly_after_large_groups() -> None:
    sizes = np.array([1] * 60 + [40])
    part = deal_groups(sizes, shares_of((0.6, 0.2, 0.2)), generator(0))
    assert np.bincount(part, weights=sizes).tolist() == [60, 20, 20]
    overfull = deal_groups(np.array([1] * 20 + [80]), shares_of((0.6, 0.2, 0.2)), generator(0))
    assert np.bincount(overfull, weights=[1] * 20 + [80]).tolist() == [80, 10, 10]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], (7, 9)),  # 6, 2, 2
        ([5] * 6 + [7] * 2 + [9] * 2, (7, 9)),
        ([5] * 5 + [6] * 4 + [9], (6, 9)),
        ([5] * 9 + [9], (9, 9)),  # two moments: nothing is left to validate
        ([1] + [9] * 9, (9, 9)),
        ([4] * 10, (None, None)),
        ([], (None, None)),
    ],
)
def test_time_is_cut_where_it_comes_closest(times: list[int], expected: tuple[int | None, int | None]) -> None:
    cut = TimeCut.by_shares(np.array(times), shares_of((0.6, 0.2, 0.2)))
    assert (cut.valid, cut.test) == expected


def test_validation_is_not_lost_between_coarse_times() -> None:
    years = np.repeat(np.arange(2010, 2020), 10)
    cut = TimeCut.by_shares(years, shares_of((0.85, 0.05, 0.1)))
    assert np.bincount(cut.parts(years)).tolist() == [80, 10, 10]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), SHARES)
def test_cuts_are_the_best_that_equal_times_allow(times: list[int], values: tuple[float, ...]) -> None:
    array, shares = np.array(times), shares_of(values)
    cut = TimeCut.by_shares(array, shares)
    part = cut.parts(array)
    moments = sorted(set(times))
    assert all(len(set(part[array == moment].tolist())) == 1 for moment in moments)
    assert (np.diff(part[np.argsort(array, kind="stable")]) >= 0).all()
    wanted = [share > 0 for share in values]
    if len(moments) < sum(wanted):
        wanted = [True, False, wanted[2] and len(moments) > 1]
    target = np.floor(np.cumsum(values)[:2] * len(times) + 0.5)

    def cost(first: int, second: int) -> float:
        return float(abs((array < first).sum() - target[0]) + abs((array < second).sum() - target[1]))

    possible = []
    for first in [*moments, 99]:
        for second in [moment for moment in [*moments, 99] if moment >= first]:
            sizes = [(array < first).sum(), ((array >= first) & (array < second)).sum(), (array >= second).sum()]
            if all(size > 0 for size, needed in zip(sizes, wanted, strict=True) if needed):
                possible.append(cost(first, second))
    chosen = [99 if moment is None else moment for moment in (cut.valid, cut.test)]
    assert cost(*chosen) == min(possible)
    assert all((part == code).any() for code, needed in enumerate(wanted) if needed)


def test_settle_keeps_a_unit_where_it_is_first() -> None:
    part, unit = np.array([2, 0, 1, 2, 2, 1], dtype=np.int8), np.array([0, 0, 1, 1, 2, 3])
    assert settle(part, unit).tolist() == [3, 0, 1, 3, 2, 1]
    assert settle(part[:0], unit[:0]).tolist() == []
