from __future__ import annotations

import json
import math
from dataclasses import replace
from inspect import isabstract
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.sealed import sealed_json
from mmgraph.tasks.base import Task, load_task, load_tasks, save_tasks, task_kinds
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask

NAMES = ("community", "traits", "links", "recommend", "queries", "price")
FIRST = {
    "community": "accuracy",
    "traits": "macro_auc",
    "links": "mrr",
    "recommend": "recall@20",
    "queries": "mrr",
    "price": "spearman",
}


def _evaluate(setting: Any, name: str, **changes: Any) -> dict[str, float]:
    options = {"graph": setting.graph, "table": setting.table, "task": setting.tasks[name], "split": "test"} | changes
    task: Task = options["task"]
    return task.evaluate(options["table"], options["graph"], split=options["split"], encode_query=setting.encode_query)


def _shuffled(task: Task) -> Task:
    order = {name: torch.randperm(table.num_rows).numpy() for name, table in task.tables().items()}
    tables = {name: table.take(order[name]) for name, table in task.tables().items()}
    return type(task).from_tables(task.name, tables, task.settings(), Path())


def test_every_kind_of_task_is_in_this_suite(setting: Any) -> None:
    assert {type(task) for task in setting.tasks.values()} == set(task_kinds().values())
    assert set(setting.tasks) == set(NAMES)
    found = [*Task.__subclasses__()]
    for kind in found:  # grows: what a shared base of several kinds is derived to
        found += kind.__subclasses__()
    subclasses = {kind for kind in found if kind.__module__.startswith("mmgraph.") and not isabstract(kind)}
    assert subclasses == set(task_kinds().values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["valid", "test"])
def test_planted_embeddings_beat_destroyed_ones(setting: Any, name: str, split: str) -> None:
    destroyed = replace(setting.table, vectors=setting.table.vectors[torch.randperm(len(setting.table))])
    good = _evaluate(setting, name, split=split)[FIRST[name]]
    assert good > 1.3 * _evaluate(setting, name, split=split, table=destroyed)[FIRST[name]]


@pytest.mark.parametrize("name", NAMES)
def test_shuffling_the_rows_of_every_table_changes_no_bit(setting: Any, name: str) -> None:
    order = torch.randperm(setting.graph.num_nodes)
    changes = {
        "table": setting.table.take(torch.randperm(len(setting.table))),
        "graph": setting.graph.subgraph(order),
        "task": _shuffled(setting.tasks[name]),
    }
    assert _evaluate(setting, name) == _evaluate(setting, name, **changes)


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(setting: Any, name: str, tmp_path: Path) -> None:
    task = setting.tasks[name]
    save_tasks([task], tmp_path)
    loaded = load_tasks(tmp_path)[name]
    assert type(loaded) is type(task)
    assert loaded.settings() == task.settings()
    assert loaded.digest == task.digest == _shuffled(task).digest
    assert all(loaded.tables()[stem].equals(table) for stem, table in task.tables().items())
    assert _evaluate(setting, name, task=loaded) == _evaluate(setting, name)
    with pytest.raises(InputError, match="already exists"):
        save_tasks([task], tmp_path)
    save_tasks([task], tmp_path, overwrite=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_vectors_that_are_not_finite_are_refused(setting: Any, name: str, bad: float) -> None:
    vectors = setting.table.vectors.clone()
    vectors[7, 3] = bad
    with pytest.raises(InputError, match="NaN or infinity"):
        _evaluate(setting, name, table=replace(setting.table, vectors=vectors))


@pytest.mark.parametrize("name", NAMES)
def test_nodes_missing_from_the_table_are_named(setting: Any, name: str) -> None:
    half = setting.table.take(torch.arange(len(setting.table) // 2))
    with pytest.raises(InputError, match="unknown ids"):
        _evaluate(setting, name, table=half)


@pytest.mark.parametrize("name", NAMES)
def test_ids_that_the_graph_lacks_are_named(setting: Any, name: str) -> None:
    small = setting.graph.subgraph(torch.arange(12))
    with pytest.raises(InputError, match="unknown ids"):
        _evaluate(setting, name, graph=small)


@pytest.mark.parametrize("name", NAMES)
def test_constant_embeddings_gain_nothing(setting: Any, name: str) -> None:
    constant = replace(setting.table, vectors=torch.randn(1, 16).expand(len(setting.table), -1).contiguous())
    metrics = _evaluate(setting, name, table=constant)
    if "tie_rate" in metrics:
        assert metrics["tie_rate"] == 1.0
        assert metrics[FIRST[name]] < 0.03
    elif name == "traits":
        assert metrics["macro_auc"] == 0.5
    elif name == "price":  # the mean of train, whatever the vector
        assert metrics["spearman"] == 0.0
        assert -0.05 < metrics["r2"] <= 0
    else:
        test = setting.tasks[name].examples("test")[1]
        assert metrics["accuracy"] in [float((test == c).double().mean()) for c in range(4)]


@pytest.mark.parametrize("name", NAMES)
def test_splits(setting: Any, name: str) -> None:
    with pytest.raises(InputError, match="unknown split 'trian'; choose from: test, valid"):
        _evaluate(setting, name, split="trian")
    task = setting.tasks[name]
    table = next(iter(task.tables().values()))
    assert all(task.num_examples(split) > 0 for split in ("valid", "test"))
    tables = {next(iter(task.tables())): table.filter(pa.compute.not_equal(table["split"], "test"))}
    empty = type(task).from_tables(name, tables, task.settings(), Path())
    with pytest.raises(InputError, match="split 'test' has no examples"):
        _evaluate(setting, name, task=empty)


def test_protocol_is_one_line(setting: Any) -> None:
    for task in setting.tasks.values():
        assert "\n" not in task.protocol
        assert len(task.protocol) > 30
    assert "mask=train+seen" in setting.tasks["recommend"].protocol


def test_changed_or_missing_files_are_refused(setting: Any, tmp_path: Path) -> None:
    setting.tasks["links"].save(tmp_path / "links")
    with pytest.raises(InputError, match="expected a task of kind 'node_classification', got 'link_prediction'"):
        NodeClassificationTask.load(tmp_path / "links")
    header = json.loads((tmp_path / "links" / "task.json").read_text())
    (tmp_path / "links" / "edges.parquet").write_bytes(b"other")
    with pytest.raises(InputError, match="changed since"):
        load_task(tmp_path / "links")
    (tmp_path / "links" / "edges.parquet").unlink()
    with pytest.raises(InputError, match="file not found"):
        load_task(tmp_path / "links")
    (tmp_path / "links" / "task.json").write_text(sealed_json(header | {"kind": "link_predictoin"}))
    with pytest.raises(InputError, match="unknown kind of task 'link_predictoin'; choose from: link_prediction"):
        load_task(tmp_path / "links")
    (tmp_path / "links" / "task.json").write_text(sealed_json(header | {"version": 2}))
    with pytest.raises(InputError, match="version 1"):
        load_task(tmp_path / "links")
    assert load_tasks(tmp_path / "nowhere") == {}


def test_integer_ids(tmp_path: Path) -> None:
    edges = pa.table({"source": [3, 1], "target": [2, 2], "relation": ["r", "r"], "split": ["test", "valid"]})
    task = LinkPredictionTask("links", edges)
    assert task.edges["source"].to_pylist() == [1, 3]
    task.save(tmp_path / "links")
    assert LinkPredictionTask.load(tmp_path / "links").edges.equals(task.edges)


def _labels(**columns: Any) -> pa.Table:
    return pa.table({"id": ["a", "b"], "label": ["x", "y"], "split": ["train", "test"]} | columns)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NodeClassificationTask("a/b", _labels()), "task name 'a/b'"),
        (lambda: NodeClassificationTask("t", _labels().drop(["split"])), "missing columns 'split'"),
        (lambda: NodeClassificationTask("t", _labels().drop(["label"])), "missing column 'label'"),
        (lambda: NodeClassificationTask("t", _labels(id=["a", "a"])), "'a'.* occurs more than once"),
        (lambda: NodeClassificationTask("t", _labels(id=["a", None])), "column 'id'.*row 1"),
        (
            lambda: NodeClassificationTask("t", _labels(split=["train", "dev"])),
            "expected train, valid, test, got 'dev'",
        ),
        (lambda: NodeClassificationTask("t", _labels(label=[1, 2])), "column 'label': expected string, got int64"),
        (lambda: NodeClassificationTask("t", _labels(label=["x", None])), "1 rows are empty"),
        (lambda: NodeClassificationTask("t", _labels(), multi_label=True), "expected list<.*string>, got string"),
        (lambda: NodeClassificationTask("t", _labels(label=[["x"], ["y"]])), "expected string, got list"),
        (
            lambda: NodeRetrievalTask(
                "t", "text", pa.table({"query": ["q", "q"], "id": ["a", "b"], "split": ["test", "valid"]})
            ),
            "more than one split: 'q'",
        ),
        (
            lambda: RecommendationTask(
                "t", "r", "user", "item", pa.table({"user": ["u"], "item": ["i"], "split": ["train"]})
            ),
            "expected seen, valid, test, got 'train'",
        ),
        (
            lambda: LinkPredictionTask(
                "t", pa.table({"source": ["a"], "target": ["b"], "relation": [1], "split": ["test"]})
            ),
            "column 'relation': expected strings, got integers",
        ),
    ],
)
def test_bad_tables_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
