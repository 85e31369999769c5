"""The canary sings only when something leaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.audit import questions
from mmgraph.audit.canary import (
    CanaryConfig,
    CanaryResult,
    ask,
    pretrained,
    run_canary,
    small_pretrain_config,
    smoothed,
)
from mmgraph.audit.material import HeldOut, read_material
from mmgraph.audit.random_graph import random_graph
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
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

from .conftest import Planted, whole_graph

CONFIG = CanaryConfig(num_nodes=200, shuffles=30)

SPLITS: dict[str, Callable[[RawGraph], Split]] = {
    "random edges": lambda raw: split_edges_random(raw, ["cites"], shares={"train": 0.6, "valid": 0.1, "test": 0.3}),
    "edges by time": lambda raw: split_edges_by_time(raw, ["buys"]),
    "edges by relation": lambda raw: split_edges_by_relation(raw, {"near": "test"}),
    "new nodes": lambda raw: split_edges_cold_nodes(raw, ["cites"], shares={"train": 0.7, "valid": 0.1, "test": 0.2}),
    "last ones": lambda raw: split_leave_last_out(raw, "buys"),
    "latest ones": lambda raw: split_interactions_by_time(raw, "buys"),
    "new items": lambda raw: split_cold_items(raw, "buys", shares={"train": 0.6, "valid": 0.1, "test": 0.3}),
    "new users": lambda raw: split_cold_users(raw, "buys", shares={"train": 0.6, "valid": 0.1, "test": 0.3}),
}


def held(split: Split) -> HeldOut:
    return HeldOut("split 'x'", split.kind, split.table, split.settings, split.method)


def labels(count: int = 60) -> HeldOut:
    rows = [{"id": f"n{k}", "label": "abc"[k % 3], "split": "train"} for k in range(count)]
    return HeldOut("task 'topic'", "node", pa.Table.from_pylist(rows))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> RawGraph:
    return whole_graph(tmp_path_factory.mktemp("canary"))


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_split_scores_at_chance(raw: RawGraph, name: str, seed: int) -> None:
    result = ask(raw, held(SPLITS[name](raw)), smoothed, "smoothed", replace(CONFIG, seed=seed))
    assert result is not None
    assert result.num_asked >= 20
    assert result.at_chance, result
    assert result.low < result.high or name == "new users"  # without content and edges they are all alike


@pytest.mark.parametrize("name", SPLITS)
def test_a_pipeline_that_sees_held_out_edges_is_caught(
    raw: RawGraph, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[MultimodalGraph] = []

    def leaky_random_graph(*args: object, **kwargs: object) -> MultimodalGraph:
        whole.append(random_graph(*args, **kwargs))  # type: ignore[arg-type]
        return whole[0]

    monkeypatch.setattr("mmgraph.audit.canary.random_graph", leaky_random_graph)

    def leaky(visible: MultimodalGraph, config: CanaryConfig) -> EmbeddingTable:
        del visible
        return smoothed(whole[0], config)

    result = ask(raw, held(SPLITS[name](raw)), leaky, "leaky", CONFIG)
    assert result is not None
    assert result.value > result.high, result
    assert result.finding().check == "canary"
    assert "chance lies between" in result.finding().detail


def test_a_split_that_leaves_reverse_edges_in_the_graph_is_caught(
    raw: RawGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = questions.message_graph

    def forgetful(graph: MultimodalGraph, split: Split, stage: str) -> MultimodalGraph:
        seen = forget(graph, split, stage)  # type: ignore[type-var, arg-type]
        return replace(seen, relations={**seen.relations, "cited_by": graph.relations["cited_by"]})

    # Evaluation refuses edges that it knows to be held out; this one is hidden from it, as in code without the check.
    monkeypatch.setattr(questions, "message_graph", forgetful)
    monkeypatch.setattr("mmgraph.tasks.link_prediction.refuse_leaks", lambda *_: None)
    monkeypatch.setattr(
        questions, "told_by_graph", lambda held, rows, *_: {"none": np.zeros(rows.num_rows, dtype=bool)}
    )
    result = ask(raw, held(SPLITS["random edges"](raw)), smoothed, "smoothed", CONFIG)
    assert result is not None
    assert not result.at_chance


def test_random_labels_are_at_chance_and_told_labels_are_not(raw: RawGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    result = ask(raw, labels(), smoothed, "smoothed", CONFIG)
    assert result is not None
    assert result.at_chance
    assert result.metric == "accuracy"
    tasks: list[questions.NodeClassificationTask] = []
    make = questions.NodeClassificationTask

    def remember(*args: object, **kwargs: object) -> questions.NodeClassificationTask:
        tasks.append(make(*args, **kwargs))  # type: ignore[arg-type]
        return tasks[-1]

    monkeypatch.setattr(questions, "NodeClassificationTask", remember)

    def leaky(graph: MultimodalGraph, config: CanaryConfig) -> EmbeddingTable:
        del config
        known = {row["id"]: row["label"] for row in tasks[-1].labels.to_pylist()}
        vectors = torch.tensor([[float(known.get(node) == label) for label in "abc"] for node in graph.node_ids.values])
        return EmbeddingTable.for_graph(graph, vectors, model="leaky")

    told = ask(raw, labels(), leaky, "leaky", CONFIG)
    assert told is not None
    assert told.value == 1.0
    assert not told.at_chance


def values(column: str, values: pa.Array) -> HeldOut:
    ids = [f"i{k:02d}" for k in range(len(values))]
    return HeldOut("task 'price'", "node", pa.table({"id": ids, column: values, "split": ["test"] * len(ids)}))


def test_random_values_are_at_chance_and_told_values_are_not(raw: RawGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    like = values("value", pa.array([1.0, 2.0, 50.0, 1000.0]))
    result = ask(raw, like, smoothed, "smoothed", CONFIG)
    assert result is not None
    assert result.at_chance
    assert result.metric == "spearman"
    assert result.low < 0 < result.high
    tasks: list[questions.NodeRegressionTask] = []
    make = questions.NodeRegressionTask

    def remember(*args: object) -> questions.NodeRegressionTask:
        tasks.append(make(*args))  # type: ignore[arg-type]
        return tasks[-1]

    monkeypatch.setattr(questions, "NodeRegressionTask", remember)

    def leaky(graph: MultimodalGraph, config: CanaryConfig) -> EmbeddingTable:
        del config
        known = {row["id"]: row["value"] for row in tasks[-1].values.to_pylist()}
        vectors = torch.tensor([[known[node]] for node in graph.node_ids.values])
        return EmbeddingTable.for_graph(graph, vectors, model="leaky")

    told = ask(raw, like, leaky, "leaky", CONFIG)
    assert told is not None
    assert told.value == pytest.approx(1.0)
    assert not told.at_chance
    assert set(tasks[-1].values["value"].to_pylist()) <= {1.0, 2.0, 50.0, 1000.0}


def test_fractions_in_a_split_are_values_and_integers_are_classes(raw: RawGraph) -> None:
    for column, numbers, metric in (
        ("label", pa.array([1.5, 2.5, None, float("nan")]), "spearman"),
        ("label", pa.array([1, 2, 3]), "accuracy"),
        ("value", pa.array([1, 2, 3]), "spearman"),
    ):
        question = questions.make_question(random_graph(raw, num_nodes=200, seed=0), values(column, numbers), seed=0)
        assert question is not None
        assert question.metric == metric
    for nothing in (pa.array([2.0, 2.0]), pa.array([None, float("inf")], pa.float64())):
        assert (
            questions.make_question(random_graph(raw, num_nodes=200, seed=0), values("value", nothing), seed=0) is None
        )


def test_the_trained_encoder_is_at_chance_too(raw: RawGraph) -> None:
    config = replace(CONFIG, pretrain=small_pretrain_config(steps=8), num_nodes=60)
    result = ask(raw, held(SPLITS["random edges"](raw)), pretrained, "encoder", config)
    assert result is not None
    assert result.at_chance
    assert result == ask(raw, held(SPLITS["random edges"](raw)), pretrained, "encoder", config)


def test_the_random_graph_has_the_shape_and_nothing_else(raw: RawGraph) -> None:
    graph = random_graph(raw, num_nodes=30, seed=0)
    assert graph.node_types == raw.node_types
    assert graph.summary()["node_types"] == {"item": 20, "user": 12}  # at least a dozen of each
    assert list(graph.relations) == list(raw.relations)
    assert torch.equal(graph.relations["cited_by"].edge_index, graph.relations["cites"].edge_index.flip(0))
    assert graph.relations["near"].symmetric
    for name, relation in graph.relations.items():
        pairs = {frozenset(pair) for pair in relation.edge_index.T.tolist()}
        assert len(pairs) == relation.num_edges > 0, name
        assert all(len(pair) == 2 for pair in pairs)
    assert set(graph.features) == {"text", "image"}
    assert not graph.features["text"].present[graph.node_type == 1].any()
    assert set(graph.relations["buys"].attributes) == {"time"}
    other = random_graph(raw, num_nodes=30, seed=1)
    assert not torch.equal(other.relations["cites"].edge_index, graph.relations["cites"].edge_index)


def test_a_folder_is_run_through_every_pipeline(planted: Planted) -> None:
    results = run_canary(read_material(planted.write()), replace(CONFIG, pipelines={"smoothed": smoothed}))
    assert {result.where for result in results} == {"split 'links'", "split 'future'", "task 'topic'"}
    assert all(isinstance(result, CanaryResult) and result.at_chance for result in results)


def test_too_small_a_canary_is_refused() -> None:
    with pytest.raises(InputError, match="needs num_nodes of at least 50 and 20 shuffles, got 10 and 60"):
        CanaryConfig(num_nodes=10)


def test_a_shape_with_too_few_edges_is_not_asked(raw: RawGraph) -> None:
    few = replace(raw, relations={"near": raw.relations["near"].take(torch.arange(4))})
    assert ask(few, held(split_edges_random(few)), smoothed, "smoothed", CONFIG) is None
