"""The tasks of synthetic graphs, scored as those of real ones: an oracle reaches the bounds, chance is chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.inference.table import EmbeddingTable
from mmgraph.synthetic.planted import PlantedGraph, planted_graph
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedModality, PlantedRelation
from mmgraph.synthetic.tasks import link_tasks, planted_tasks, user_item_tasks
from mmgraph.synthetic.user_item import user_item_graph
from mmgraph.synthetic.user_item_config import UserItemConfig
from mmgraph.tasks.base import Task
from mmgraph.tasks.node_classification import NodeClassificationTask

CONFIG = PlantedConfig(
    num_nodes=700,
    factors={"colour": 3, "shape": 2},
    modalities=(PlantedModality("text", ("colour",), dim=8, noise=0.4),),
    relations=(
        PlantedRelation("similar", 2.0, homophily=0.8),
        PlantedRelation("palette", 2.0, factors=("colour",), homophily=0.8, symmetric=False),
    ),
    holdout=0.3,
)


def by_name(planted: PlantedGraph) -> dict[str, Task]:
    return {task.name: task for task in planted_tasks(planted)}


def score(planted: PlantedGraph, task: Task, vectors: torch.Tensor) -> dict[str, float]:
    return task.evaluate(EmbeddingTable.for_graph(planted.graph, vectors, model="oracle"), planted.graph)


def one_hot(planted: PlantedGraph, *factors: str) -> torch.Tensor:
    return torch.nn.functional.one_hot(planted.truth.values(*factors)).float()


def test_names_of_tasks() -> None:
    assert list(by_name(planted_graph(CONFIG))) == ["community", "colour", "shape", "links-similar", "links-palette"]
    lone = PlantedConfig(num_nodes=50, factors={"a": 2}, modalities=(), relations=())
    assert list(by_name(planted_graph(lone))) == ["community"]
    names = ("a b", "a/b", "a-b", "\u6f22")
    odd = PlantedConfig(num_nodes=300, modalities=(), relations=tuple(PlantedRelation(n) for n in names), holdout=0.5)
    links = [name for name in by_name(planted_graph(odd)) if name.startswith("links")]
    assert links == ["links-a-b", "links-a-b-2", "links-a-b-3", "links"]


def test_who_knows_the_communities_ranks_links_as_well_as_possible() -> None:
    gaps: dict[str, list[float]] = {"links-similar": [], "links-palette": []}
    chance = []
    for seed in range(10):
        planted = planted_graph(replace(CONFIG, num_nodes=400), seed)
        tasks = by_name(planted)
        for name, vectors in (
            ("links-similar", one_hot(planted, "colour", "shape")),
            ("links-palette", one_hot(planted, "colour")),
        ):
            bounds = planted.truth.best_links(name.removeprefix("links-"), filtered=True)
            gaps[name].append(score(planted, tasks[name], vectors)["mrr"] - bounds.mrr.value)
        noise = torch.randn(400, 16)
        chance.append(score(planted, tasks["links-similar"], noise)["mrr"] - bounds.chance_mrr.value)
    for values in (*gaps.values(), chance):
        assert abs(np.mean(values)) < 4 * np.std(values, ddof=1) / np.sqrt(10)
    assert max(np.std(values) for values in gaps.values()) < 0.01


def test_labels_are_those_of_the_truth_and_features_fall_short_of_the_bound() -> None:
    planted = planted_graph(CONFIG, seed=1)
    tasks = by_name(planted)
    for name in ("community", "colour", "shape"):
        truth = planted.truth.values(*(planted.truth.model.factors if name == "community" else (name,)))
        task = tasks[name]
        assert isinstance(task, NodeClassificationTask)
        ids, label = task.examples("test")
        rows = torch.from_numpy(planted.graph.node_ids.positions(ids))
        assert len(set(zip(label.tolist(), truth[rows].tolist(), strict=True))) == len(truth.unique())
    text = planted.graph.features["text"].values
    error = 3.5 * 0.5 / np.sqrt(140)  # a fifth of the nodes is `test`
    best = planted.truth.best_accuracy(["colour"], relations=()).value
    assert best - error - 0.05 < score(planted, tasks["colour"], text)["accuracy"] < best + error
    assert abs(score(planted, tasks["shape"], text)["accuracy"] - 1 / 2) < error


def test_edges_between_nodes_with_another_link_are_left_out() -> None:
    def table(*pairs: tuple[int, int]) -> tuple[pa.Table, np.ndarray]:
        source, target = zip(*pairs, strict=True)
        columns = {"source": source, "target": target, "relation": ["r"] * len(pairs), "split": ["test"] * len(pairs)}
        return pa.table(columns), np.array([source, target])

    known = [np.array([[3, 0], [2, 9]]), np.array([[7], [8]])]
    held_out = {"r": table((0, 1), (2, 3), (4, 5), (5, 4), (8, 7), (6, 9)), "s": table((1, 0), (7, 8))}
    (task,) = link_tasks({"r": held_out["r"]}, iter(known), 10)
    assert task.tables()["edges"]["source"].to_pylist() == [0, 6]
    # Another relation's held-out edges do not count: in its own task, only the graph is known beside its own edges.
    assert [t.name for t in link_tasks(held_out, iter(known), 10)] == ["links-r", "links-s"]
    assert link_tasks({}, iter(known), 10) == []
    assert [t.num_examples("test") for t in link_tasks(held_out, iter([]), 10)] == [4, 2]


def test_tasks_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgraph.synthetic.tasks.MOST_ROWS", 40)
    tasks = by_name(planted_graph(CONFIG))
    assert sum(tasks["community"].num_examples(split) for split in ("train", "valid", "test")) == 40
    assert 30 < sum(tasks["links-palette"].num_examples(split) for split in ("valid", "test")) <= 40
    tastes = user_item_graph(UserItemConfig(num_users=50, num_items=30))
    (task,) = user_item_tasks(tastes.held_out)
    assert [task.num_examples(split) for split in ("valid", "test")] == [20, 20]


def test_without_held_out_interactions_there_is_no_task() -> None:
    config = UserItemConfig(num_users=20, num_items=30)
    tastes = user_item_graph(replace(config, holdout=False))
    assert user_item_tasks(tastes.held_out) == []
    assert tastes.graph.num_edges == user_item_graph(config).graph.num_edges + 40
