"""What objects look like in a notebook."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.finetuning.finetune import FinetuneRun
from mmgraph.inference.table import EmbeddingTable
from mmgraph.notebook import html_table
from mmgraph.testing.factories import make_graph, make_raw_graph
from mmgraph.training.config import PretrainConfig
from mmgraph.training.pretrain import pretrain

EVIL = "<script>alert(1)</script> & <b>"


class Reader(HTMLParser):
    """Tags in order, and rows of cells as text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def evil_table(count: int = 30) -> EmbeddingTable:
    ids = np.array([f"{EVIL}{i}" for i in range(count)], dtype=object)
    columns = pa.table({"name": [EVIL] * count, "year": list(range(1990, 1990 + count))})
    node_type = torch.zeros(count, dtype=torch.int64)
    vectors = torch.randn(count, 6, generator=torch.Generator().manual_seed(0))
    return EmbeddingTable(NodeIds(ids), vectors, (EVIL,), node_type, EVIL, "model", columns)


def test_a_table_shows_its_first_rows_escaped() -> None:
    page = Reader(evil_table()._repr_html_())
    assert {"script", "b"} & set(page.tags) == set()
    assert page.rows[0] == ["id", "type", "name", "year", "vector"]
    assert page.rows[1][:4] == [f"{EVIL}0", EVIL, EVIL, "1990"]
    assert len(page.rows) == 1 + 5 + 1
    assert page.rows[-1] == ["and 25 more"]


def test_a_table_with_one_node_or_on_few_rows() -> None:
    assert len(Reader(evil_table(1)._repr_html_()).rows) == 2


def test_hits_are_shown_with_rank_and_score() -> None:
    table = evil_table()
    page = Reader(table.search(table.vectors[:2], k=3)._repr_html_())
    assert page.rows[0][:4] == ["query", "rank", "id", "type"]
    assert [row[:2] for row in page.rows[1:]] == [[str(q), str(r)] for q in (0, 1) for r in (1, 2, 3)]
    assert page.rows[1][page.rows[0].index("score")] == "1"
    assert "script" not in page.tags


def test_graphs_are_shown_in_numbers(tmp_path: Path) -> None:
    graph = make_graph(num_nodes=1200)
    summary, page = graph.summary(), Reader(graph._repr_html_())
    rows = [tuple(row) for row in page.rows[1:]]
    assert rows[: len(graph.node_types)] == [("nodes", n, f"{c:,}") for n, c in summary["node_types"].items()]
    assert {("edges", n, f"{r.num_edges:,}") for n, r in graph.relations.items()} <= set(rows)
    raw = make_raw_graph(tmp_path, 40, 80)
    present = sum(item is not None for item in raw.content["text"])
    assert ["modality", "text", str(present)] in Reader(raw._repr_html_()).rows


def test_runs_show_settings_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))
    run = pretrain([make_graph()], PretrainConfig(steps=2, device="cpu"), out=tmp_path / "run")
    rows = dict(row for row in Reader(run._repr_html_()).rows if len(row) == 2)
    assert rows["steps"] == "2"
    assert float(rows["last loss"]) > 0
    result = {"task": EVIL, "best_step": 20, "steps": 60, "valid": {"mrr": 0.25}, "test": {"mrr": 0.125, "hits": 1.0}}
    page = Reader(FinetuneRun(tmp_path, run.encoder, result)._repr_html_())
    assert page.rows[1:] == [["mrr", "0.25", "0.125"], ["hits", "", "1"]]
    assert "script" not in page.tags


def test_long_cells_and_many_rows_are_cut_and_said_so() -> None:
    page = Reader(html_table("c", ["a"], ([f"{'x' * 500}{i}"] for i in range(1000)), total=1000))
    assert len(page.rows) == 1 + 20 + 1
    assert page.rows[-1] == ["and 980 more"]
    assert all(len(row[0]) <= 80 for row in page.rows[1:-1])
    cells = Reader(html_table("c", ["a"], [[None], [float("nan")], [True], [np.float32(0.5)], [1234]])).rows[1:]
    assert cells == [[""], [""], ["True"], ["0.5"], ["1234"]]
