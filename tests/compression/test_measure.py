"""Recall of neighbours by hand, and the report of all forms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmgraph.compression.codec import Codec
from mmgraph.compression.form import Form
from mmgraph.compression.measure import FormRecord, mark_best, measure_forms
from mmgraph.compression.plot import plot_forms
from mmgraph.compression.recall import Neighbours
from mmgraph.compression.scan import CodeIndex
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.controls import smoothed_features
from mmgraph.testing.datasets import fake_encoders, make_dataset
from mmgraph.testing.factories import make_graph

Make = Callable[..., EmbeddingTable]


def angles(*degrees: float, height: float = 0.0) -> torch.Tensor:
    turned = torch.tensor([math.radians(angle) for angle in degrees])
    return torch.stack([turned.cos(), turned.sin(), torch.full_like(turned, height)], dim=1)


def recall(table: EmbeddingTable, form: str, k: int) -> list[float]:
    codec = Codec.fit(table.vectors, Form.parse(form))
    return Neighbours.of(table, k=k).recall(CodeIndex(codec, codec.encode(table.vectors))).tolist()


def test_recall_by_hand(make_table: Make) -> None:
    # In the plane the order around node 0 is 1, 2, 3. Its first column alone knows the sign of the cosine only.
    table = make_table(angles(0, 10, 25, 45, 100))
    assert recall(table, "float32", 2) == [1] * 5
    # first:1 turns the vectors into +1, +1, +1, +1, -1. Of the four candidates, those with the same sign tie, and the
    # lower rows are taken: node 0 finds 1, 2 (right: 1, 2); 1 finds 0, 2 (right); 2 finds 0, 1 (right: 1, 3);
    # 3 finds 0, 1 (right: 2, 1); node 4 has cosine -1 with all and finds 0, 1 (right: 3, 2).
    assert recall(table, "first:1", 2) == [1, 1, 0.5, 0.5, 0]


def test_any_of_equally_near_nodes_is_right(make_table: Make) -> None:
    # Nodes 1 to 4 are the same: whichever two of them are found, they are nearest.
    table = make_table(angles(0, 20, 20, 20, 20, 170))
    assert recall(table, "float32", 2)[0] == 1
    backwards = table.take(torch.tensor([5, 4, 3, 2, 1, 0]))
    assert recall(backwards, "float32", 2)[5] == 1
    same = make_table(torch.ones(8, 4))
    assert recall(same, "int8", 3) == [1] * 8


def test_a_node_is_no_neighbour_of_itself_and_k_is_at_most_the_others(make_table: Make) -> None:
    table = make_table(angles(0, 10, 50))
    neighbours = Neighbours.of(table, k=10)
    assert neighbours.k == 2
    assert recall(table, "float32", 10) == [1, 1, 1]
    with pytest.raises(InputError, match="at least 2 nodes, got 1"):
        Neighbours.of(table.take(torch.tensor([0])))
    for wrong in ({"k": 0}, {"queries": 0}):
        with pytest.raises(InputError, match="k and queries of at least 1"):
            Neighbours.of(table, **wrong)


def test_recall_grows_with_dimensions_and_bits(make_table: Make) -> None:
    report = measure_forms(
        make_table(),
        ["dims:2", "dims:4", "dims:8", "dims:16", "pq:2", "pq:8", "int8", "float16", "float32"],
        progress=False,
    )
    found = {record.form: record.recall for record in report.records}
    for ladder in (["dims:2", "dims:4", "dims:8", "dims:16"], ["pq:2", "pq:8", "int8", "float16", "float32"]):
        assert [found[form] for form in ladder] == sorted(found[form] for form in ladder)
    assert found["dims:2"] < 0.5 < found["dims:8"]
    assert found["int8"] > 0.97
    assert (found["dims:16"], found["float32"]) == (1, 1)
    assert (report.queries, report.k, report.dim) == (300, 10, 16)


def test_the_order_of_rows_changes_nothing(make_table: Make) -> None:
    table = make_table()
    shuffled = table.take(torch.randperm(300, generator=torch.Generator().manual_seed(1)))
    reports = [
        measure_forms(one, ["int8", "dims:4", "binary"], queries=50, progress=False) for one in (table, shuffled)
    ]
    assert [r.recall for r in reports[0].records] == [r.recall for r in reports[1].records]
    assert [r.bytes_per_vector for r in reports[0].records] == [16, 16, 18]
    assert reports[0].queries == 50


def record(form: str, size: int, recall: float) -> FormRecord:
    return FormRecord(form, 1, size, 0, recall, 0.0, 0.0, 0.0, False, {}, {})


def test_the_front_by_hand() -> None:
    records = [record("a", 64, 1.0), record("b", 16, 0.99), record("c", 32, 0.98), record("d", 4, 0.5)]
    records += [record("e", 16, 0.99), record("f", 16, 0.97), record("g", 128, 1.0)]
    assert [r.form for r in mark_best(records) if r.best] == ["a", "b", "d", "e"]


def test_tasks_lose_points_where_vectors_lose_direction(tmp_path: Path) -> None:
    with fake_encoders():
        folder = make_dataset(tmp_path / "toy")
    graph = make_graph(60, 240, name="toy")
    tasks = load_tasks(folder)
    del tasks["links"], tasks["recommend"]  # made from other edges than this graph has
    graph = replace(graph, node_ids=type(graph.node_ids)([f"n{i:04d}" for i in range(60)]))
    table = smoothed_features(graph)
    report = measure_forms(table, ["float32", "dims:1", "int8"], graph=graph, tasks=tasks, progress=False)
    assert set(report.tasks) == set(report.full) == {"community"}  # text queries need more than vectors
    full, one, small = report.records
    assert max(map(abs, full.loss["community"].values())) < 1e-9
    for name, value in report.full["community"].items():
        assert one.loss["community"][name] == pytest.approx(100 * (value - one.metrics["community"][name]))
    assert one.loss["community"]["accuracy"] > 10
    assert abs(small.loss["community"]["accuracy"]) < 10
    columns, rows = report.rows()
    assert columns == ["form", "bytes", "of full", "recall@10", "±", "ms/query", "best", "community accuracy", "loss"]
    assert [row[0] for row in rows] == ["float32", "dims:1", "int8"]
    assert rows[2][2] == 0.25
    assert json.loads(json.dumps(report.to_dict()))["records"][1]["form"] == "dims:1"


def test_tasks_need_their_graph_and_forms_must_fit(make_table: Make, tmp_path: Path) -> None:
    with fake_encoders():
        tasks = load_tasks(make_dataset(tmp_path / "toy"))
    with pytest.raises(InputError, match="tasks need their graph"):
        measure_forms(make_table(), tasks=tasks)
    with pytest.raises(InputError, match="at most 16 dimensions"):
        measure_forms(make_table(), ["dims:32"])
    table = make_table()
    table.vectors[5] = torch.nan
    with pytest.raises(InputError, match="'n00005'"):
        measure_forms(table, ["int8"])


def test_a_picture_is_drawn(make_table: Make, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_forms(measure_forms(make_table(), ["int8", "dims:4"], queries=20, progress=False), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
