from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.logistic import principal_axes
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.probe import ProbeConfig, fit_probe
from mmgraph.testing.factories import make_graph


def _with_permuted_test_labels(task: NodeClassificationTask) -> NodeClassificationTask:
    labels, split = task.labels["label"].to_pylist(), task.labels["split"].to_pylist()
    rows = [i for i, name in enumerate(split) if name == "test"]
    for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
        labels[row] = task.labels["label"][other].as_py()
    permuted = task.labels.set_column(1, "label", pa.array(labels, type=task.labels["label"].type))
    return NodeClassificationTask(task.name, permuted, multi_label=task.multi_label)


@pytest.mark.parametrize("name", ["community", "traits"])
def test_permuted_test_labels_leave_the_selection_identical(setting: Any, name: str) -> None:
    task = setting.tasks[name]
    permuted = _with_permuted_test_labels(task)
    assert not permuted.labels.equals(task.labels)
    before, after = task.fit(setting.table), permuted.fit(setting.table)
    assert before.selection == after.selection
    assert torch.equal(before.weight, after.weight)
    assert task.evaluate(setting.table, setting.graph) != permuted.evaluate(setting.table, setting.graph)
    assert task.evaluate(setting.table, setting.graph, split="valid") == permuted.evaluate(
        setting.table, setting.graph, split="valid"
    )


def test_vectors_of_test_nodes_do_not_touch_the_fit(setting: Any) -> None:
    task = setting.tasks["community"]
    vectors = setting.table.vectors.clone()
    vectors[setting.table.positions(task.examples("test")[0])] = 1e6
    before, after = task.fit(setting.table), task.fit(replace(setting.table, vectors=vectors))
    assert torch.equal(before.weight, after.weight)
    assert torch.equal(before.mean, after.mean)


def test_destroyed_features_score_chance() -> None:
    graph = make_graph(2000, 2000, seed=1)
    community = graph.columns["community"].to_pylist()
    split = ["train", "valid", "test", "test"] * 500
    labels = pa.table({"id": graph.node_ids.values, "label": [f"c{c}" for c in community], "split": split})
    table = EmbeddingTable.for_graph(graph, torch.randn(2000, 8), model="noise")
    accuracy = NodeClassificationTask("community", labels).evaluate(table, graph)["accuracy"]
    assert accuracy == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 1000) ** 0.5)


@pytest.mark.parametrize("dim", [6, 200])
@pytest.mark.parametrize("decay", [1.0, 0.1, 0.01])
def test_minimum_equals_scikit_learn(decay: float, dim: int) -> None:
    random = torch.Generator().manual_seed(0)
    target = torch.randint(3, (150,), generator=random)
    noise = torch.randn(150, dim, generator=random) * torch.linspace(0.1, 2, dim) + 5
    x = torch.randn(3, dim, generator=random)[target] + noise
    config = ProbeConfig(weight_decays=(decay,), max_steps=500, tolerance=1e-7)
    probe = fit_probe((x, target), (x, target), 3, config)
    scaled = ((x - x.mean(0)) / (x - x.mean(0)).square().mean().sqrt()).numpy()
    reference = LogisticRegression(C=1 / (decay * len(x)), tol=1e-8, max_iter=1000).fit(scaled, target.numpy())
    ours = probe.logits(x).softmax(dim=1).numpy()
    assert np.abs(ours - reference.predict_proba(scaled)).max() < 2e-3


def test_selection_takes_the_best_on_validation_data() -> None:
    random = torch.Generator().manual_seed(0)
    target = torch.randint(2, (60,), generator=random)
    x = torch.randn(60, 200, generator=random)
    x[:, 0] += 2 * target
    train, valid = (x[:30], target[:30]), (x[30:], target[30:])
    decays = (1.0, 0.1, 0.01, 1e-4)
    chosen = fit_probe(train, valid, 2, ProbeConfig(weight_decays=decays, patience=9, refine=False))
    scores = {}
    for decay in decays:
        probe = fit_probe(train, valid, 2, ProbeConfig(weight_decays=(decay,)))
        scores[decay] = probe.selection.score
        right = (probe.logits(valid[0]).argmax(1) == valid[1]).double().mean()
        assert probe.selection.score == pytest.approx(float(right))
    assert chosen.selection.score == pytest.approx(max(scores.values()))
    impatient = fit_probe(train, valid, 2, ProbeConfig(weight_decays=decays, patience=1, refine=False))
    assert impatient.selection.num_steps < chosen.selection.num_steps
    finer = fit_probe(train, valid, 2, ProbeConfig(weight_decays=decays, patience=9))
    assert finer.selection.score >= chosen.selection.score


def test_rotation_scale_and_offset_of_vectors_do_not_matter(setting: Any) -> None:
    task, random = setting.tasks["community"], torch.Generator().manual_seed(3)
    vectors = setting.table.vectors * torch.logspace(-3, 0, 16)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=random)).Q
    probes, metrics = [], []
    for moved in (vectors, vectors @ turn, 1000 * vectors, vectors + 1):
        table = replace(setting.table, vectors=moved)
        probes.append(task.fit(table))
        metrics.append(task.evaluate(table, setting.graph))
    assert all(found == metrics[0] for found in metrics)
    assert all(probe.selection.weight_decay == probes[0].selection.weight_decay for probe in probes)


def test_columns_of_noise_with_little_variance_do_no_harm() -> None:
    random = torch.Generator().manual_seed(0)
    target = torch.randint(2, (400,), generator=random)
    signal = torch.randn(400, 4, generator=random)
    signal[:, 0] += 6 * target
    x = torch.cat([signal, 1e-3 * torch.randn(400, 300, generator=random)], dim=1)
    parts = [(x[a:b], target[a:b]) for a, b in ((0, 100), (100, 200), (200, 400))]
    probe = fit_probe(parts[0], parts[1], 2)
    assert (probe.logits(parts[2][0]).argmax(1) == parts[2][1]).double().mean() > 0.97


@pytest.mark.parametrize(("n", "dim"), [(60, 20), (20, 60)])
def test_principal_axes_keep_all_that_varies(n: int, dim: int) -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(n, 5, generator=random) @ torch.randn(5, dim, generator=random)
    x = x - x.mean(0)
    axes = principal_axes(x, 1e-6)
    assert axes is not None
    assert axes.shape == (dim, 5)
    assert torch.allclose(axes.t() @ axes, torch.eye(5), atol=1e-5)
    assert torch.allclose(x @ axes @ axes.t(), x, atol=1e-4)
    variance = (x @ axes).square().mean(0)
    assert torch.equal(variance.sort(descending=True).values, variance)


@pytest.mark.parametrize("decays", [(), (1.0, 0.0), (0.1, 1.0), (1.0, 1.0)])
def test_bad_grids_are_refused(decays: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="weight_decays must be"):
        ProbeConfig(weight_decays=decays)


def test_constant_columns_are_harmless(setting: Any) -> None:
    task = setting.tasks["community"]
    wide = replace(setting.table, vectors=torch.cat([setting.table.vectors, torch.full((240, 2), 3.0)], dim=1))
    assert task.evaluate(wide, setting.graph) == pytest.approx(task.evaluate(setting.table, setting.graph), abs=0.03)


def test_classes_that_train_lacks_are_wrong_and_count(setting: Any) -> None:
    ids = ["a", "b", "c", "d", "e", "f"]
    labels = pa.table(
        {"id": ids, "label": ["x", "y", "x", "y", "z", "x"], "split": ["train"] * 2 + ["valid"] * 2 + ["test"] * 2}
    )
    task = NodeClassificationTask("t", labels)
    assert task.classes == ("x", "y")
    vectors = torch.tensor([[1.0], [-1.0], [1.0], [-1.0], [1.0], [1.0]])
    table = EmbeddingTable(NodeIds(ids), vectors, ("node",), torch.zeros(6, dtype=torch.int64), "g", "m")
    probe = task.fit(table)
    found, target = task.examples("test")
    metrics = task.metrics(probe.logits(table.vectors_of(found)), target)
    assert metrics == {"accuracy": 0.5, "macro_f1": pytest.approx((2 / 3 + 0) / 2)}
    alien = labels.set_column(1, "label", pa.array(["x", "y", "x", "z", "z", "x"]))
    assert len(NodeClassificationTask("t", alien).selectable("valid")[0]) == 1


def test_labels_that_cannot_be_learned_are_refused() -> None:
    labels = pa.table({"id": ["a", "b", "c"], "label": ["x", "x", "y"], "split": ["train", "valid", "test"]})
    with pytest.raises(InputError, match="at least two classes in train, got 'x'"):
        NodeClassificationTask("t", labels).check_trainable()
    with pytest.raises(InputError, match="split 'valid' has no examples"):
        NodeClassificationTask("t", labels.filter([True, False, True])).check_trainable()
