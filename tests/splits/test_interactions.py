from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.splits.base import Split
from mmgraph.splits.interactions import (
    split_cold_items,
    split_cold_users,
    split_interactions_by_time,
    split_leave_last_out,
)
from mmgraph.splits.message import message_graph
from mmgraph.testing.multigraphs import make_multigraph, shuffled

HALF = {"train": 0.5, "valid": 0.2, "test": 0.3}
RELATIONS = st.sampled_from(["likes", "made", "made_by"])
USERS = st.sampled_from(["person", "work"])
Row = tuple[Any, ...]


def graphs(times: list[str]) -> st.SearchStrategy[RawGraph]:
    return st.builds(
        make_multigraph,
        st.integers(0, 10**6),
        num_nodes=st.integers(2, 14),
        num_edges=st.integers(0, 70),
        times=st.sampled_from(times),
        string_ids=st.booleans(),
        num_moments=st.integers(1, 9),
    )


def edges_of(graph: RawGraph, names: Any) -> list[Row]:
    """(source, target, relation, time or None), repeats included."""
    found = []
    for name in names:
        relation = graph.relations[name]
        times = relation.attributes["time"].tolist() if "time" in relation.attributes else [None] * relation.num_edges
        ends = zip(*(graph.node_ids.values[row].tolist() for row in relation.edge_index.numpy()), strict=True)
        found += [(source, target, name, time) for (source, target), time in zip(ends, times, strict=True)]
    return found


def rows_of(split: Split) -> dict[Row, str]:
    names = [name for name in ("user", "item", "time") if name in split.table.column_names]
    rows = split.table.select([*names, "split"]).to_pylist()
    return {tuple(row[name] for name in names): row["split"] for row in rows}


def check_interactions(graph: RawGraph, relation: str, user_type: str, make: Callable[[RawGraph], Split]) -> Split:
    """What holds for every splitter of interactions, checked edge by edge."""
    split = make(graph)
    assert make(shuffled(graph, 1)).digest == split.digest
    family = {"made": ("made", "made_by"), "made_by": ("made", "made_by")}.get(relation, (relation,))
    timed = "time" in split.table.column_names
    assert timed == all("time" in graph.relations[name].attributes for name in family)

    def row_of(edge: Row) -> Row:
        ends = edge[:2] if graph.relations[edge[2]].source_type == user_type else edge[1::-1]
        return (*ends, edge[3]) if timed else ends

    edges, rows = edges_of(graph, family), rows_of(split)
    assert set(rows) == {row_of(edge) for edge in edges}
    assert split.table.num_rows == len(rows)

    # Of each pair only the earliest row may be anything but unused.
    first: dict[Row, Row] = {}
    for row in sorted(rows):
        first.setdefault(row[:2], row)
    assert all(part == "unused" for row, part in rows.items() if first[row[:2]] != row)
    assert split.settings["repeats"] == len(rows) - len(first)

    asked = {row: part for row, part in rows.items() if part in ("valid", "test")}
    others = edges_of(graph, set(graph.relations) - set(family))
    elsewhere = {frozenset(edge[:2]) for edge in others}
    assert split.settings["told_by_other_relations"] == sum(frozenset(row[:2]) in elsewhere for row in asked)
    for place, side in ((0, "cold_users"), (1, "cold_items")):
        seen = {row[place] for row, part in rows.items() if part == "train"}
        expected = {name: len({r[place] for r, p in asked.items() if p == name} - seen) for name in ("valid", "test")}
        assert split.settings[side] == expected

    for stage, with_valid in (("train", False), ("valid", False), ("test", False), ("test", True)):
        allowed = {"train", "valid"} if with_valid else {"train"}
        messages = message_graph(graph, split, stage, with_valid=with_valid)  # type: ignore[arg-type]
        still_asked = {frozenset(row[:2]) for row, part in asked.items() if part not in allowed}
        expected_edges = [edge for edge in edges if rows[row_of(edge)] in allowed]
        expected_edges += [edge for edge in others if frozenset(edge[:2]) not in still_asked]
        assert Counter(edges_of(messages, graph.relations)) == Counter(expected_edges)
        assert not {frozenset(edge[:2]) for edge in expected_edges} & still_asked
    return split


def first_rows(split: Split) -> dict[Row, str]:
    found: dict[Row, tuple[Row, str]] = {}
    for row, part in sorted(rows_of(split).items()):
        found.setdefault(row[:2], (row, part))
    return dict(found.values())


@settings(max_examples=60, deadline=None)
@given(graphs(["all"]), RELATIONS, USERS, st.integers(0, 4))
def test_leave_last_out(graph: RawGraph, relation: str, user_type: str, seed: int) -> None:
    split = check_interactions(
        graph, relation, user_type, lambda g: split_leave_last_out(g, relation, user_type=user_type, seed=seed)
    )
    by_user: dict[Any, list[tuple[int, str]]] = defaultdict(list)
    for (user, _, time), part in first_rows(split).items():
        by_user[user].append((time, part))
    order = ["train", "valid", "test"]
    for items in by_user.values():
        counts = Counter(part for _, part in items)
        assert counts["test"] == (len(items) >= 2)
        assert counts["valid"] == (len(items) >= 3)
        times = [sorted(time for time, part in items if part == name) for name in order]
        assert [time for part in times for time in part] == sorted(time for time, _ in items)


@settings(max_examples=60, deadline=None)
@given(graphs(["all"]), RELATIONS, USERS)
def test_by_time(graph: RawGraph, relation: str, user_type: str) -> None:
    split = check_interactions(
        graph, relation, user_type, lambda g: split_interactions_by_time(g, relation, shares=HALF, user_type=user_type)
    )
    starts = [split.settings[f"first_{name}"] for name in ("valid", "test")]
    for row, part in first_rows(split).items():
        assert part == ("train", "valid", "test")[sum(start is not None and row[2] >= start for start in starts)]
    moments = {row[2] for row in first_rows(split)}
    if len(moments) >= 3:
        assert all(split.counts[name] for name in ("train", "valid", "test"))


@settings(max_examples=60, deadline=None)
@given(graphs(["all", "some", "none"]), RELATIONS, USERS, st.integers(0, 4), st.booleans())
def test_cold_items_and_users(graph: RawGraph, relation: str, user_type: str, seed: int, items: bool) -> None:
    function = split_cold_items if items else split_cold_users
    split = check_interactions(
        graph, relation, user_type, lambda g: function(g, relation, shares=HALF, user_type=user_type, seed=seed)
    )
    home: dict[Any, set[str]] = defaultdict(set)
    for row, part in first_rows(split).items():
        home[row[int(items)]].add(part)
    assert all(len(parts) == 1 for parts in home.values())
    counts = Counter(part for (part,) in home.values())
    assert all(abs(counts[part] - share * len(home)) <= 1 for part, share in HALF.items())
    assert counts["unused"] == 0
    cold = split.settings["cold_items" if items else "cold_users"]
    assert cold == {name: counts[name] for name in ("valid", "test")}


@settings(max_examples=60, deadline=None)
@given(graphs(["all", "none"]), RELATIONS, st.integers(0, 4), st.sampled_from([0.2, 0.5, 0.9]))
def test_fold_in(graph: RawGraph, relation: str, seed: int, share: float) -> None:
    def make(graph: RawGraph) -> Split:
        return split_cold_users(graph, relation, shares=HALF, fold_in=share, seed=seed)

    user_type = graph.relations[relation].source_type
    split = check_interactions(graph, relation, user_type, make)
    whole = first_rows(split_cold_users(graph, relation, shares=HALF, seed=seed))
    rows = split.table.to_pylist()
    stage_of = {tuple(r[n] for n in ("user", "item", "time") if n in r): r["fold_in"] for r in rows}
    by_user: dict[Any, list[Row]] = defaultdict(list)
    for row, part in first_rows(split).items():
        if stage_of[row] is None:
            assert part == whole[row]
        else:
            assert (part, stage_of[row]) == ("unused", whole[row])
            assert whole[row] in ("valid", "test")
        if whole[row] != "train":
            by_user[row[0]].append(row)
    for own in by_user.values():
        folded = [row for row in own if stage_of[row] is not None]
        assert len(folded) == int(share * len(own) + 1e-9)
        if len(own[0]) == 3 and folded:
            assert max(row[2] for row in folded) <= min(row[2] for row in own if row not in folded)
    for stage in ("train", "valid", "test"):
        for with_valid in {False, stage == "test"}:
            messages = message_graph(graph, split, stage, with_valid=with_valid, with_fold_in=True)  # type: ignore[arg-type]
            kept = edges_of(messages, [relation, *filter(None, [graph.relations[relation].reverse])])
            ends = [edge[:2] if edge[2] == relation else edge[1::-1] for edge in kept]
            seen = {(*pair, edge[3]) if edge[3] is not None else pair for pair, edge in zip(ends, kept, strict=True)}
            stages = {stage, "valid"} if with_valid else {stage}
            for row, found in stage_of.items():
                assert found is None or (row in seen) == (found in stages)


# --- planted cases -----------------------------------------------------------------------------------------------


def shop(*likes: tuple[str, str, int], views: tuple[tuple[str, str], ...] = ()) -> RawGraph:
    users, items = sorted({row[0] for row in likes}), sorted({row[1] for row in likes})
    ids = users + items
    ends = torch.tensor([[ids.index(row[side]) for row in likes] for side in (0, 1)])
    relations = {"likes": Relation(ends, "user", "item", attributes={"time": torch.tensor([r[2] for r in likes])})}
    if views:
        viewed = torch.tensor([[ids.index(row[side]) for row in views] for side in (1, 0)])
        relations["viewed_by"] = Relation(viewed, "item", "user")
    node_type = torch.tensor([1] * len(users) + [0] * len(items))
    return RawGraph("shop", NodeIds(ids), ("item", "user"), node_type, relations)


SHOP = shop(
    ("u1", "a", 1),
    ("u1", "b", 3),
    ("u1", "a", 9),  # again, later: neither in training nor asked
    ("u1", "c", 4),
    ("u2", "a", 2),
    ("u2", "d", 7),
    ("u3", "d", 8),
    views=(("u1", "c"), ("u2", "a"), ("u3", "a")),
)


def test_leave_last_out_by_hand() -> None:
    split = split_leave_last_out(SHOP, "likes")
    assert split.table.to_pydict() == {
        "user": ["u1", "u1", "u1", "u1", "u2", "u2", "u3"],
        "item": ["a", "a", "b", "c", "a", "d", "d"],
        "time": [1, 9, 3, 4, 2, 7, 8],
        "split": ["train", "unused", "valid", "test", "train", "test", "train"],
    }
    assert split.settings == {
        "seed": 0,
        "relation": "likes",
        "user_type": "user",
        "item_type": "item",
        "attribute": "time",
        "repeats": 1,
        "told_by_other_relations": 1,
        "cold_users": {"valid": 0, "test": 0},
        "cold_items": {"valid": 1, "test": 1},
    }
    messages = message_graph(SHOP, split)
    assert edges_of(messages, messages.relations) == [
        ("u1", "a", "likes", 1),
        ("u2", "a", "likes", 2),
        ("u3", "d", "likes", 8),
        ("a", "u2", "viewed_by", None),
        ("a", "u3", "viewed_by", None),
    ]


def test_global_time_by_hand() -> None:
    split = split_interactions_by_time(SHOP, "likes", shares={"train": 0.5, "valid": 0.25, "test": 0.25})
    assert split.table["split"].to_pylist() == ["train", "unused", "train", "valid", "train", "valid", "test"]
    assert (split.settings["first_valid"], split.settings["first_test"]) == (4, 8)
    assert split.settings["cold_users"] == {"valid": 0, "test": 1}
    assert split.settings["cold_items"] == {"valid": 2, "test": 1}


def test_equal_times_are_ordered_by_the_seed() -> None:
    graph = shop(*((f"u{user:02d}", f"i{item}", 0) for user in range(30) for item in range(4)))
    tests = [split_leave_last_out(graph, "likes", seed=seed).part("test")["item"].to_pylist() for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]
    assert len(set(tests[0])) == 4
    for function in (split_cold_items, split_cold_users):
        tables = [function(graph, "likes", shares=HALF, seed=seed).table for seed in (0, 1)]  # type: ignore[operator]
        assert not tables[0].equals(tables[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: split_leave_last_out(g, "lks"), "unknown relation 'lks'; choose from: likes"),
        (lambda g: split_leave_last_out(g, "likes"), "relation 'likes': expected one number 'time' for every edge"),
        (lambda g: split_interactions_by_time(g, "likes"), r"'likes': expected one number 'time' .* are: 'weight'"),
        (lambda g: split_interactions_by_time(g, "made", attribute="year"), "expected one number 'year' for every"),
        (lambda g: split_cold_items(g, "knows"), "of two node types, got 'person' at both ends; split it as edges"),
        (lambda g: split_cold_users(g, "likes", user_type="wrk"), "unknown type of users 'wrk'; choose from: work"),
        (lambda g: split_cold_users(g, "likes", fold_in=1.0), "fold_in must be at least 0 and below 1, got 1.0"),
        (lambda g: split_cold_users(g, "likes", shares={"train": 0.5}), "add up to 1"),
    ],
)
def test_bad_input(make: Callable[[RawGraph], Split], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(make_multigraph(times="some"))


def test_items_of_a_group_are_new_together() -> None:
    items = [f"i{n}" for n in range(12)]
    graph = shop(*((f"u{n % 5}", item, n) for n, item in enumerate(items)))
    groups = {item: f"g{n // 3}" for n, item in enumerate(items[:9])}  # three groups of three, and three single items
    sides = set()
    for seed in range(8):
        split = split_cold_items(graph, "likes", shares=HALF, seed=seed, groups=groups)
        part = {row[1]: side for row, side in rows_of(split).items()}
        assert all(len({part[item] for item in items[n : n + 3]}) == 1 for n in (0, 3, 6))
        assert (
            split.digest == split_cold_items(shuffled(graph, 3), "likes", shares=HALF, seed=seed, groups=groups).digest
        )
        sides |= {part[item] for item in items[:9]}
    assert len(sides) > 1
    alone = {item: item for item in items}
    assert split_cold_items(graph, "likes", shares=HALF, groups=alone).counts["train"] == 6
