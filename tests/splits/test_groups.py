from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.errors import InputError
from mmgraph.seeding import generator
from mmgraph.splits.groups import NODE_SHARES, check_held_out, grouped_split

GROUPS = st.lists(st.sampled_from([f"g{i}" for i in range(30)]), max_size=120)


@settings(max_examples=25, deadline=None)
@given(GROUPS, st.integers(0, 3), st.randoms())
def test_groups_stay_whole_and_order_does_not_matter(groups: list[str], seed: int, random: object) -> None:
    splits = grouped_split(groups, NODE_SHARES, generator(seed))
    by_group = dict(zip(groups, splits, strict=True))
    assert [by_group[group] for group in groups] == splits
    shuffled = sorted(groups, key=lambda _: random.random())  # type: ignore[attr-defined]
    again = grouped_split(shuffled, NODE_SHARES, generator(seed))
    assert dict(zip(shuffled, again, strict=True)) == by_group


@settings(max_examples=25, deadline=None)
@given(GROUPS, st.integers(0, 3))
def test_no_split_is_overfull_by_more_than_one_group(groups: list[str], seed: int) -> None:
    counts = Counter(grouped_split(groups, NODE_SHARES, generator(seed)))
    largest = max(Counter(groups).values(), default=0)
    for split, share in NODE_SHARES.items():
        assert counts[split] <= share * len(groups) + largest


def test_shares_are_met_and_the_seed_matters() -> None:
    groups = [f"g{i}" for i in range(100)]
    splits = grouped_split(groups, NODE_SHARES, generator(0))
    assert Counter(splits) == {"train": 60, "valid": 20, "test": 20}
    assert grouped_split(groups, NODE_SHARES, generator(0)) == splits
    assert grouped_split(groups, NODE_SHARES, generator(1)) != splits


@pytest.mark.parametrize("leak", [("a", "b"), ("b", "a")])
def test_a_planted_leak_is_found_in_both_directions(leak: tuple[str, str]) -> None:
    kept = [("a", "c"), ("b", "c")]
    check_held_out([("a", "b")], kept)
    with pytest.raises(InputError, match=r"1 held-out pairs are still in the graph: \('a', 'b'\)"):
        check_held_out([("a", "b")], [*kept, leak])
