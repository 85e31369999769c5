"""Networks that are trained on values: they find what the features and neighbours say, and read no test value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.metrics.regression import regression_metrics
from mmgraph.tasks.evaluation import evaluate_tables
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.supervised import SupervisedConfig
from mmgraph.tasks.supervised_values import supervised_values, train_supervised_values

SMALL = SupervisedConfig(dim=32, epochs=60, patience=20)


@pytest.fixture
def task(setting: Any) -> NodeRegressionTask:
    """1000 + 10 times the square of the community's number."""
    labels = setting.tasks["community"].labels
    values = [1000 + 10.0 * int(label[1:]) ** 2 for label in labels["label"].to_pylist()]
    return NodeRegressionTask("price", pa.table({"id": labels["id"], "value": values, "split": labels["split"]}))


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, conv="gat"), replace(SMALL, num_layers=0)])
def test_learns_the_plant_in_units_of_the_values(setting: Any, task: NodeRegressionTask, config: Any) -> None:
    found = supervised_values(setting.graph, task, config=config)
    assert found["r2"] > 0.6
    trained = train_supervised_values(setting.graph, task, config=config)
    ids, target = task.examples("valid")
    valid = regression_metrics(trained.logits[setting.graph.node_ids.positions(ids)].squeeze(1), target)
    assert -trained.score == pytest.approx(valid["rmse"], rel=1e-4)
    assert supervised_values(setting.graph, task, config=config) == found


def test_permuted_test_values_change_nothing_but_the_result(setting: Any, task: NodeRegressionTask) -> None:
    values, split = np.array(task.values["value"].to_pylist()), np.array(task.values["split"].to_pylist())
    rows = np.flatnonzero(split == "test")
    values[rows] = np.roll(values[rows], 1)
    permuted = NodeRegressionTask("price", task.values.set_column(1, "value", pa.array(values)))
    config = replace(SMALL, epochs=10)
    before, after = (train_supervised_values(setting.graph, which, config=config) for which in (task, permuted))
    assert (before.epoch, before.score) == (after.epoch, after.score)
    assert torch.equal(before.logits, after.logits)
    results = [supervised_values(setting.graph, which, config=config) for which in (task, permuted)]
    assert results[0] != results[1]


def test_an_evaluation_has_all_controls(setting: Any, task: NodeRegressionTask) -> None:
    records = evaluate_tables(
        {"planted": setting.table},
        setting.graph,
        {"price": task},
        supervised=True,
        smoothed_forms=True,
        sampled=(10,),
        progress=False,
    )
    assert [record.model for record in records] == [
        "planted",
        "best smoothed",
        "supervised sage",
        "supervised gat",
        "supervised mlp",
    ]
    assert {record.kind for record in records} == {"node_regression"}
    assert all(list(record.metrics) == ["mae", "rmse", "r2", "spearman"] for record in records)
    assert "smoothed forms on valid" in records[1].protocol
    assert "train values" in records[2].protocol


def test_bad_splits_are_refused(setting: Any, task: NodeRegressionTask) -> None:
    with pytest.raises(InputError, match="unknown split"):
        supervised_values(setting.graph, task, split="all")
