from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.datasets.debian.baskets import (
    MIN_ITEMS,
    askable_items,
    families,
    hold_out_items,
    split_items,
    type_edges,
)
from mmgraph.datasets.debian.packages import RELATIONS, Package


def package(name: str, section: str = "net") -> Package:
    return Package(name, "1", name, name, "", section, (), (), {})


def test_large_metapackages_and_tasks_become_baskets() -> None:
    items = [f"i{number}" for number in range(6)]
    packages = [package(name) for name in items] + [
        package("meta", "metapackages"),
        package("task", "tasks"),
        package("small", "metapackages"),
        package("big"),  # contains much, but is no metapackage
    ]
    edges = {name: [] for name in RELATIONS} | {
        "depends": [("meta", item) for item in items[:4]]
        + [("task", item) for item in items[:5]]
        + [("small", item) for item in items[:4]]
        + [("big", item) for item in items]
        + [("i0", "meta"), ("i0", "i1")],
        "recommends": [("meta", "i4"), ("meta", "i0"), ("meta", "task")],
        "suggests": [("meta", "i5"), ("meta", "i4"), ("i1", "i2"), ("meta", "task")],
        "enhances": [("i2", "meta")],
    }
    typed = type_edges(packages, edges)
    assert typed.baskets == {"meta", "task"}
    assert typed.relations["contains"] == sorted([("meta", i) for i in items[:5]] + [("task", i) for i in items[:5]])
    assert typed.relations["includes"] == [("meta", "task")]
    assert typed.suggested == [("meta", "i5")]
    # No other relation joins a basket with anything: it would tell what the basket contains.
    for name in RELATIONS:
        assert all(not {"meta", "task"} & set(pair) for pair in typed.relations[name])
    assert ("small", "i0") in typed.relations["depends"]
    assert typed.relations["suggests"] == [("i1", "i2")]
    assert typed.left_out == 3  # i0 - meta, i2 - meta, meta - i5


def test_items_of_the_baskets_own_source_are_not_asked() -> None:
    source = {"office": "office", "calc": "office", "draw": "office"} | {f"i{n}": f"i{n}" for n in range(5)}
    contains = [("office", item) for item in source if item != "office"]
    assert askable_items(contains, source) == {"office": {f"i{n}" for n in range(5)}}
    assert askable_items(contains[1:-1], source) == {}


def test_baskets_that_share_half_of_their_items_are_a_family() -> None:
    items = {"a": set("12345"), "b": set("345678"), "c": set("78"), "d": set("9")}
    assert families(items) == [["a", "b", "c"], ["d"]]
    assert families({"a": set("12345"), "b": set("45678")}) == [["a"], ["b"]]


@st.composite
def contents(draw: st.DrawFn) -> list[tuple[str, str]]:
    items = st.sets(st.integers(0, 30), min_size=1, max_size=20)
    baskets = draw(st.lists(items, min_size=1, max_size=6))
    return sorted((f"b{row}", f"i{item}") for row, found in enumerate(baskets) for item in found)


@given(contents(), st.integers(0, 3))
def test_no_relative_tells_what_is_held_out(contains: list[tuple[str, str]], seed: int) -> None:
    source = {name: name for pair in contains for name in pair}
    held_out = hold_out_items(contains, source, seed)
    items = askable_items(contains, source)
    assert set(held_out) <= {(basket, item) for basket, found in items.items() for item in found}
    for family in families(items):
        for basket in family:
            lost = {item for owner, item in held_out if owner == basket}
            assert len(lost) <= len(items[basket]) // 2
            for item in lost:
                owners = [other for other in family if item in items[other]]
                assert len({held_out[owner, item] for owner in owners}) == 1
    assert hold_out_items(list(reversed(contains)), source, seed) == held_out


def test_shares_and_seeds() -> None:
    contains = [(f"b{b}", f"i{b}-{i}") for b in range(10) for i in range(20)]
    source = {name: name for pair in contains for name in pair}
    split = split_items(contains, [("b0", "x"), ("b0", "i0-0")], source, 0)
    assert split is not None
    assert split.counts == {"train": 140, "valid": 20, "test": 40, "unused": 1}
    assert split.settings["relation"] == "contains"
    other = split_items(contains, [], source, 1)
    assert other is not None
    assert other.digest != split.digest
    assert split_items([], [], {}, 0) is None


@pytest.mark.parametrize("count", [MIN_ITEMS - 1, MIN_ITEMS])
def test_small_baskets_are_not_asked(count: int) -> None:
    contains = [("b", f"i{i}") for i in range(count)]
    held_out = hold_out_items(contains, {name: name for pair in contains for name in pair}, 0)
    assert list(held_out.values()) == (["test"] if count == MIN_ITEMS else [])
