from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.few_shot import few_shot_accuracy, few_shot_episodes
from mmgraph.tasks.node_classification import NodeClassificationTask


def test_episodes_draw_support_from_train_and_queries_from_test(setting: Any) -> None:
    task = setting.tasks["community"]
    label = dict(zip(task.labels["id"].to_pylist(), task.labels["label"].to_pylist(), strict=True))
    split = dict(zip(task.labels["id"].to_pylist(), task.labels["split"].to_pylist(), strict=True))
    episodes, num_classes, left_out = few_shot_episodes(task, ways=3, shots=5, episodes=20, queries=4)
    assert (num_classes, left_out) == (4, 0)
    drawn = set()
    for episode in episodes:
        assert episode.support.shape == (3, 5)
        assert {split[i] for i in episode.support.ravel()} == {"train"}
        assert {split[i] for i in episode.query} == {"test"}
        assert len(np.unique(episode.support)) == 15
        assert len(np.unique(episode.query)) == len(episode.query) <= 12
        classes = [{label[i] for i in row} for row in episode.support]
        assert all(len(names) == 1 for names in classes)
        order = [next(iter(names)) for names in classes]
        assert len(set(order)) == 3
        assert [order[i] for i in episode.target] == [label[i] for i in episode.query]
        drawn.add(tuple(order))
    assert len(drawn) > 5


def test_accuracy_by_hand(setting: Any) -> None:
    task, table = setting.tasks["community"], setting.table
    result = few_shot_accuracy(task, table, setting.graph, ways=3, shots=5, episodes=20)
    unit = torch.nn.functional.normalize(table.vectors, dim=1)
    scores = []
    for episode in few_shot_episodes(task, ways=3, shots=5, episodes=20)[0]:
        prototypes = torch.stack([unit[table.positions(row)].mean(0) for row in episode.support])
        cosine = torch.cosine_similarity(unit[table.positions(episode.query)][:, None], prototypes[None], dim=2)
        scores.append(float((cosine.argmax(1) == episode.target).double().mean()))
    assert result.accuracy == pytest.approx(np.mean(scores))
    assert result.interval == pytest.approx(1.96 * np.std(scores, ddof=1) / 20**0.5)
    one = few_shot_accuracy(task, table, setting.graph, ways=3, shots=1, episodes=20)
    assert 1 / 3 < one.accuracy < result.accuracy


def test_order_of_rows_does_not_matter_and_a_seed_fixes_the_episodes(setting: Any) -> None:
    task = setting.tasks["community"]
    order = torch.randperm(len(setting.table), generator=torch.Generator().manual_seed(1))
    first = few_shot_accuracy(task, setting.table, setting.graph, ways=4, episodes=10)
    assert few_shot_accuracy(task, setting.table.take(order), setting.graph, ways=4, episodes=10) == first
    supports = [few_shot_episodes(task, ways=4, seed=seed, episodes=10)[0][0].support.tolist() for seed in (0, 0, 1)]
    assert supports[0] == supports[1] != supports[2]


def test_a_constant_table_is_at_chance(setting: Any) -> None:
    table = replace(setting.table, vectors=torch.ones_like(setting.table.vectors))
    result = few_shot_accuracy(setting.tasks["community"], table, setting.graph, ways=4, episodes=5)
    assert (result.accuracy, result.tie_rate) == (0.25, 1.0)


def test_small_classes_are_left_out_and_counted(setting: Any) -> None:
    labels = {
        "id": ["a", "b", "c", "d", "e", "f", "g", "h"],
        "label": ["x", "x", "y", "y", "z", "x", "y", "z"],
        "split": ["train"] * 5 + ["test"] * 3,
    }
    task = NodeClassificationTask("t", pa.table(labels))
    _, num_classes, left_out = few_shot_episodes(task, ways=2, shots=2, episodes=1)
    assert (num_classes, left_out) == (2, 1)
    with pytest.raises(InputError, match="at least 3 classes with 2 train and 1 test nodes, got 2"):
        few_shot_episodes(task, ways=3, shots=2)
    with pytest.raises(InputError, match="ways >= 2"):
        few_shot_episodes(task, ways=1)
    with pytest.raises(InputError, match="one label per node"):
        few_shot_episodes(setting.tasks["traits"])
    table = EmbeddingTable(NodeIds(["a"]), torch.ones(1, 2), ("node",), torch.zeros(1, dtype=torch.int64), "g", "m")
    with pytest.raises(InputError):
        few_shot_accuracy(task, table, setting.graph, ways=2)
