"""Ridge regression on frozen vectors: against scikit-learn, by hand, and what must not change it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks import ridge as module
from mmgraph.tasks.base import load_task
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.ridge import RidgeConfig, fit_ridge


@pytest.fixture
def task(setting: Any) -> NodeRegressionTask:
    """Values that are linear in the vectors, with noise of standard deviation one."""
    vectors, random = setting.table.vectors.double(), torch.Generator().manual_seed(5)
    values = 100 + 3 * vectors[:, 0] - 2 * vectors[:, 5] + torch.randn(240, generator=random).double()
    labels = setting.tasks["community"].labels
    rows = setting.table.positions(labels["id"])
    return NodeRegressionTask(
        "price", pa.table({"id": labels["id"], "value": values[rows].numpy(), "split": labels["split"]})
    )


def table_of(ids: list[str], vectors: Any) -> EmbeddingTable:
    vectors = torch.tensor(vectors)
    return EmbeddingTable(NodeIds(ids), vectors, ("node",), torch.zeros(len(ids), dtype=torch.int64), "g", "m")


def test_one_column_by_hand() -> None:
    """Train rows -1, 1 with values 2, 6: scaled and standardised they are -1, 1 both, and the weight `1 / (1 + p)`."""
    train = (torch.tensor([[-1.0], [1.0]]), torch.tensor([2.0, 6.0]))
    valid = (torch.tensor([[3.0]]), torch.tensor([5.4]))
    probe = fit_ridge(train, valid, RidgeConfig((9.0, 3.0, 1.0), refine=False))
    # 4 + 2 * 3 / (1 + p) is 4.6, 5.5 and 7: the second is the closest to 5.4.
    assert (probe.centre, probe.spread, probe.scale) == (4.0, 2.0, 1.0)
    assert probe.selection.penalty == 3.0
    assert probe.selection.score == pytest.approx(-0.1)
    assert probe.predict(torch.tensor([[0.0], [2.0]])).tolist() == pytest.approx([4.0, 5.0])


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize(("n", "dim"), [(80, 12), (30, 90)])
@pytest.mark.parametrize("penalty", [10.0, 0.1, 1e-4])
def test_the_minimum_is_that_of_scikit_learn(n: int, dim: int, penalty: float, rotated: bool, monkeypatch) -> None:
    if not rotated:
        monkeypatch.setattr(module, "principal_axes", lambda *_, **__: None)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(n, dim, generator=random) * torch.linspace(0.01, 2, dim) + 5
    y = 1e4 + 300 * (x[:, 0] + x[:, -1] + torch.randn(n, generator=random)).double()
    probe = fit_ridge((x, y), (x, y), RidgeConfig((penalty,)))
    centred = (x - x.mean(0)).double()
    scaled = (centred / centred.square().mean().sqrt()).numpy()
    reference = Ridge(alpha=penalty * n, solver="svd").fit(scaled, y.numpy())
    assert np.abs(probe.predict(x).numpy() - reference.predict(scaled)).max() < 0.02


def test_it_finds_what_is_there(setting: Any, task: NodeRegressionTask) -> None:
    found = task.evaluate(setting.table, setting.graph)
    assert list(found) == ["mae", "rmse", "r2", "spearman"]
    (x, y), (test_x, test_y) = (
        (setting.table.vectors_of(ids).numpy(), values.numpy()) for ids, values in map(task.examples, ("train", "test"))
    )
    squared = (LinearRegression().fit(x, y).predict(test_x) - test_y) ** 2
    assert found["rmse"] == pytest.approx(squared.mean() ** 0.5, rel=0.01)  # with so little noise nothing is shrunk
    assert found["r2"] > 0.7
    noise = replace(setting.table, vectors=torch.randn(240, 16, generator=torch.Generator().manual_seed(1)))
    assert abs(task.evaluate(noise, setting.graph)["r2"]) < 0.15


def test_the_penalty_is_the_best_on_validation_data(setting: Any, task: NodeRegressionTask) -> None:
    parts = [(setting.table.vectors_of(ids), values) for ids, values in map(task.examples, ("train", "valid"))]
    chosen = fit_ridge(*parts, RidgeConfig(refine=False)).selection
    scores = {p: fit_ridge(*parts, RidgeConfig((p,))).selection.score for p in RidgeConfig().penalties}
    assert chosen.score == pytest.approx(max(scores.values()))
    assert chosen.penalty == max(scores, key=lambda p: scores[p])
    assert fit_ridge(*parts).selection.score >= chosen.score


def test_permuted_test_values_change_nothing_but_the_result(setting: Any, task: NodeRegressionTask) -> None:
    values = np.array(task.values["value"].to_pylist())
    rows = np.flatnonzero(np.array(task.values["split"].to_pylist()) == "test")
    values[rows] = values[np.roll(rows, 1)]
    permuted = NodeRegressionTask("price", task.values.set_column(1, "value", pa.array(values)))
    before, after = task.fit(setting.table), permuted.fit(setting.table)
    assert before.selection == after.selection
    assert torch.equal(before.weight, after.weight)
    results = [[t.evaluate(setting.table, setting.graph, split=s) for t in (task, permuted)] for s in ("valid", "test")]
    assert results[0][0] == results[0][1]
    assert results[1][0] != results[1][1]


def test_vectors_of_test_nodes_do_not_touch_the_fit(setting: Any, task: NodeRegressionTask) -> None:
    vectors = setting.table.vectors.clone()
    vectors[setting.table.positions(task.examples("test")[0])] = 1e6
    before, after = task.fit(setting.table), task.fit(replace(setting.table, vectors=vectors))
    assert torch.equal(before.weight, after.weight)
    assert torch.equal(before.mean, after.mean)


def test_the_order_of_rows_does_not_matter(setting: Any, task: NodeRegressionTask) -> None:
    random = np.random.default_rng(0)
    shuffled = NodeRegressionTask("price", task.values.take(pa.array(random.permutation(240))))
    assert shuffled.digest == task.digest
    order = torch.from_numpy(random.permutation(240))
    ids = setting.table.node_ids.values[order.numpy()]
    table = EmbeddingTable(
        NodeIds(ids), setting.table.vectors[order], setting.table.node_types, setting.table.node_type[order], "g", "m"
    )
    assert shuffled.evaluate(table, setting.graph) == task.evaluate(setting.table, setting.graph)


def test_rotation_scale_and_offset_of_vectors_and_units_of_values_do_not_matter(
    setting: Any, task: NodeRegressionTask
) -> None:
    vectors = setting.table.vectors * torch.logspace(-2, 0, 16)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(3))).Q
    first, *others = (
        task.evaluate(replace(setting.table, vectors=moved), setting.graph)
        for moved in (vectors, vectors @ turn, 1000 * vectors, vectors + 1)
    )
    assert all(other == pytest.approx(first, rel=1e-3) for other in others)
    cents = task.values.set_column(1, "value", pa.array(100 * task.values["value"].to_numpy() - 7))
    plain, scaled = (t.evaluate(setting.table, setting.graph) for t in (task, NodeRegressionTask("price", cents)))
    assert scaled == pytest.approx(plain | {"mae": 100 * plain["mae"], "rmse": 100 * plain["rmse"]})


def test_constant_vectors_predict_the_mean_of_train(setting: Any, task: NodeRegressionTask) -> None:
    flat = replace(setting.table, vectors=torch.full((240, 3), 0.1))  # the mean of 144 of them is not 0.1
    mean = float(task.examples("train")[1].mean())
    target = task.examples("test")[1]
    found = task.evaluate(flat, setting.graph)
    assert found["mae"] == pytest.approx(float((target - mean).abs().mean()))
    assert found["spearman"] == 0.0


def test_it_comes_back_from_disk(task: NodeRegressionTask, tmp_path) -> None:
    task.save(tmp_path / "price")
    loaded = load_task(tmp_path / "price")
    assert isinstance(loaded, NodeRegressionTask)
    assert loaded.values.equals(task.values)
    assert loaded.digest == task.digest


def _values(**columns: Any) -> pa.Table:
    return pa.table({"id": ["b", "a", "c"], "value": [1.0, 2.0, 3.0], "split": ["train", "train", "valid"]} | columns)


def test_any_numbers_will_do() -> None:
    for column in (pa.array([1, 2, 3]), pa.array([1, 2, 3], pa.float16()), pa.array([1, 2, 3]).cast(pa.decimal128(20))):
        rows = NodeRegressionTask("t", _values(value=column)).values
        assert rows["value"].to_pylist() == [2.0, 1.0, 3.0]
        assert rows["id"].to_pylist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"value": [1.0, float("nan"), 3.0]}, "column 'value': expected a finite number, got nan for id 'a';"),
        ({"value": [1.0, 2.0, float("inf")]}, "expected a finite number, got inf for id 'c';"),
        (
            {"value": [None, 2.0, -float("inf")]},
            "expected a finite number, got nothing for id 'b', and 1 more like it;",
        ),
        ({"value": ["1", "2", "3"]}, "column 'value': expected numbers, got string"),
        ({"value": [True, False, True]}, "expected numbers, got bool"),
        ({"value": [[1.0], [2.0], [3.0]]}, "expected numbers, got list"),
        ({"id": ["a", "a", "c"]}, "occurs more than once"),
        ({"split": ["train", "dev", "test"]}, "expected train, valid, test, got 'dev'"),
    ],
)
def test_bad_tables(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        NodeRegressionTask("t", _values(**columns))
    assert "\n" not in str(error.value)
    assert "task 't'" in str(error.value)


def test_what_cannot_be_learnt_is_refused() -> None:
    with pytest.raises(InputError, match="missing column 'value'"):
        NodeRegressionTask("t", _values().drop_columns(["value"]))
    with pytest.raises(InputError, match="split 'valid' has no examples"):
        NodeRegressionTask("t", _values(split=["train"] * 3)).check_trainable()
    with pytest.raises(InputError, match="task 't', split 'train': expected at least two different values .* only 2"):
        NodeRegressionTask("t", _values(value=[2, 2, 3])).check_trainable()
    for unit in (1e-200, 1e200):
        with pytest.raises(
            InputError, match="task 't', split 'train': expected values whose squares .* use other units"
        ):
            NodeRegressionTask("t", _values(value=[1 * unit, 2 * unit, 3 * unit])).check_trainable()
    with pytest.raises(InputError, match="split 'test' has no examples"):
        NodeRegressionTask("t", _values()).check_split("test")
    with pytest.raises(InputError, match="1 .*'c'"):
        NodeRegressionTask("t", _values()).fit(table_of(["a", "b"], [[1.0], [2.0]]))
    with pytest.raises(InputError, match="penalties must be in descending order"):
        RidgeConfig((0.1, 1.0))
