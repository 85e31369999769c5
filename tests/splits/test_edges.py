from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.splits.base import Split
from mmgraph.splits.edges import (
    split_edges_by_relation,
    split_edges_by_time,
    split_edges_cold_nodes,
    split_edges_random,
)
from mmgraph.splits.message import message_graph
from mmgraph.testing.factories import make_graph
from mmgraph.testing.multigraphs import make_multigraph, shuffled

Row = tuple[Any, ...]
HALF = {"train": 0.5, "valid": 0.2, "test": 0.3}
REVERSE = {"made": "made_by", "made_by": "made"}
CHOICES = st.sampled_from([None, ["knows"], ["made"], ["made_by", "alike"], ["likes", "knows"], ["alike"]])
GRAPHS = st.builds(
    make_multigraph,
    st.integers(0, 10**6),
    num_nodes=st.integers(2, 14),
    num_edges=st.integers(0, 60),
    times=st.sampled_from(["all", "some", "none"]),
    string_ids=st.booleans(),
    num_moments=st.integers(1, 8),
)
TIMED = st.builds(
    make_multigraph,
    st.integers(0, 10**6),
    num_nodes=st.integers(2, 14),
    num_edges=st.integers(0, 60),
    string_ids=st.booleans(),
    num_moments=st.integers(1, 8),
)


def edges_of(graph: RawGraph, names: Any) -> list[Row]:
    """All edges, repeats included, as (source, target, relation, time or None)."""
    found = []
    for name in names:
        relation = graph.relations[name]
        times = relation.attributes["time"].tolist() if "time" in relation.attributes else [None] * relation.num_edges
        ends = zip(*(graph.node_ids.values[row].tolist() for row in relation.edge_index.numpy()), strict=True)
        found += [(source, target, name, time) for (source, target), time in zip(ends, times, strict=True)]
    return found


def rows_of(split: Split) -> dict[Row, str]:
    names = [name for name in ("source", "target", "relation", "time") if name in split.table.column_names]
    rows = split.table.select([*names, "split"]).to_pylist()
    found = {tuple(row[name] for name in names): row["split"] for row in rows}
    assert len(found) == len(rows)
    return found


def unit_of(row: Row, together: str) -> Any:
    pair = frozenset(row[:2])
    return pair if together == "pair" else (pair, min(row[2], REVERSE.get(row[2], row[2])))


def check_edge_split(
    graph: RawGraph, relations: list[str] | None, together: str, make: Callable[[RawGraph], Split]
) -> Split:
    """What holds for every splitter of edges, checked edge by edge."""
    split = make(graph)
    assert make(shuffled(graph, 1)).digest == split.digest
    names = set(graph.relations) if relations is None else {*relations, *(REVERSE.get(r, r) for r in relations)}
    edges = edges_of(graph, names)
    rows = rows_of(split)
    timed = "time" in split.table.column_names
    assert timed == all("time" in graph.relations[name].attributes for name in names)
    assert set(rows) == {edge if timed else edge[:3] for edge in edges}

    parts: dict[Any, set[str]] = defaultdict(set)
    for row, part in rows.items():
        parts[unit_of(row, together)].add(part)
    assert all(len(found - {"unused"}) <= 1 for found in parts.values())  # no unit straddles

    outside = edges_of(graph, set(graph.relations) - names)
    told = {frozenset(row[:2]) for row in outside} if together == "pair" else set()
    asked = {row: part for row, part in rows.items() if part in ("valid", "test")}
    assert all(row[0] != row[1] and frozenset(row[:2]) not in told for row in asked)
    assert split.settings["told_by_other_relations"] == len({frozenset(row[:2]) for row in rows} & told)
    assert split.settings["self_loops"] == sum(row[0] == row[1] for row in rows)
    assert split.settings["repeated_edges"] == len(edges) - len(rows)
    ends = {node for row in asked for node in row[:2]}
    seen = {node for row, part in rows.items() if part == "train" for node in row[:2]}
    everywhere = seen | {node for row in outside for node in row[:2]}
    cold = {"in_these_relations": len(ends - seen), "in_all_relations": len(ends - everywhere)}
    assert split.settings["cold_nodes"] == cold

    for stage, with_valid in (("train", False), ("valid", False), ("test", False), ("test", True)):
        allowed = {"train", "valid"} if with_valid else {"train"}
        messages = message_graph(graph, split, stage, with_valid=with_valid)  # type: ignore[arg-type]
        kept = edges_of(messages, graph.relations)
        open_units = {unit_of(row, together) for row, part in asked.items() if part not in allowed}
        assert not {unit_of(row, together) for row in kept} & open_units  # nothing tells what is asked
        expected = [edge for edge in edges if rows[edge if timed else edge[:3]] in allowed]
        assert Counter(kept) == Counter(expected + outside)  # and nothing else is lost
        again = message_graph(messages, split, stage, with_valid=with_valid)  # type: ignore[arg-type]
        assert edges_of(again, graph.relations) == kept
    return split


@settings(max_examples=80, deadline=None)
@given(GRAPHS, CHOICES, st.sampled_from(["pair", "relation"]), st.integers(0, 5))
def test_random(graph: RawGraph, relations: list[str] | None, together: Any, seed: int) -> None:
    def make(graph: RawGraph) -> Split:
        return split_edges_random(graph, relations, shares=HALF, seed=seed, together=together)

    split = check_edge_split(graph, relations, together, make)
    rows = rows_of(split)
    assert "unused" not in rows.values()
    outside = edges_of(graph, set(graph.relations) - set(split.settings["relations"]))
    told = {frozenset(row[:2]) for row in outside} if together == "pair" else set()
    units = {unit_of(r, together): part for r, part in rows.items() if r[0] != r[1] and frozenset(r[:2]) not in told}
    counts = Counter(units.values())
    for part, share in HALF.items():
        assert abs(counts[part] - share * len(units)) <= 1


@settings(max_examples=80, deadline=None)
@given(TIMED, CHOICES, st.sampled_from(["pair", "relation"]))
def test_by_time(graph: RawGraph, relations: list[str] | None, together: Any) -> None:
    def make(graph: RawGraph) -> Split:
        return split_edges_by_time(graph, relations, shares=HALF, together=together)

    split = check_edge_split(graph, relations, together, make)
    rows = rows_of(split)
    first: dict[Any, int] = {}
    for row in rows:
        unit = unit_of(row, together)
        first[unit] = min(row[3], first.get(unit, row[3]))
    no_end = float("inf")
    starts = [split.settings[f"first_{part}"] for part in ("valid", "test")]
    valid, test = (no_end if start is None else start for start in starts)
    outside = edges_of(graph, set(graph.relations) - set(split.settings["relations"]))
    told = {frozenset(row[:2]) for row in outside} if together == "pair" else set()
    for row, part in rows.items():

        def side(time: int) -> str:
            return "train" if time < valid else "valid" if time < test else "test"

        own, home = side(row[3]), side(first[unit_of(row, together)])
        blocked = own != "train" and (row[0] == row[1] or frozenset(row[:2]) in told)
        assert part == ("unused" if blocked or own != home else own)


@settings(max_examples=60, deadline=None)
@given(
    GRAPHS,
    st.dictionaries(st.sampled_from(["knows", "alike", "made", "likes"]), st.sampled_from(["train", "valid", "test"])),
    st.sampled_from(["pair", "relation"]),
)
def test_by_relation(graph: RawGraph, parts: dict[str, str], together: Any) -> None:
    parts = parts or {"knows": "test"}
    split = check_edge_split(
        graph, list(parts), together, lambda graph: split_edges_by_relation(graph, parts, together=together)
    )
    whole = parts | {REVERSE[name]: part for name, part in parts.items() if name in REVERSE}
    order = ["train", "valid", "test"]
    rows = rows_of(split)
    first: dict[Any, int] = {}
    for row in rows:
        unit = unit_of(row, together)
        first[unit] = min(order.index(whole[row[2]]), first.get(unit, 9))
    for row, part in rows.items():
        assert part in (whole[row[2]], "unused")
        if part == "train" or (whole[row[2]] == "train"):
            assert part == whole[row[2]]
        elif order.index(whole[row[2]]) != first[unit_of(row, together)]:
            assert part == "unused"


@settings(max_examples=80, deadline=None)
@given(GRAPHS, CHOICES, st.sampled_from([None, "person", "work"]), st.integers(0, 5))
def test_cold_nodes(graph: RawGraph, relations: list[str] | None, node_type: str | None, seed: int) -> None:
    names = set(graph.relations) if relations is None else {*relations, *(REVERSE.get(r, r) for r in relations)}
    ends = {node for row in edges_of(graph, names) for node in row[:2]}
    kinds = dict(zip(graph.node_ids.values.tolist(), graph.node_type.tolist(), strict=True))
    linked = {node for node in ends if node_type in (None, graph.node_types[kinds[node]])}
    if node_type and not linked:
        with pytest.raises(InputError, match=f"no node of type '{node_type}' has an edge of"):
            split_edges_cold_nodes(graph, relations, node_type=node_type, shares=HALF, seed=seed)
        return

    def make(graph: RawGraph) -> Split:
        return split_edges_cold_nodes(graph, relations, node_type=node_type, shares=HALF, seed=seed)

    split = check_edge_split(graph, relations, "pair", make)
    rows = rows_of(split)
    seen = {node for row, part in rows.items() if part == "train" for node in row[:2]}
    for row, part in rows.items():
        if part in ("valid", "test"):
            assert set(row[:2]) & (linked - seen)  # at least one end is new, and of the type that was held out
    for part, share in HALF.items():
        assert abs(split.settings["nodes"][part] - share * len(linked)) <= 1
    num_train = split.settings["nodes"]["train"]
    assert len(seen & linked) <= num_train  # held-out nodes have no training edge at all


# --- planted cases -----------------------------------------------------------------------------------------------


def planted(*edges: tuple[str, str, str, int], **other: dict[str, Any]) -> RawGraph:
    """A graph of letters; `other` are arguments of a relation by name."""
    ids = sorted({node for edge in edges for node in edge[:2]})
    relations = {}
    for name in sorted({edge[2] for edge in edges}):
        rows = [edge for edge in edges if edge[2] == name]
        ends = torch.tensor([[ids.index(row[side]) for row in rows] for side in (0, 1)])
        time = {"time": torch.tensor([row[3] for row in rows])}
        relations[name] = Relation(ends, "node", "node", attributes=time, **other.get(name, {}))
    return RawGraph("planted", NodeIds(ids), ("node",), torch.zeros(len(ids), dtype=torch.int64), relations)


def test_time_by_hand() -> None:
    graph = planted(
        ("a", "b", "cites", 1),
        ("b", "a", "cites", 8),  # the same pair, later: known by then
        ("a", "c", "cites", 2),
        ("a", "d", "cites", 3),
        ("a", "e", "cites", 4),
        ("a", "f", "cites", 5),
        ("a", "g", "cites", 5),  # same moment as the one before
        ("a", "h", "cites", 7),
        ("a", "i", "cites", 8),
        ("a", "i", "cites", 9),  # repeats within the test
        ("a", "f", "cites", 9),  # repeat of a validation pair in the test
        ("c", "c", "cites", 8),  # nobody can be asked for itself
        ("b", "c", "cites", 8),
        ("c", "b", "likes", 0),  # another relation tells the pair before
    )
    split = split_edges_by_time(graph, ["cites"], shares={"train": 0.5, "valid": 0.25, "test": 0.25})
    assert (split.settings["first_valid"], split.settings["first_test"]) == (5, 7)
    assert split.table.to_pydict() == {
        "source": ["a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "b", "b", "c"],
        "target": ["b", "c", "d", "e", "f", "f", "g", "h", "i", "i", "a", "c", "c"],
        "relation": ["cites"] * 13,
        "time": [1, 2, 3, 4, 5, 9, 5, 7, 8, 9, 8, 8, 8],
        "split": ["train"] * 4 + ["valid", "unused", "valid", "test", "test", "test", "unused", "unused", "unused"],
    }
    kept = message_graph(graph, split)
    assert sorted(edges_of(kept, ["cites", "likes"])) == [
        ("a", "b", "cites", 1),
        ("a", "c", "cites", 2),
        ("a", "d", "cites", 3),
        ("a", "e", "cites", 4),
        ("c", "b", "likes", 0),
    ]


def test_relations_by_hand() -> None:
    graph = planted(
        ("a", "b", "directed", 0),
        ("b", "a", "directed_by", 0),
        ("c", "a", "likes", 0),
        ("b", "a", "likes", 0),  # tells the first pair, so it cannot be in training while that is asked
        ("a", "c", "near", 0),  # a relation outside of the split tells this pair
        ("d", "a", "likes", 0),
        directed={"reverse": "directed_by"},
        directed_by={"reverse": "directed"},
    )
    split = split_edges_by_relation(graph, {"directed_by": "valid", "likes": "test"})
    assert split.settings["parts"] == {"directed": "valid", "directed_by": "valid", "likes": "test"}
    assert rows_of(split) == {
        ("a", "b", "directed", 0): "valid",
        ("b", "a", "directed_by", 0): "valid",
        ("b", "a", "likes", 0): "unused",
        ("c", "a", "likes", 0): "unused",
        ("d", "a", "likes", 0): "test",
    }
    assert split.settings["cold_nodes"] == {"in_these_relations": 3, "in_all_relations": 2}
    apart = split_edges_by_relation(graph, {"directed_by": "valid", "likes": "test"}, together="relation")
    assert rows_of(apart) == {
        ("a", "b", "directed", 0): "valid",
        ("b", "a", "directed_by", 0): "valid",
        ("b", "a", "likes", 0): "test",
        ("c", "a", "likes", 0): "test",
        ("d", "a", "likes", 0): "test",
    }
    with pytest.raises(InputError, match="'directed' and its reverse 'directed_by' must lie in the same part"):
        split_edges_by_relation(graph, {"directed": "train", "directed_by": "test"})
    with pytest.raises(InputError, match="unknown part for relation 'likes' 'tst'; choose from: test"):
        split_edges_by_relation(graph, {"likes": "tst"})


def test_cold_nodes_by_hand() -> None:
    ring = [(f"n{i}", f"n{(i + 1) % 8}", "next", 0) for i in range(8)]
    graph = planted(*ring, ("n0", "n1", "near", 0), ("n4", "n4", "next", 0))
    shares = {"train": 0.5, "valid": 0.25, "test": 0.25}
    split = split_edges_cold_nodes(graph, ["next"], shares=shares, seed=1)
    assert split.settings["nodes"] == {"train": 4, "valid": 2, "test": 2}
    assert [(*row[:2], part) for row, part in rows_of(split).items()] == [
        ("n0", "n1", "unused"),  # both are test nodes, but `near` tells the pair
        ("n1", "n2", "unused"),  # between a test and a validation node
        ("n2", "n3", "valid"),
        ("n3", "n4", "valid"),
        ("n4", "n4", "unused"),  # n4 is a validation node
        ("n4", "n5", "valid"),
        ("n5", "n6", "train"),
        ("n6", "n7", "train"),
        ("n7", "n0", "test"),
    ]
    assert split.settings["cold_nodes"] == {"in_these_relations": 4, "in_all_relations": 3}


def test_another_seed_another_split() -> None:
    graph = make_multigraph(num_nodes=40, num_edges=200)
    for make in (split_edges_random, split_edges_cold_nodes):
        tables = [rows_of(make(graph, seed=seed)) for seed in (0, 0, 1)]  # type: ignore[operator]
        assert tables[0] == tables[1] != tables[2]


def test_encoded_graphs_are_split_alike() -> None:
    graph = make_graph(num_nodes=30, num_edges=90)
    raw = RawGraph("toy", graph.node_ids, graph.node_types, graph.node_type, graph.relations)
    split = split_edges_random(graph, ["similar"])
    assert split.digest == split_edges_random(raw, ["similar"]).digest
    messages = message_graph(graph, split)
    assert messages.features.keys() == graph.features.keys()
    assert messages.relations["likes"].num_edges == graph.relations["likes"].num_edges
    held_out = split.counts["valid"] + split.counts["test"]
    assert messages.relations["similar"].num_edges == graph.relations["similar"].num_edges - held_out
    assert message_graph(graph, split, "test", with_valid=True).num_edges == messages.num_edges + split.counts["valid"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: split_edges_random(g, ["lks"]), "unknown relation 'lks'; choose from: likes"),
        (lambda g: split_edges_random(g, []), "graph 'multi': expected relations to split, got none"),
        (lambda g: split_edges_random(g, shares={"train": 1, "test": 1}), "add up to 1"),
        (lambda g: split_edges_random(g, together="both"), "unknown together 'both'; choose from: pair, relation"),
        (
            lambda g: split_edges_by_time(g),
            "relation 'likes': expected one number 'time' for every edge; its attributes",
        ),
        (lambda g: split_edges_by_time(g, ["knows"], attribute="year"), "expected one number 'year' for every edge"),
        (lambda g: split_edges_cold_nodes(g, node_type="wrk"), "unknown node type 'wrk'; choose from: work"),
    ],
)
def test_bad_input(make: Callable[[RawGraph], Split], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(make_multigraph(times="some"))


def test_missing_times_are_refused_and_otherwise_not_used() -> None:
    graph = planted(("a", "b", "r", 1), ("a", "b", "r", 2), ("b", "c", "r", 3))
    relation = graph.relations["r"]
    holes = replace(relation, attributes={"time": torch.tensor([1.0, float("nan"), 3.0])})
    graph = replace(graph, relations={"r": holes})
    with pytest.raises(InputError, match="expected one number 'time' for every edge"):
        split_edges_by_time(graph)
    split = split_edges_random(graph)
    assert split.table.column_names == ["source", "target", "relation", "split"]
    assert split.settings["repeated_edges"] == 1


def test_splits_of_nothing() -> None:
    graph = make_multigraph(num_edges=0)
    assert split_edges_by_time(graph).table.num_rows == 0
    assert split_edges_random(graph).counts == {"train": 0, "valid": 0, "test": 0, "unused": 0}
    assert split_edges_random(graph).table["source"].type == pa.string()


def test_times_in_other_units_are_not_compared() -> None:
    graph = make_multigraph(1, num_nodes=40, num_edges=100)
    names = [name for name, relation in graph.relations.items() if "time" in relation.attributes][:2]
    relations = dict(graph.relations)
    for name, unit in zip(names, (1, 10**6), strict=True):
        relation = relations[name]
        time = (1_700_000_000 + torch.arange(relation.num_edges)) * unit
        relations[name] = replace(relation, attributes=dict(relation.attributes) | {"time": time}, reverse=None)
    mixed = replace(graph, relations={name: relations[name] for name in names})
    with pytest.raises(InputError, match=rf"times of relation '{names[1]}' \(around 1\.7e\+15\) and of '{names[0]}'"):
        split_edges_by_time(mixed, names)
    assert split_edges_by_time(mixed, names[:1]).counts["test"] > 0


def test_edges_without_a_time_are_counted() -> None:
    graph = make_multigraph(1, num_nodes=40, num_edges=100)
    knows = graph.relations["knows"]
    time = torch.arange(knows.num_edges, dtype=torch.float64)
    time[:3] = torch.nan
    graph = replace(graph, relations={"knows": replace(knows, attributes={"time": time})})
    with pytest.raises(InputError, match=rf"3 of {knows.num_edges} edges have none: complete or drop these rows"):
        split_edges_by_time(graph, ["knows"])
