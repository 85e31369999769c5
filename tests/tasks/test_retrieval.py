from __future__ import annotations

import math
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.retrieval import NodeRetrievalTask

GRAPH = MultimodalGraph(
    "shapes", NodeIds(["a", "b", "c", "d", "e", "u"]), ("item", "user"), torch.tensor([0, 0, 0, 0, 0, 1])
)
TABLE = EmbeddingTable.for_graph(
    GRAPH, torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.3], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]]), model="m"
)


def _task(*rows: tuple[str, str], modality: str = "text", root: Path | None = None) -> NodeRetrievalTask:
    queries = pa.Table.from_pylist([{"query": q, "id": i, "split": "test"} for q, i in rows])
    return NodeRetrievalTask("queries", modality, queries, root)


def _encode(queries: Sequence[str]) -> Tensor:
    vectors = {"right": [2.0, 0.0], "up": [0.0, 0.5], "left": [-1.0, 0.0]}
    return torch.tensor([vectors[query] for query in queries])


def test_metrics_by_hand() -> None:
    # right: a, b, c, d, e; up: d, c, b, then a and e tied; the user is no candidate.
    task = _task(("right", "a"), ("right", "c"), ("up", "e"), ("left", "d"))
    metrics = task.evaluate(TABLE, GRAPH, encode_query=_encode)
    assert metrics["recall@1"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert metrics["recall@5"] == 1.0
    assert metrics["hit@1"] == pytest.approx(1 / 3)
    # right: a at 1, c at 3, ideal ranks 1 and 2; up: e at 4.5; left: d at 2
    right = (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert metrics["ndcg@10"] == pytest.approx((right + 1 / math.log2(5.5) + 1 / math.log2(3)) / 3)
    # ranks of the best relevant node: 1; 4.5 (tied with a); 2 (after e)
    assert metrics["mrr"] == pytest.approx((1 + 1 / 4.5 + 1 / 2) / 3)
    assert metrics["median_rank"] == pytest.approx(2.0)
    assert metrics["tie_rate"] == pytest.approx(1 / 4)
    assert task.num_examples("test") == 3


def test_metrics_of_single_queries_have_the_means() -> None:
    task = _task(("right", "a"), ("right", "c"), ("up", "e"), ("left", "d"))
    rows = task.evaluate_queries(TABLE, GRAPH, encode_query=_encode)
    assert rows["query"].to_pylist() == ["left", "right", "up"]
    assert rows["best_rank"].to_pylist() == [2.0, 1.0, 4.5]
    assert rows["recall@1"].to_pylist() == [0.0, 0.5, 0.0]
    means = task.evaluate(TABLE, GRAPH, encode_query=_encode)
    for name in ("recall@1", "recall@5", "recall@10", "ndcg@10", "hit@1", "mrr"):
        assert sum(rows[name].to_pylist()) / 3 == pytest.approx(means[name])


def test_order_of_queries_and_chunks_do_not_matter(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = setting.tasks["queries"]
    whole = task.evaluate(setting.table, setting.graph, encode_query=setting.encode_query)
    monkeypatch.setattr("mmgraph.tasks.alignment._scores_at_once", ContextVar("scores", default=700))
    assert task.evaluate(setting.table, setting.graph, encode_query=setting.encode_query) == whole


def test_random_queries_score_chance(make_setting: Any) -> None:
    setting = make_setting(600, 2000)
    items = setting.graph.node_ids.values[setting.graph.nodes_of_type("item").numpy()]
    rows = [{"query": f"q{i}", "id": item, "split": "test"} for i, item in enumerate(items)]
    task = NodeRetrievalTask("q", "text", pa.Table.from_pylist(rows))
    metrics = task.evaluate(setting.table, setting.graph, encode_query=lambda queries: torch.randn(len(queries), 16))
    n = len(items)
    expected = sum(1 / r for r in range(1, n + 1)) / n
    spread = math.sqrt(sum(1 / r**2 for r in range(1, n + 1)) / n / n)
    assert metrics["mrr"] == pytest.approx(expected, abs=4 * spread)
    assert metrics["median_rank"] == pytest.approx(n / 2, rel=0.2)


def test_images_are_relative_to_the_dataset(tmp_path: Path) -> None:
    asked: list[str] = []

    def encode(queries: Sequence[str]) -> Tensor:
        asked.extend(queries)
        return torch.ones(len(queries), 2)

    _task(("images/x.png", "a"), ("/y.png", "b"), modality="image").save(tmp_path / "tasks" / "queries")
    task = NodeRetrievalTask.load(tmp_path / "tasks" / "queries")
    task.evaluate(TABLE, GRAPH, encode_query=encode)
    assert asked == ["/y.png", str(tmp_path / "images" / "x.png")]


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (None, "needs a query encoder"),
        (lambda queries: torch.ones(len(queries), 3), r"must be \[1, 2\], got \[1, 3\]"),
        (lambda queries: torch.zeros(len(queries), 2), "1 queries became zero, NaN or infinite vectors: 'right'"),
        (lambda queries: torch.full((len(queries), 2), math.nan), "zero, NaN or infinite"),
    ],
)
def test_bad_query_encoders_are_refused(encode: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _task(("right", "a")).evaluate(TABLE, GRAPH, encode_query=encode)
