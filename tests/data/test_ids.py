from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.ids import NodeIds, as_ids
from mmgraph.errors import InputError

TEXT_IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True, max_size=20)
INTEGER_IDS = st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=20)


@given(TEXT_IDS | INTEGER_IDS, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_positions_invert_indexing(values: list[Any], random: Any) -> None:
    ids = NodeIds(values)
    order = list(range(len(values)))
    random.shuffle(order)
    assert ids.positions([values[i] for i in order]).tolist() == order
    assert ids.take(np.array(order, dtype=np.int64)).values.tolist() == [values[i] for i in order]


@pytest.mark.parametrize(
    "container",
    [list, tuple, np.array, pd.Series, pd.Index, pa.array, lambda v: pa.chunked_array([v[:1], v[1:]])],
    ids=["list", "tuple", "numpy", "series", "index", "arrow", "chunked"],
)
@pytest.mark.parametrize("values", [["b", "ä", "漢"], [3, -1, 2**40]])
def test_every_container_gives_the_same_ids(container: Any, values: list[Any]) -> None:
    ids = as_ids(container(values))
    assert ids.tolist() == values
    assert ids.dtype == (object if isinstance(values[0], str) else np.int64)
    assert all(type(item) is type(values[0]) for item in ids.tolist())


def test_numbers_and_their_texts_are_different_ids() -> None:
    with pytest.raises(InputError, match=r"^ids: node ids are integers, got strings \(first: '1'\)$"):
        NodeIds([1, 2]).find(["1"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", 1], "x: expected all strings or all integers, got int, str (row 1: 1)"),
        ([1, 2, "3"], "x: expected all strings or all integers, got int, str (row 2: '3')"),
        ([1.0, 2.0], "x: expected all strings or all integers, got float (row 0: 1.0)"),
        ([True, False], "x: expected all strings or all integers, got bool (row 0: True)"),
        (["a", None], "x: expected all strings or all integers, got NoneType, str (row 1: None)"),
        (pa.array([1, None]), "x: missing id in row 1"),
        (pa.chunked_array([["a"], [None]]), "x: missing id in row 1"),
        ([2**63], f"x: expected integers of 64 bits, got {2**63}..{2**63}; use strings"),
        (np.array([2**63], dtype=np.uint64), f"x: expected integers of 64 bits, got {2**63}..{2**63}; use strings"),
    ],
)
def test_bad_ids_are_refused(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        as_ids(values, where="x")


def test_duplicates_list_the_first_five() -> None:
    values = [f"n{i}" for i in range(7)]
    with pytest.raises(InputError) as error:
        NodeIds([*values, *values, "fine"], where="nodes.csv, column id")
    assert str(error.value) == "nodes.csv, column id: 7 duplicate ids: 'n0', 'n1', 'n2', 'n3', 'n4' and 2 more"


def test_unknown_ids_are_counted_and_listed() -> None:
    ids = NodeIds(["a", "b"])
    with pytest.raises(InputError) as error:
        ids.positions(["a", "x", "y", "x"], where="labels")
    assert str(error.value) == "labels: 3 unknown ids: 'x', 'y'"
    assert ids.find(["x", "b"]).tolist() == [-1, 1]


def test_empty() -> None:
    ids = NodeIds([])
    assert len(ids) == 0
    assert ids.find(["a"]).tolist() == [-1]
    assert NodeIds(["a"]).find([]).tolist() == []


def test_equality_needs_order() -> None:
    assert NodeIds(["a", "b"]) == NodeIds(NodeIds(["a", "b"]))
    assert NodeIds(["a", "b"]) != NodeIds(["b", "a"])
    assert NodeIds(["1"]) != NodeIds([1])


@pytest.mark.parametrize("kind", [str, int])
@given(st.lists(st.integers(0, 400), max_size=40))
@settings(max_examples=30, deadline=None)
def test_few_among_many_are_found_like_many(kind: type, wanted: list[int]) -> None:
    ids = NodeIds([kind(3 * i) for i in range(100)])
    expected = [i // 3 if i % 3 == 0 and i < 300 else -1 for i in wanted]
    assert ids.find([kind(i) for i in wanted]).tolist() == expected
    for i, row in zip(wanted, expected, strict=True):
        assert ids.find([kind(i)]).tolist() == [row]


def test_duplicate_integers_wherever_they_stand() -> None:
    values = np.random.default_rng(0).permutation(1000)
    NodeIds(values)
    values[7] = values[991]
    with pytest.raises(InputError, match=rf"^node ids: 1 duplicate ids: {values[7]}$"):
        NodeIds(values)


def test_ids_do_not_share_the_memory_of_their_caller() -> None:
    values = np.arange(3)
    ids = NodeIds(values)
    values[0] = 2
    assert ids.values.tolist() == [0, 1, 2]
