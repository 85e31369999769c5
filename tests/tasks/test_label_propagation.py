from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.tasks import label_propagation
from mmgraph.tasks.alignment import AlignedGraph
from mmgraph.tasks.few_shot import EpisodeTally, few_shot_accuracy, few_shot_episodes
from mmgraph.tasks.label_propagation import (
    PropagationConfig,
    label_propagation_accuracy,
    propagate,
    transition,
)
from mmgraph.tasks.node_classification import NodeClassificationTask

SHORT = {"ways": 4, "shots": 2, "episodes": 12}


@pytest.fixture(scope="module")
def setting(setting: Any) -> Any:
    """The shared setting with so much noise that nobody is right all the time."""
    random = torch.Generator().manual_seed(5)
    vectors = setting.table.vectors + 1.5 * torch.randn(setting.table.vectors.shape, generator=random)
    return replace(setting, table=replace(setting.table, vectors=vectors))


def _transition(setting: Any, **options: Any) -> torch.Tensor:
    aligned = AlignedGraph(setting.graph)
    return transition(aligned, aligned.unit_vectors(setting.table), PropagationConfig(**options)).to_dense().double()


def test_steps_converge_to_the_closed_form(setting: Any) -> None:
    spread = _transition(setting)
    start = torch.zeros(len(spread), 3, dtype=torch.float64)
    start[[3, 50, 99], [0, 1, 2]] = 1
    found = propagate(spread.to_sparse(), start, alpha=0.9, steps=300)
    exact = 0.1 * torch.linalg.solve(torch.eye(len(spread)).double() - 0.9 * spread, start)
    assert torch.allclose(found, exact, atol=1e-10)


def test_neighbours_by_hand(setting: Any) -> None:
    unit = AlignedGraph(setting.graph).unit_vectors(setting.table)
    cosine = (unit @ unit.t()).fill_diagonal_(-torch.inf)
    best = torch.zeros_like(cosine).scatter_(1, cosine.topk(5, dim=1).indices, 1.0)
    weights = (best + best.t()) / 2 * cosine.clamp(min=0).fill_diagonal_(0.0)
    scale = weights.sum(dim=1).rsqrt()
    assert torch.allclose(_transition(setting, num_neighbors=5).float(), scale[:, None] * weights * scale, atol=1e-6)


def test_edges_by_hand_and_mixed(setting: Any) -> None:
    aligned = AlignedGraph(setting.graph)
    adjacency = torch.zeros(aligned.num_nodes, aligned.num_nodes)
    adjacency[tuple(aligned.edges())] = 1  # repeats count once
    adjacency.fill_diagonal_(0)
    scale = adjacency.sum(dim=1).clamp(min=1).rsqrt()
    edges = _transition(setting, edge_share=1.0, num_neighbors=0)
    assert torch.allclose(edges.float(), scale[:, None] * adjacency * scale, atol=1e-6)
    mixed = _transition(setting, edge_share=0.25)
    assert torch.allclose(mixed, 0.25 * edges + 0.75 * _transition(setting), atol=1e-6)
    assert torch.allclose(mixed, mixed.t())
    assert float(torch.linalg.eigvalsh(mixed).abs().max()) <= 1 + 1e-6


@pytest.mark.parametrize("options", [{}, {"edge_share": 0.5}, {"start": "prototypes"}])
def test_accuracy_by_hand(setting: Any, options: dict[str, Any]) -> None:
    task, config = setting.tasks["community"], PropagationConfig(steps=20, **options)
    result = label_propagation_accuracy(task, setting.table, setting.graph, config, **SHORT)
    aligned = AlignedGraph(setting.graph)
    unit, spread = aligned.unit_vectors(setting.table), _transition(setting, **options).float()
    right = []
    for episode in few_shot_episodes(task, **SHORT)[0]:
        start = torch.zeros(len(unit), 4)
        for way, ids in enumerate(episode.support):
            start[aligned.find(ids, "support"), way] = 0.5
        if config.start == "prototypes":
            means = torch.stack([unit[aligned.find(ids, "support")].mean(dim=0) for ids in episode.support])
            start = (torch.cosine_similarity(unit[:, None], means[None], dim=2) / 0.05).softmax(dim=1)
        labels = start
        for _ in range(20):
            labels = 0.9 * spread @ labels + 0.1 * start
        found = labels[aligned.find(episode.query, "query")].argmax(dim=1)
        right.append(float((found == episode.target).double().mean()))
    assert result.accuracy == pytest.approx(np.mean(right), abs=1e-6)
    assert result.interval == pytest.approx(1.96 * np.std(right, ddof=1) / 12**0.5, abs=1e-6)
    assert (result.ways, result.shots, result.episodes, result.num_classes) == (4, 2, 12, 4)
    assert result.accuracy < 0.95


def test_chunks_of_episodes_and_order_of_rows_do_not_matter(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task, table = setting.tasks["community"], setting.table
    config = PropagationConfig(edge_share=0.5)
    first = label_propagation_accuracy(task, table, setting.graph, config, **SHORT)
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(1))
    assert label_propagation_accuracy(task, table.take(order), setting.graph, config, **SHORT) == first
    shuffled = setting.graph.subgraph(order)
    assert label_propagation_accuracy(task, table, shuffled, config, **SHORT) == first
    monkeypatch.setattr(label_propagation, "LABELS_PER_CHUNK", 1)
    assert label_propagation_accuracy(task, table, setting.graph, config, **SHORT) == first


def test_unlabelled_nodes_help_where_one_label_says_little(setting: Any) -> None:
    task, table, graph = setting.tasks["community"], setting.table, setting.graph
    plain = few_shot_accuracy(task, table, graph, ways=4, shots=1, episodes=30)
    spread = label_propagation_accuracy(task, table, graph, ways=4, shots=1, episodes=30)
    assert spread.accuracy > plain.accuracy + 0.03


def test_without_steps_that_matter_prototypes_remain(setting: Any) -> None:
    config = PropagationConfig(start="prototypes", alpha=0.0, steps=1)
    found = label_propagation_accuracy(setting.tasks["community"], setting.table, setting.graph, config, **SHORT)
    plain = few_shot_accuracy(setting.tasks["community"], setting.table, setting.graph, **SHORT)
    assert found.accuracy == pytest.approx(plain.accuracy, abs=1e-6)


def test_queries_that_no_label_reaches_are_at_chance(setting: Any) -> None:
    zero = replace(setting.table, vectors=torch.zeros_like(setting.table.vectors))
    result = label_propagation_accuracy(setting.tasks["community"], zero, setting.graph, **SHORT)
    assert (result.accuracy, result.tie_rate) == (0.25, 1.0)


def test_scores_know_no_label_of_a_query(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of test nodes are permuted: the same nodes are asked for in other rows, with the same scores by id."""
    task = setting.tasks["community"]
    label, split = np.array(task.labels["label"].to_pylist()), np.array(task.labels["split"].to_pylist())
    test = np.flatnonzero(split == "test")
    label[test] = label[np.random.default_rng(0).permutation(test)]
    swapped = NodeClassificationTask("community", task.labels.set_column(1, "label", pa.array(label)))
    found: list[list[dict[str, list[float]]]] = []
    for asked in (task, swapped):
        scores: list[torch.Tensor] = []
        monkeypatch.setattr(EpisodeTally, "add", lambda self, s, t, scores=scores: scores.append(s))
        monkeypatch.setattr(EpisodeTally, "result", lambda self, *args: None)
        label_propagation_accuracy(asked, setting.table, setting.graph, **SHORT)
        drawn = few_shot_episodes(asked, **SHORT)[0]
        found.append([dict(zip(e.query, s.tolist(), strict=True)) for e, s in zip(drawn, scores, strict=True)])
    shared = 0
    for before, after in zip(*found, strict=True):
        for node in set(before) & set(after):
            assert before[node] == after[node]
            shared += 1
    assert shared > 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.0}, r"alpha must lie in \[0, 1\), got 1.0"),
        ({"edge_share": 1.5}, "edge_share must lie in"),
        ({"steps": 0}, "steps >= 1"),
        ({"temperature": math.nan}, "temperature > 0"),
        ({"start": "seed"}, "unknown start 'seed'; choose from: seeds"),
        ({"num_neighbors": 0}, "without neighbours edge_share must be 1"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PropagationConfig(**options)


def test_bad_input_is_refused(setting: Any) -> None:
    task, table, graph = setting.tasks["community"], setting.table, setting.graph
    with pytest.raises(InputError, match="has no edges for labels to spread over"):
        label_propagation_accuracy(
            task, table, replace(graph, relations={}), PropagationConfig(edge_share=0.5), **SHORT
        )
    with pytest.raises(InputError, match="unknown ids"):
        label_propagation_accuracy(task, table.take(torch.arange(100)), graph, **SHORT)
    with pytest.raises(InputError, match="one label per node"):
        label_propagation_accuracy(setting.tasks["traits"], table, graph, **SHORT)
