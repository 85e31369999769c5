"""Numbers of nodes: where the head starts, what is lost and predicted, and in which units."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.finetune import finetune
from mmgraph.finetuning.regression import RegressionProblem
from mmgraph.finetuning.stopping import read_looks
from mmgraph.finetuning.vectors import node_vectors
from mmgraph.inference.embed import embed
from mmgraph.metrics.regression import regression_metrics
from mmgraph.sealed import sealed_json
from mmgraph.tasks.node_regression import NodeRegressionTask


def problem_of(toy: Any, encoder: Any, task: NodeRegressionTask, config: FinetuneConfig) -> RegressionProblem:
    return RegressionProblem(node_vectors(encoder, toy.graph, 0), task, config)


def test_a_frozen_linear_head_is_the_ridge_regression(toy, encoder_of, settings, tmp_path) -> None:
    encoder, task = encoder_of(toy.graph), toy.tasks["price"]
    finetune(encoder, toy.graph, task, settings(mode="frozen"), out=tmp_path / "run")
    first = read_looks(tmp_path / "run")[0]
    table = embed(encoder, toy.graph)
    assert first["metrics"]["rmse"] == pytest.approx(task.evaluate(table, toy.graph, split="valid")["rmse"], rel=1e-4)
    assert first["score"] == [-first["metrics"]["rmse"]]
    test = problem_of(toy, encoder, task, settings()).test()
    assert test == pytest.approx(task.evaluate(table, toy.graph), rel=1e-4)


def test_predictions_are_joined_by_id_and_in_the_units_of_the_values(toy, encoder_of, settings, tmp_path) -> None:
    task = toy.tasks["price"]
    run = finetune(encoder_of(toy.graph), toy.graph, task, settings(), out=tmp_path / "run")
    predicted = pq.read_table(tmp_path / "run" / "predictions.parquet")
    assert predicted.column_names == ["id", "value"]
    values = dict(zip(predicted["id"].to_pylist(), predicted["value"].to_pylist(), strict=True))
    assert values.keys() == set(toy.graph.node_ids.values.tolist())
    ids, target = task.examples("test")
    found = regression_metrics(torch.tensor([values[key] for key in ids.tolist()], dtype=torch.float64), target)
    assert found == pytest.approx(run.result["test"], rel=1e-6)


def test_only_types_with_values_are_predicted(toy, encoder_of, settings) -> None:
    task, graph = toy.tasks["price"], toy.graph
    is_item = graph.node_type == graph.node_types.index("item")
    items = set(graph.node_ids.values[is_item.numpy()].tolist())
    kept = pa.array([key in items for key in task.values["id"].to_pylist()])
    problem = problem_of(
        toy, encoder_of(graph), NodeRegressionTask("price", task.values.filter(kept)), settings(hidden=8)
    )
    assert set(problem.predictions()["id"].to_pylist()) == items
    assert 0 < len(items) < graph.num_nodes


@pytest.mark.parametrize(("name", "outlier"), [("huber", 2 - 0.5), ("squared", 4.0)])
def test_the_loss_by_hand(toy, encoder_of, settings, name: str, outlier: float) -> None:
    """Train values are 12 and 8 by turns, so standardised 1 and -1; a head that says 0 or -1."""
    task = toy.tasks["price"]
    train = np.flatnonzero(np.array(task.values["split"].to_pylist()) == "train")
    assert len(train) % 2 == 0
    values = np.full(task.values.num_rows, 10.0)
    values[train] = 10 + 2.0 * (-1) ** np.arange(len(train))
    problem = problem_of(
        toy,
        encoder_of(toy.graph),
        NodeRegressionTask("price", task.values.set_column(1, "value", pa.array(values))),
        settings(value_loss=name, batch_size=len(train)),
    )
    assert (problem.centre, problem.spread) == (10.0, 2.0)
    with torch.no_grad():
        problem.head.out.weight.zero_()
        problem.head.out.bias.zero_()
    assert float(problem.loss(0).detach()) == pytest.approx(0.5 if name == "huber" else 1.0)
    with torch.no_grad():
        problem.head.out.bias.fill_(-1.0)  # right for half of the nodes, two standard deviations off for the others
    assert float(problem.loss(0).detach()) == pytest.approx(outlier / 2)
    validation = problem.validate()
    assert validation.metrics["rmse"] == validation.metrics["mae"] == 2.0  # says 8 where the value is 10


def test_units_do_not_matter(toy, encoder_of, settings, tmp_path) -> None:
    """Years differ by less than what float32 tells apart at a billion; standardised, they are the same numbers."""
    task = toy.tasks["price"]
    moved = pa.array(1e9 + 0.5 * task.values["value"].to_numpy())
    other = NodeRegressionTask("price", task.values.set_column(1, "value", moved))
    plain, far = (
        finetune(encoder_of(toy.graph), toy.graph, one, settings(), out=tmp_path / str(number)).result
        for number, one in enumerate((task, other))
    )
    assert far["best_step"] == plain["best_step"]
    assert far["test"]["rmse"] == pytest.approx(plain["test"]["rmse"] / 2, rel=1e-3)
    assert far["test"]["r2"] == pytest.approx(plain["test"]["r2"], abs=1e-3)


def test_a_hidden_layer_learns(toy, encoder_of, settings, tmp_path) -> None:
    config = settings(hidden=16, dropout=0.1, steps=60, eval_every=10)
    run = finetune(encoder_of(toy.graph), toy.graph, toy.tasks["price"], config, out=tmp_path / "run")
    history = read_looks(tmp_path / "run")
    assert run.result["best_step"] > 0
    assert run.result["valid"]["rmse"] < 0.9 * history[0]["metrics"]["rmse"]


def test_what_cannot_be_trained_on_is_refused(toy, encoder_of, settings) -> None:
    def make(table: pa.Table) -> None:
        problem_of(toy, encoder_of(toy.graph), NodeRegressionTask("price", table), settings())

    values = toy.tasks["price"].values
    with pytest.raises(InputError, match="task 'price', column 'id': 1 unknown ids: 'nobody'"):
        make(pa.concat_tables([values, pa.table({"id": ["nobody"], "value": [1.0], "split": ["test"]})]))
    with pytest.raises(InputError, match="expected at least two different values"):
        make(values.set_column(1, "value", pa.array([1.0] * values.num_rows)))
    with pytest.raises(InputError, match="unknown value_loss 'mse'; choose from: "):
        settings(value_loss="mse")


def test_a_run_of_an_earlier_version_had_the_defaults(toy, encoder_of, settings, tmp_path) -> None:
    call = [encoder_of(toy.graph), toy.graph, toy.tasks["price"]]
    done = finetune(*call, settings(), out=tmp_path / "run")
    path = tmp_path / "run" / "finetune.json"
    content = json.loads(path.read_text())
    del content["asked"]["settings"]["value_loss"]
    path.write_text(sealed_json(content))
    assert finetune(*call, settings(), out=tmp_path / "run").result == done.result
    with pytest.raises(InputError, match="value_loss is huber there and squared here"):
        finetune(*call, settings(value_loss="squared"), out=tmp_path / "run")
