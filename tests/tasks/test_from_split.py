from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
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
from mmgraph.splits.message import message_graph
from mmgraph.splits.negatives import sample_negatives
from mmgraph.splits.nodes import split_nodes_stratified
from mmgraph.tasks.from_split import task_from_split
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.testing.multigraphs import make_multigraph

HALF = {"train": 0.4, "valid": 0.3, "test": 0.3}


def encoded(seed: int, strings: bool = True) -> MultimodalGraph:
    raw = make_multigraph(seed, num_nodes=20, num_edges=60, string_ids=strings)
    return MultimodalGraph(raw.name, raw.node_ids, raw.node_types, raw.node_type, raw.relations)


METHODS: dict[str, Callable[[Any, int], Split]] = {
    "random": lambda g, seed: split_edges_random(g, shares=HALF, seed=seed),
    "reverse": lambda g, seed: split_edges_random(g, ["made"], shares=HALF, seed=seed),
    "time": lambda g, seed: split_edges_by_time(g, shares=HALF),
    "cold-node": lambda g, seed: split_edges_cold_nodes(g, shares=HALF, seed=seed),
    "relation": lambda g, seed: split_edges_by_relation(g, {"knows": "valid", "alike": "test"}),
    "negatives": lambda g, seed: sample_negatives(
        g, split_edges_random(g, ["likes"], shares=HALF, seed=seed), 2, distinct=False
    ),
    "leave-last-out": lambda g, seed: split_leave_last_out(g, "likes", seed=seed),
    "latest": lambda g, seed: split_interactions_by_time(g, "made_by", shares=HALF, user_type="person"),
    "cold-item": lambda g, seed: split_cold_items(g, "likes", shares=HALF, seed=seed),
    "cold-user": lambda g, seed: split_cold_users(g, "likes", shares=HALF, seed=seed, fold_in=0.5),
}


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from(sorted(METHODS)), seed=st.integers(0, 10**6), strings=st.booleans())
def test_every_split_makes_a_task_that_its_message_graph_can_be_asked(name: str, seed: int, strings: bool) -> None:
    graph = encoded(seed, strings)
    try:
        split = METHODS[name](graph, seed)
        task = task_from_split("t", split)
    except InputError as error:
        # Small graphs may leave nothing to ask, or nobody that is not linked to a node.
        if "so there is nothing to ask" in str(error) or "nodes that it is not linked to" in str(error):
            return
        raise
    table = EmbeddingTable.for_graph(graph, torch.randn(graph.num_nodes, 4), model="m")
    keys = ("source", "target", "relation") if split.kind == "edge" else ("user", "item")
    for part in ("valid", "test"):
        asked = {tuple(row[key] for key in keys) for row in split.part(part).to_pylist()}
        rows = next(iter(task.tables().values()))
        found = [tuple(row[key] for key in keys) for row in rows.to_pylist() if row["split"] == part]
        assert len(found) == len(set(found))
        assert set(found) == asked
        if found:
            # Refuses held-out pairs that are still in the graph; a candidate may be the only one of its kind.
            try:
                assert task.evaluate(table, message_graph(graph, split), split=part)
            except InputError as error:
                if "no negative to be ranked against" not in str(error):
                    raise


def test_a_label_that_is_no_number_is_no_label() -> None:
    nan = float("nan")
    ids = {"id": [1, 2, 3, 4, 5], "split": ["train", "train", "test", "test", "test"]}
    single = Split("node", pa.table({**ids, "label": [1.5, nan, 1.5, None, nan]}), "official")
    task = task_from_split("labels", single)
    assert isinstance(task, NodeClassificationTask)
    assert [(row["id"], row["label"]) for row in task.labels.to_pylist()] == [(1, "1.5"), (3, "1.5")]
    several = Split("node", pa.table({**ids, "label": [[1.5, nan], [nan], [2.5, None, 1.5], None, []]}), "official")
    task = task_from_split("labels", several)
    assert isinstance(task, NodeClassificationTask)
    assert [(row["id"], row["label"]) for row in task.labels.to_pylist()] == [(1, ["1.5"]), (3, ["2.5", "1.5"])]
    assert task.classes == ("1.5",)
    with pytest.raises(InputError, match="no node of the node split 'official' has a label"):
        task_from_split("labels", Split("node", pa.table({**ids, "label": [nan] * 5}), "official"))


def test_edges_by_hand() -> None:
    rows = [
        ("a", "b", "r", 1, "train", None),
        ("a", "c", "r", 2, "test", ["d"]),
        ("a", "c", "r", 3, "test", ["d"]),  # a repeat
        ("a", "c", "s", 2, "test", ["e"]),
        ("a", "d", "r", 9, "valid", ["b"]),
        ("a", "b", "r", 9, "unused", None),
    ]
    names = ("source", "target", "relation", "time", "split", "negatives")
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
    task = task_from_split("links", Split("edge", table, "official"))
    assert isinstance(task, LinkPredictionTask)
    assert task.edges.to_pylist() == [
        {"source": "a", "target": "c", "relation": "r", "split": "test", "negatives": ["d"]},
        {"source": "a", "target": "c", "relation": "s", "split": "test", "negatives": ["e"]},
        {"source": "a", "target": "d", "relation": "r", "split": "valid", "negatives": ["b"]},
    ]
    plain = task_from_split("links", Split("edge", table.drop_columns(["negatives"]), "official"))
    assert "negatives" not in plain.tables()["edges"].column_names
    assert task.negatives_digest is not None


def test_interactions_by_hand() -> None:
    rows = [
        ("u", "a", 1, "train", None),
        ("u", "a", 5, "unused", None),  # a repeat of what training has
        ("u", "b", 2, "valid", None),
        ("u", "b", 6, "unused", None),  # a repeat of what is asked
        ("u", "c", 3, "test", None),
        ("v", "a", 1, "unused", "test"),  # fold-in
        ("v", "b", 2, "test", None),
    ]
    names = ("user", "item", "time", "split", "fold_in")
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
    about = {"relation": "likes", "user_type": "person", "item_type": "work"}
    task = task_from_split("recommend", Split("interaction", table, "official", about))
    assert isinstance(task, RecommendationTask)
    assert (task.relation, task.user_type, task.item_type) == ("likes", "person", "work")
    assert [tuple(row.values()) for row in task.interactions.to_pylist()] == [
        ("u", "b", "valid"),
        ("u", "c", "test"),
        ("v", "a", "seen"),
        ("v", "b", "test"),
    ]


def nodes(**columns: Any) -> Split:
    rows = {"id": list("abcde"), "split": ["train", "train", "valid", "test", "unused"]}
    return Split("node", pa.table(rows | columns), "official")


def test_nodes_by_hand() -> None:
    task = task_from_split("c", nodes(label=["x", "y", None, "x", "z"]))
    assert isinstance(task, NodeClassificationTask)
    assert not task.multi_label
    assert [tuple(row.values()) for row in task.labels.to_pylist()] == [
        ("a", "x", "train"),
        ("b", "y", "train"),
        ("d", "x", "test"),
    ]
    numbers = task_from_split("c", nodes(kind=[3, 4, 3, 10, 3]), label="kind")
    assert numbers.tables()["labels"]["label"].to_pylist() == ["3", "4", "3", "10"]
    lists = task_from_split("c", nodes(label=[["x"], [], ["x", "y"], None, ["y"]]))
    assert isinstance(lists, NodeClassificationTask)
    assert lists.multi_label
    assert [(row["id"], row["label"]) for row in lists.labels.to_pylist()] == [("a", ["x"]), ("c", ["x", "y"])]


def test_numbers_become_values_on_request() -> None:
    nan = float("nan")
    for column, value in (([3, 4, 5, 10, 3], 10.0), ([3.0, 4.0, 5.0, 10.5, nan], 10.5)):
        task = task_from_split("c", nodes(price=column), label="price", regression=True)
        assert isinstance(task, NodeRegressionTask)
        assert [tuple(row.values()) for row in task.values.to_pylist()] == [
            ("a", 3.0, "train"),
            ("b", 4.0, "train"),
            ("c", 5.0, "valid"),
            ("d", value, "test"),
        ]
        assert isinstance(task_from_split("c", nodes(label=column)), NodeClassificationTask)
    gaps = task_from_split("c", nodes(label=[1.0, nan, None, 2.0, 3.0]), regression=True)
    assert gaps.tables()["values"]["id"].to_pylist() == ["a", "d"]


def test_a_stratified_split_can_be_evaluated() -> None:
    graph = encoded(0)
    labels = pa.table({"id": graph.node_ids.arrow, "label": [f"c{i % 2}" for i in range(20)]})
    task = task_from_split("c", split_nodes_stratified(labels))
    vectors = torch.tensor([[float(i % 2), 1.0] for i in range(20)])
    metrics = task.evaluate(EmbeddingTable.for_graph(graph, vectors, model="m"), graph)
    assert metrics["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: task_from_split("t", nodes()),
            "task 't': the node split 'official' has no column of labels 'label'; its other columns: (none)",
        ),
        (
            lambda: task_from_split("t", nodes(year=[1] * 5), label="kind"),
            "has no column of labels 'kind'; its other columns: 'year'",
        ),
        (
            lambda: task_from_split("t", nodes(label=pa.array([None] * 5, pa.string()))),
            "task 't': no node of the node split 'official' has a label in column 'label'",
        ),
        (
            lambda: task_from_split(
                "t", Split("edge", METHODS["random"](encoded(0), 0).part("train", "unused"), "random")
            ),
            "task 't': the edge split 'random' has no rows in valid or test, so there is nothing to ask",
        ),
        (
            lambda: task_from_split("t", split_edges_random(encoded(0), shares=HALF, together="relation")),
            "task 't': the edge split 'random' moved relations apart (together='relation'), but link prediction by "
            "cosine knows no relations; split with together='pair'",
        ),
        (
            lambda: task_from_split(
                "t", Split("interaction", METHODS["cold-item"](encoded(0), 0).table, "official", {"relation": "likes"})
            ),
            "task 't': the settings of the interaction split 'official' do not say 'user_type', 'item_type'; "
            "they hold: 'relation'",
        ),
        (
            lambda: task_from_split("t", nodes(label=list("12345")), regression=True),
            "task 't': expected numbers in column 'label' of the node split 'official', got string",
        ),
        (
            lambda: task_from_split("t", nodes(label=pa.array([None] * 5, pa.float64())), regression=True),
            "task 't': no node of the node split 'official' has a value in column 'label'",
        ),
        (
            lambda: task_from_split("t", nodes(label=[1.0, 2.0, float("inf"), 1.0, 1.0]), regression=True),
            "task 't', column 'value': expected a finite number, got inf for id 'c'",
        ),
        (
            lambda: task_from_split("t", split_edges_random(encoded(0)), regression=True),
            "task 't': regression needs a split of nodes, got the edge split 'random'",
        ),
        (lambda: task_from_split("a/b", METHODS["random"](encoded(0), 0)), "task name 'a/b'"),
    ],
)
def test_bad_input(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
