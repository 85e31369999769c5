from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.raw import RawGraph
from mmgraph.errors import InputError
from mmgraph.splits import recipe
from mmgraph.splits.base import Split
from mmgraph.splits.edges import (
    split_edges_by_relation,
    split_edges_by_time,
    split_edges_cold_nodes,
    split_edges_random,
)
from mmgraph.splits.interactions import (
    split_cold_items,
    split_cold_users,
    split_interactions_by_time,
    split_leave_last_out,
)
from mmgraph.splits.negatives import sample_negatives
from mmgraph.splits.nodes import (
    split_nodes_by_time,
    split_nodes_few_shot,
    split_nodes_random,
    split_nodes_stratified,
)
from mmgraph.splits.recipe import has_recipe, resplit
from mmgraph.testing.multigraphs import make_multigraph, shuffled

HALF = {"train": 0.5, "valid": 0.2, "test": 0.3}

GRAPH_METHODS: dict[str, Callable[[RawGraph], Split]] = {
    "random": lambda g: split_edges_random(g, ["knows", "made"], shares=HALF, seed=5, together="relation"),
    "random pairs": lambda g: split_edges_random(g, shares=HALF, seed=6),
    "time": lambda g: split_edges_by_time(g, ["knows", "likes"], shares=HALF),
    "weight": lambda g: split_edges_by_time(g, ["knows"], shares=HALF, attribute="weight", together="relation"),
    "relation": lambda g: split_edges_by_relation(g, {"likes": "test", "made_by": "valid"}),
    "cold-node": lambda g: split_edges_cold_nodes(g, node_type="work", shares=HALF, seed=7),
    "negatives": lambda g: sample_negatives(
        g, split_edges_random(g, ["likes"], seed=1, shares=HALF), 3, distinct=False, seed=4, parts=("test",)
    ),
    "leave-last-out": lambda g: split_leave_last_out(g, "made_by", user_type="person", seed=8),
    "interactions by time": lambda g: split_interactions_by_time(g, "likes", shares=HALF, user_type="work"),
    "cold-item": lambda g: split_cold_items(g, "likes", shares=HALF, seed=9),
    "cold-user": lambda g: split_cold_users(g, "likes", shares=HALF, seed=10, fold_in=0.5),
}
NODES = pa.table(
    {
        "id": [f"n{i:02d}" for i in range(30)],
        "label": [None if i == 7 else f"c{i % 4 if i < 24 else i % 2}" for i in range(30)],
        "time": [i * 7 % 11 for i in range(30)],
    }
)
GROUPS = {f"n{i:02d}": i // 3 for i in range(9)}
NODE_METHODS: dict[str, Callable[[dict[str, int] | None], Split]] = {
    "random": lambda groups: split_nodes_random(NODES, shares=HALF, seed=3, groups=groups),
    "stratified": lambda groups: split_nodes_stratified(NODES, shares=HALF, seed=4, groups=groups),
    "few-shot": lambda groups: split_nodes_few_shot(NODES, train_per_label=1, valid_per_label=1, seed=5, groups=groups),
    "few-shot, small": lambda groups: split_nodes_few_shot(
        NODES, train_per_label=4, valid_per_label=2, seed=6, groups=groups, small_labels="unused"
    ),
    "time": lambda groups: split_nodes_by_time(NODES, shares=HALF, groups=groups),
}


def graph_of_nodes() -> RawGraph:
    graph = make_multigraph(0, num_nodes=30)
    return replace(graph, node_ids=type(graph.node_ids)(NODES["id"].to_pylist()))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(GRAPH_METHODS)), seed=st.integers(0, 10**6), strings=st.booleans())
def test_the_same_graph_gives_the_same_split(name: str, seed: int, strings: bool) -> None:
    graph = make_multigraph(seed, num_nodes=40, num_edges=80, string_ids=strings)
    split = GRAPH_METHODS[name](graph)
    again = resplit(shuffled(graph, seed), split)
    assert again.table.equals(split.table)
    assert again.digest == split.digest


@pytest.mark.parametrize("name", sorted(GRAPH_METHODS))
def test_another_graph_is_split_as_it_would_be_by_hand(name: str, tmp_path: Path) -> None:
    split = GRAPH_METHODS[name](make_multigraph(1, num_nodes=40, num_edges=100))
    split.save(tmp_path / "split")
    other = make_multigraph(2, num_nodes=50, num_edges=130)
    assert resplit(other, Split.load(tmp_path / "split")).digest == GRAPH_METHODS[name](other).digest


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["single", "groups"])
@pytest.mark.parametrize("name", sorted(NODE_METHODS))
def test_nodes(name: str, groups: dict[str, int] | None) -> None:
    graph = graph_of_nodes()
    split = NODE_METHODS[name](groups)
    assert resplit(graph, split, groups=groups).digest == split.digest
    fewer = NODES.slice(0, 20)
    again = resplit(graph, split, nodes=fewer, groups=groups)
    assert again.table["id"].to_pylist() == fewer["id"].to_pylist()
    assert again.method == split.method


def test_every_splitter_has_a_recipe_that_is_tested() -> None:
    graph = make_multigraph(0, num_nodes=40, num_edges=100)
    made = [make(graph) for make in GRAPH_METHODS.values()] + [make(None) for make in NODE_METHODS.values()]
    known = {(kind, method) for kind, recipes in recipe._RECIPES.items() for method in recipes}
    assert {(split.kind, split.method) for split in made} == known


def test_another_seed_is_for_everything_that_is_random() -> None:
    graph = make_multigraph(0, num_nodes=40, num_edges=100)
    for name in ("random", "cold-node", "negatives", "cold-user"):
        split = GRAPH_METHODS[name](graph)
        again = resplit(graph, split, seed=99)
        assert again.settings["seed"] == 99
        assert again.digest != split.digest
        assert resplit(graph, again, seed=split.settings["seed"]).table["split"].equals(split.table["split"])
    negatives = resplit(graph, GRAPH_METHODS["negatives"](graph), seed=99).settings["negatives"]
    assert negatives["seed"] == 99
    by_time = GRAPH_METHODS["time"](graph)
    assert resplit(graph, by_time, seed=99).digest == by_time.digest


ROWS = pa.table({"source": ["n00"], "target": ["n01"], "relation": ["knows"], "split": ["test"]})


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        (
            Split("edge", ROWS, "official"),
            {},
            "edge split 'official' cannot be made again: it has no recipe; "
            "splits of this kind with one: cold-node, random, relation, time",
        ),
        (
            Split("edge", ROWS, "random", {"seed": 1, "relations": ["knows"]}),
            {},
            "edge split 'random' cannot be made again: its settings lack 'shares', 'together', 'attribute'; "
            "they hold: 'relations', 'seed'",
        ),
        (
            Split(
                "edge",
                ROWS,
                "random",
                {"seed": 1, "relations": ["knows"], "shares": HALF, "together": "pair", "attribute": "time"}
                | {"negatives": {"test": 3}},
            ),
            {},
            "its negatives cannot be drawn again: settings lack 'count', 'parts', 'distinct', 'seed'",
        ),
        (
            split_nodes_random(NODES, groups=GROUPS),
            {},
            "node split 'random' kept groups of nodes together (3 of several nodes), which it does not remember; "
            "give groups, or an empty mapping for none",
        ),
        (
            split_nodes_random(NODES),
            {"nodes": pa.table({"id": ["nobody"]})},
            "node split 'random', column 'id': 1 unknown ids: 'nobody'",
        ),
    ],
)
def test_what_cannot_be_made_again(split: Split, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        resplit(graph_of_nodes(), split, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_graph_without_the_relation_is_refused() -> None:
    graph = make_multigraph(0)
    split = GRAPH_METHODS["cold-item"](graph)
    without = replace(graph, relations={name: r for name, r in graph.relations.items() if name != "likes"})
    with pytest.raises(InputError, match="unknown relation 'likes'; choose from: "):
        resplit(without, split)


def test_what_has_a_recipe() -> None:
    split = GRAPH_METHODS["random"](make_multigraph(1, num_nodes=40, num_edges=100))
    assert has_recipe(split)
    assert not has_recipe(replace(split, method="official"))
    assert not has_recipe(replace(split, settings={"seed": 5}))
