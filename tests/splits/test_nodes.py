from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.errors import InputError
from mmgraph.splits.base import Split
from mmgraph.splits.nodes import (
    split_nodes_by_time,
    split_nodes_few_shot,
    split_nodes_random,
    split_nodes_stratified,
)

HALF = {"train": 0.5, "valid": 0.2, "test": 0.3}
LABELS = ("ant", "bee", "cat")
Groups = dict[Any, Any] | None


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Table, Groups]:
    """Nodes with labels (some missing, some lists), times with ties, and groups that may be named like nodes."""
    count = draw(st.integers(1, 40))
    numbers = draw(st.permutations(range(50)))[:count]
    ids: list[Any] = [f"n{number:02d}" for number in numbers] if draw(st.booleans()) else list(numbers)
    labels = draw(st.lists(st.sampled_from([*LABELS, *LABELS, None]), min_size=count, max_size=count))
    times = draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
    table = pa.table({"id": ids, "label": pa.array(labels, pa.string()), "time": times})
    if not draw(st.booleans()):
        return table, None
    names = st.sampled_from([*ids[:3], "g1", "g2", "g3", "g4"])
    grouped = draw(st.lists(st.sampled_from(ids), unique=True))
    return table, {node: draw(names) for node in grouped}


def check_node_split(table: pa.Table, groups: Groups, make: Callable[[pa.Table], Split]) -> dict[Any, str]:
    """What holds for every splitter of nodes; returns the part by id."""
    split = make(table)
    order = np.random.default_rng(0).permutation(table.num_rows)
    assert make(table.take(order).select(table.column_names[::-1])).digest == split.digest
    parts = dict(zip(split.table["id"].to_pylist(), split.table["split"].to_pylist(), strict=True))
    assert sorted(parts) == sorted(table["id"].to_pylist())
    given_rows = {row["id"]: row for row in table.to_pylist()}
    assert split.table.drop_columns(["split"]).to_pylist() == [given_rows[node] for node in sorted(parts)]
    home: dict[Any, set[str]] = defaultdict(set)
    for node, part in parts.items():
        home[_group(node, groups)].add(part)
    assert all(len(found - {"unused"}) <= 1 for found in home.values())
    return parts


def _group(node: Any, groups: Groups) -> Any:
    return ("group", groups[node]) if groups and node in groups else ("node", node)


def _sizes(table: pa.Table, groups: Groups) -> Counter[Any]:
    return Counter(_group(node, groups) for node in table["id"].to_pylist())


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(0, 3))
def test_random(drawn: tuple[pa.Table, Groups], seed: int) -> None:
    table, groups = drawn
    parts = check_node_split(
        table, groups, lambda table: split_nodes_random(table, shares=HALF, seed=seed, groups=groups)
    )
    counts, largest = Counter(parts.values()), max(_sizes(table, groups).values())
    for part, share in HALF.items():
        assert counts[part] <= share * len(parts) + largest
        assert largest > 1 or abs(counts[part] - share * len(parts)) <= 1
    assert counts["unused"] == 0


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(0, 3))
def test_stratified(drawn: tuple[pa.Table, Groups], seed: int) -> None:
    table, groups = drawn

    def make(table: pa.Table) -> Split:
        return split_nodes_stratified(table, shares=HALF, seed=seed, groups=groups)

    labels = dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))
    if not any(labels.values()):
        with pytest.raises(InputError, match="column 'label': expected labels, got none"):
            make(table)
        return
    parts = check_node_split(table, groups, make)
    assert {node for node, part in parts.items() if part == "unused"} == {n for n, label in labels.items() if not label}
    votes: dict[Any, Counter[str]] = defaultdict(Counter)
    for node, label in labels.items():
        if label:
            votes[_group(node, groups)][label] += 1
    stratum = {group: min(found, key=lambda label: (-found[label], label)) for group, found in votes.items()}
    num_small = 0
    for label in LABELS:
        members = {group: votes[group].total() for group, own in stratum.items() if own == label}
        found = Counter(part for node, part in parts.items() if labels[node] and _group(node, groups) in members)
        if 0 < len(members) < 3:
            assert set(found) == {"train"}
            num_small += 1
        elif members:
            assert set(found) == {"train", "valid", "test"}
            if max(members.values()) == 1 and len(members) >= 5:
                assert all(abs(found[part] - share * len(members)) <= 1 for part, share in HALF.items())
    assert make(table).settings["small_labels"] == num_small


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(1, 3), st.integers(0, 2), st.integers(0, 3))
def test_few_shot(drawn: tuple[pa.Table, Groups], train: int, valid: int, seed: int) -> None:
    table, groups = drawn
    labels = dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))
    if not any(labels.values()):
        return

    def make(table: pa.Table) -> Split:
        return split_nodes_few_shot(
            table, train_per_label=train, valid_per_label=valid, seed=seed, groups=groups, small_labels="unused"
        )

    parts = check_node_split(table, groups, make)
    split = make(table)
    by_label = {label: Counter(p for node, p in parts.items() if labels[node] == label) for label in LABELS}
    sizes = Counter(_group(node, groups) for node, label in labels.items() if label)
    single = max(sizes.values()) == 1
    num_small = 0
    for label, found in by_label.items():
        assert found["train"] in (0, train)
        assert found["valid"] in (0, valid) if found["train"] else found["valid"] == 0
        if single and found:
            large = found.total() > train + valid
            num_small += not large
            expected = {"train": train, "valid": valid, "test": found.total() - train - valid}
            assert +found == +Counter(expected if large else {"unused": found.total()}), label
    assert not single or split.settings["small_labels"] == num_small
    for group, size in sizes.items():
        found_parts = Counter(parts[n] for n, label in labels.items() if label and _group(n, groups) == group)
        assert found_parts in (Counter({"test": size}), Counter({"unused": size})) or (
            found_parts["train"] + found_parts["valid"] == 1 and found_parts["unused"] == size - 1
        )
    small = [name for name, found in by_label.items() if found.total() <= train + valid and found and single]
    if small:
        with pytest.raises(InputError, match=rf"labels have fewer than {train + valid + 1} (nodes|groups of nodes): '"):
            split_nodes_few_shot(table, train_per_label=train, valid_per_label=valid, groups=groups)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_by_time(drawn: tuple[pa.Table, Groups]) -> None:
    table, groups = drawn
    parts = check_node_split(table, groups, lambda table: split_nodes_by_time(table, shares=HALF, groups=groups))
    cuts = split_nodes_by_time(table, shares=HALF, groups=groups).settings
    times = dict(zip(table["id"].to_pylist(), table["time"].to_pylist(), strict=True))
    first: dict[Any, int] = {}
    for node, time in times.items():
        first[_group(node, groups)] = min(time, first.get(_group(node, groups), 99))

    def side(time: int) -> str:
        later = [cuts[f"first_{name}"] is not None and time >= cuts[f"first_{name}"] for name in ("valid", "test")]
        return ("train", "valid", "test")[sum(later)]

    for node, part in parts.items():
        home = side(first[_group(node, groups)])
        assert part == (home if side(times[node]) == home else "unused")


# --- planted cases -----------------------------------------------------------------------------------------------


def test_time_by_hand() -> None:
    table = pa.table({"id": ["a", "b", "c", "d", "e", "f"], "time": [1, 2, 3, 3, 4, 5]})
    split = split_nodes_by_time(table, shares={"train": 0.4, "valid": 0.2, "test": 0.4}, groups={"b": 0, "f": 0})
    # Groups begin at 1, 2, 3, 3, 4: two before 3, two of the moment 3, and f is a copy of b from the future.
    assert split.table["split"].to_pylist() == ["train", "train", "valid", "valid", "test", "unused"]
    assert split.settings == {
        "shares": {"train": 0.4, "valid": 0.2, "test": 0.4},
        "column": "time",
        "first_valid": 3,
        "first_test": 4,
        "groups": 1,
    }


def test_dates_are_times() -> None:
    days = pa.array([3, 1, 2, 0], pa.date32())
    split = split_nodes_by_time(
        pa.table({"id": [1, 2, 3, 4], "day": days}), shares={"train": 0.5, "test": 0.5}, column="day"
    )
    assert split.table["split"].to_pylist() == ["test", "train", "test", "train"]


def test_a_list_of_labels_counts_for_the_rarest() -> None:
    labels = [["common", "rare"] if i < 10 else ["common"] for i in range(50)] + [[]]
    table = pa.table({"id": range(51), "label": pa.array(labels, pa.list_(pa.string()))})
    split = split_nodes_stratified(table)
    rare = Counter(split.table["split"].to_pylist()[:10])
    assert rare == {"train": 6, "valid": 2, "test": 2}
    assert split.counts == {"train": 30, "valid": 10, "test": 10, "unused": 1}
    assert split.table["label"].to_pylist() == labels


@pytest.mark.parametrize("lists", [False, True])
def test_a_label_that_is_no_number_is_no_label(lists: bool) -> None:
    labels: list[Any] = [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, float("nan"), None]
    column = pa.array([[label] for label in labels] if lists else labels)
    table = pa.table({"id": list(range(8)), "label": column})
    split = split_nodes_few_shot(table, train_per_label=1, valid_per_label=1)
    assert split.counts == {"train": 2, "valid": 2, "test": 2, "unused": 2}
    assert split.part("unused")["id"].to_pylist() == [6, 7]


def test_seeds_and_an_old_column_split() -> None:
    table = pa.table({"id": range(50), "label": [str(i % 3) for i in range(50)], "split": ["old"] * 50})
    makers: list[Callable[[int], Split]] = [
        lambda seed: split_nodes_random(table, seed=seed),
        lambda seed: split_nodes_stratified(table, seed=seed),
        lambda seed: split_nodes_few_shot(table, train_per_label=2, valid_per_label=2, seed=seed),
    ]
    for make in makers:
        parts = [make(seed).table["split"].to_pylist() for seed in (0, 0, 1)]
        assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: split_nodes_random(t.drop_columns(["id"])), "nodes to split: missing column 'id'; got 'label'"),
        (lambda t: split_nodes_random(pa.concat_tables([t, t])), "column 'id': 3 duplicate ids: 'a', 'b', 'c'"),
        (lambda t: split_nodes_random(t, shares={"train": 2.0}), "add up to 1"),
        (lambda t: split_nodes_stratified(t.drop_columns(["label"])), "missing column 'label'; got 'id', 'time'"),
        (lambda t: split_nodes_by_time(t, column="year"), "missing column 'year'; got 'id', 'label', 'time'"),
        (lambda t: split_nodes_by_time(t, column="label"), "column 'label': expected numbers or dates, got string"),
        (lambda t: split_nodes_by_time(t), "column 'time': 1 nodes have no time; leave them out"),
        (
            lambda t: split_nodes_few_shot(t, train_per_label=0, valid_per_label=1),
            "expected at least 1 training and 0 validation nodes per label, got 0 and 1",
        ),
        (
            lambda t: split_nodes_few_shot(t, train_per_label=1, valid_per_label=1),
            r"2 labels have fewer than 3 nodes: 'x \(2\)', 'y \(1\)'; take fewer",
        ),
        (
            lambda t: split_nodes_few_shot(t, train_per_label=1, valid_per_label=1, small_labels="drop"),
            "unknown small_labels 'drop'; choose from: ",
        ),
    ],
)
def test_bad_input(make: Callable[[pa.Table], Split], message: str) -> None:
    table = pa.table({"id": ["a", "b", "c"], "label": ["x", "x", "y"], "time": [1.0, float("nan"), 2.0]})
    with pytest.raises(InputError, match=message):
        make(table)
