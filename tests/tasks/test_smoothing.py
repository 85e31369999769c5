from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.tasks import smoothing
from mmgraph.tasks.controls import raw_features, smoothed_features
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.smoothing import FORMS, SmoothedForm, best_smoothed

FEW = (FORMS[0], FORMS[2], FORMS[4], FORMS[7])


@pytest.mark.parametrize(("name", "metric"), [("community", "accuracy"), ("links", "mrr"), ("recommend", "ndcg@10")])
def test_the_best_on_valid_is_chosen(setting: Any, name: str, metric: str) -> None:
    task, graph = setting.tasks[name], setting.graph
    best = best_smoothed(graph, task, forms=FEW)
    expected = {form.name: task.evaluate(form.table(graph), graph, split="valid")[metric] for form in FEW}
    assert best.scores == pytest.approx(expected)
    assert best.scores[best.form.name] == max(best.scores.values())
    assert torch.equal(best.table.vectors, best.form.table(graph).vectors)
    assert best.choice == f"{best.form.name}, the best of 4 smoothed forms on valid"
    assert best.table.model == "best smoothed"


def test_the_best_for_values_has_the_least_error_and_reads_no_test_value(setting: Any, monkeypatch) -> None:
    labels, graph = setting.tasks["community"].labels, setting.graph
    values = [float(label[1:]) ** 2 for label in labels["label"].to_pylist()]
    table = pa.table({"id": labels["id"], "value": values, "split": labels["split"]})
    task = NodeRegressionTask("value", table)
    best = best_smoothed(graph, task, forms=FEW)
    errors = {form.name: task.evaluate(form.table(graph), graph, split="valid")["rmse"] for form in FEW}
    assert {name: -score for name, score in best.scores.items()} == pytest.approx(errors)
    assert errors[best.form.name] == min(errors.values())
    far = [value + 7 * (split == "test") for value, split in zip(values, labels["split"].to_pylist(), strict=True)]
    other = NodeRegressionTask("value", table.set_column(1, "value", pa.array(far)))
    assert best_smoothed(graph, other, forms=FEW).scores == best.scores
    monkeypatch.setattr(smoothing, "CHOOSING_ROWS", 50)
    smaller = smoothing._with_fewer_train_rows(task)
    assert isinstance(smaller, NodeRegressionTask)
    assert smaller.num_examples("train") == 50
    assert smaller.examples("valid")[1].tolist() == task.examples("valid")[1].tolist()


def test_names_and_tables_of_forms(setting: Any) -> None:
    assert [form.name for form in FEW] == [
        "hop 0",
        "hop 2",
        "concat of hops 0-1-2",
        "0.5 x hop 0 + 1 x hop 1 + 0.5 x hop 2",
    ]
    assert len({form.name for form in FORMS}) == len(FORMS)
    assert torch.equal(FORMS[0].table(setting.graph).vectors, raw_features(setting.graph).vectors)
    assert torch.equal(FEW[3].table(setting.graph).vectors, smoothed_features(setting.graph).vectors)


def test_permuted_test_labels_and_edges_do_not_change_the_choice(setting: Any) -> None:
    task, links = setting.tasks["community"], setting.tasks["links"]
    labels, split = task.labels["label"].to_pylist(), task.labels["split"].to_pylist()
    rows = [i for i, name in enumerate(split) if name == "test"]
    for row, other in zip(rows, reversed(rows), strict=True):
        labels[row] = task.labels["label"][other].as_py()
    permuted = NodeClassificationTask(task.name, task.labels.set_column(1, "label", pa.array(labels)))
    before, after = (best_smoothed(setting.graph, which, forms=FEW) for which in (task, permuted))
    assert before.scores == after.scores
    # Held-out test pairs are filtered from every ranking; another order of their ends must not matter.
    edges = links.edges.to_pylist()
    for edge in edges:
        if edge["split"] == "test":
            edge["source"], edge["target"] = edge["target"], edge["source"]
    turned = LinkPredictionTask(links.name, pa.Table.from_pylist(edges))
    before, after = (best_smoothed(setting.graph, which, forms=FEW) for which in (links, turned))
    assert before.scores == after.scores


def test_queries_need_an_encoder_that_fits_the_form(setting: Any) -> None:
    task = setting.tasks["queries"]
    with pytest.raises(InputError, match="needs a query encoder"):
        best_smoothed(setting.graph, task)
    width = raw_features(setting.graph).dim
    random = torch.Generator().manual_seed(0)
    seen = []

    def encoder(copies: int) -> Any:
        seen.append(copies)
        return lambda queries: torch.randn(len(queries), width, generator=random).repeat(1, copies)

    best_smoothed(setting.graph, task, forms=FEW, encode_query=encoder)
    assert seen == [1, 1, 3, 1]


def test_large_graphs_are_compared_on_fewer_columns_and_rows(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("CHOOSING_ENTRIES", 10), ("CHOOSING_DIM", 12), ("CHOOSING_ROWS", 50)):
        monkeypatch.setattr(smoothing, name, value)
    task = setting.tasks["community"]
    smaller = smoothing._with_fewer_train_rows(task)
    assert isinstance(smaller, NodeClassificationTask)
    assert smaller.num_examples("train") == 50
    rest = pc.not_equal(task.labels["split"], "train")
    assert smaller.labels.filter(pc.not_equal(smaller.labels["split"], "train")).equals(task.labels.filter(rest))
    best = best_smoothed(setting.graph, task, forms=FEW)
    assert best.reduced
    assert "12 principal axes, 50 train rows" in best.choice
    assert best.table.dim in (40, 120)


def test_no_forms_are_refused(setting: Any) -> None:
    with pytest.raises(InputError, match="at least one form"):
        best_smoothed(setting.graph, setting.tasks["links"], forms=())
    with pytest.raises(InputError, match="0 weights for 1 hops"):
        SmoothedForm((1,)).table(setting.graph)
