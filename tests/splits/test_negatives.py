from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.seeding import generator
from mmgraph.splits.base import Split
from mmgraph.splits.edges import split_edges_by_time, split_edges_random
from mmgraph.splits.message import message_graph
from mmgraph.splits.negatives import Strangers, negatives_digest, sample_negatives
from mmgraph.testing.multigraphs import make_multigraph, shuffled

HALF = {"train": 0.5, "valid": 0.2, "test": 0.3}
REVERSE = {"made": "made_by", "made_by": "made"}
GRAPHS = st.builds(
    make_multigraph,
    st.integers(0, 10**6),
    num_nodes=st.integers(2, 24),
    num_edges=st.integers(0, 50),
    times=st.sampled_from(["all", "none"]),
    string_ids=st.booleans(),
)


def _known(graph: RawGraph, split: Split, relations: set[str]) -> set[frozenset[Any]]:
    """Pairs that the graph or any part of the split links."""
    ids = graph.node_ids.values.tolist()
    known = {frozenset((ids[a], ids[b])) for name in relations for a, b in graph.relations[name].edge_index.T.tolist()}
    rows = split.table.to_pylist()
    return known | {frozenset((row["source"], row["target"])) for row in rows if row["relation"] in relations}


@settings(max_examples=80, deadline=None)
@given(
    GRAPHS, st.sampled_from(["pair", "relation"]), st.integers(1, 5), st.booleans(), st.integers(0, 3), st.booleans()
)
def test_negatives_are_no_positives(
    graph: RawGraph, together: Any, count: int, distinct: bool, seed: int, without: bool
) -> None:
    split = split_edges_random(graph, ["knows", "made"], shares=HALF, seed=seed, together=together)
    seen = message_graph(graph, split) if without else graph
    types = {
        node: graph.node_types[k]
        for node, k in zip(graph.node_ids.values.tolist(), graph.node_type.tolist(), strict=True)
    }
    needed = count if distinct else 1

    def possible(row: dict[str, Any]) -> set[Any]:
        family = {row["relation"], REVERSE.get(row["relation"], row["relation"])}
        known = _known(seen, split, family if together == "relation" else set(graph.relations))
        kind = graph.relations[row["relation"]].target_type
        return {
            node
            for node, own in types.items()
            if own == kind and node != row["source"] and frozenset((row["source"], node)) not in known
        }

    asked = [row for row in split.table.to_pylist() if row["split"] in ("valid", "test")]
    if any(len(possible(row)) < needed for row in asked):
        with pytest.raises(InputError, match=r"nodes that it is not linked to, \d negatives were asked for"):
            sample_negatives(seen, split, count, distinct=distinct, seed=seed)
        return
    sampled = sample_negatives(seen, split, count, distinct=distinct, seed=seed)
    rows = sampled.table.to_pylist()
    by_fact: dict[Any, set[Any]] = {}
    for row in rows:
        if row["split"] not in ("valid", "test"):
            assert row["negatives"] is None
            continue
        assert len(row["negatives"]) == count
        assert set(row["negatives"]) <= possible(row)
        assert row["negatives"] == sorted(row["negatives"])
        assert not distinct or len(set(row["negatives"])) == count
        by_fact.setdefault((row["source"], row["target"], row["relation"]), set()).add(tuple(row["negatives"]))
    assert all(len(found) == 1 for found in by_fact.values())  # repeats at other times share them
    again = sample_negatives(shuffled(seen, 7), split, count, distinct=distinct, seed=seed)
    assert again.digest == sampled.digest
    assert sampled.settings["negatives"]["digest"] == negatives_digest(sampled.table)


@pytest.mark.parametrize(("distinct", "count"), [(True, 1), (True, 2), (True, 4), (True, 6), (False, 1), (False, 8)])
def test_every_stranger_is_as_likely(distinct: bool, count: int) -> None:
    # Node 2 is linked to 0, 5 and 9 of ten, and is none itself; six candidates are left.
    strangers = Strangers.of(np.array([2, 7]), np.arange(10), [(np.array([2, 5, 2, 7]), np.array([0, 2, 9, 7]))], 12)
    assert strangers.counts_of(np.array([7, 2])).tolist() == [9, 6]
    nodes = np.repeat([2, 7], 4000)
    drawn = strangers.draw(nodes, count, generator(0), distinct=distinct)
    for node, linked in ((2, {0, 2, 5, 9}), (7, {7})):
        found = Counter(drawn[nodes == node].ravel().tolist())
        free = set(range(10)) - linked
        assert set(found) == free
        expected = 4000 * count / len(free)
        assert all(abs(value - expected) < 5 * expected**0.5 for value in found.values())


def star(leaves: int = 3, others: int = 2) -> RawGraph:
    ids = ["hub", *(f"leaf{i}" for i in range(leaves)), *(f"other{i}" for i in range(others))]
    ends = torch.stack([torch.zeros(leaves, dtype=torch.int64), torch.arange(1, leaves + 1)])
    relation = Relation(ends, "node", "node")
    return RawGraph("star", NodeIds(ids), ("node",), torch.zeros(len(ids), dtype=torch.int64), {"r": relation})


def test_by_hand() -> None:
    graph = star()
    split = split_edges_random(graph, shares={"test": 1.0})
    sampled = sample_negatives(graph, split, 2)
    assert sampled.table["negatives"].to_pylist() == [["other0", "other1"]] * 3
    message = "relation 'r': 'hub' has 2 'node' nodes that it is not linked to, 3 negatives were asked for"
    with pytest.raises(InputError, match=message):
        sample_negatives(graph, split, 3)
    repeated = sample_negatives(graph, split, 30, distinct=False).table["negatives"].to_pylist()
    assert all(set(row) == {"other0", "other1"} for row in repeated)
    with pytest.raises(InputError, match=r"has 0 'node' nodes .* 1 negatives were asked for \(at least 1 is needed\)"):
        sample_negatives(star(others=0), split_edges_random(star(others=0), shares={"test": 1.0}), 1, distinct=False)


def test_the_digest_is_that_of_the_negatives_alone(tmp_path: Path) -> None:
    graph = make_multigraph(num_nodes=40, num_edges=60)
    split = split_edges_by_time(graph, ["likes"])
    sampled = [sample_negatives(graph, split, 5, seed=seed) for seed in (0, 0, 1)]
    digests = [s.settings["negatives"]["digest"] for s in sampled]
    assert digests[0] == digests[1] != digests[2]
    assert sampled[0].digest not in (split.digest, sampled[2].digest)
    again = Split.load(sampled[0].save(tmp_path / "links"))
    assert negatives_digest(again.table) == digests[0]
    assert negatives_digest(again.part("test", "valid").take(pa.array([1, 0, *range(2, 3)]))) != digests[0]
    assert sample_negatives(graph, sampled[2], 5).digest == sampled[0].digest  # drawn again, not added
    assert sampled[0].part("valid", "test").num_rows > 3
    only_test = sample_negatives(graph, split, 5, parts=["test"]).table
    assert [row["negatives"] is not None for row in only_test.to_pylist()] == [
        row["split"] == "test" for row in only_test.to_pylist()
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "number of negatives must be at least 1, got 0"),
        ({"parts": ["tst"]}, "unknown part of a split 'tst'"),
        ({"split": Split("node", pa.table({"id": ["a"], "split": ["test"]}), "random")}, "got one of kind 'node'"),
        (
            {
                "split": Split(
                    "edge", pa.table({"source": ["hub"], "target": ["x"], "relation": ["r"], "split": ["test"]}), "m"
                )
            },
            "edge split 'm', column 'target': 1 unknown ids: 'x'",
        ),
        (
            {
                "split": Split(
                    "edge", pa.table({"source": ["hub"], "target": ["x"], "relation": ["q"], "split": ["test"]}), "m"
                )
            },
            "unknown relation 'q'; choose from: r",
        ),
    ],
)
def test_bad_input(change: dict[str, Any], message: str) -> None:
    arguments = {"graph": star(), "split": split_edges_random(star()), "count": 1} | change
    with pytest.raises(InputError, match=message):
        sample_negatives(**arguments)
