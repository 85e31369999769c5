from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.testing.factories import make_graph


def _slow_ranks(setting: Any, split: str) -> list[float]:
    """Rank every held-out edge at both ends, pair by pair."""
    graph, task, table = setting.graph, setting.tasks["links"], setting.table
    vectors = torch.nn.functional.normalize(table.vectors.double(), dim=1)
    rows = task.edges.to_pylist()
    known = {frozenset(pair) for pair in graph.message_edges()[0].T.tolist()}
    at = {name: i for i, name in enumerate(graph.node_ids.values)}
    known |= {frozenset((at[row["source"]], at[row["target"]])) for row in rows}
    ranks = []
    for row in rows:
        if row["split"] != split:
            continue
        for query, answer in (("source", "target"), ("target", "source")):
            a, b = at[row[query]], at[row[answer]]
            others = [
                n
                for n in range(graph.num_nodes)
                if graph.node_type[n] == graph.node_type[b] and n != a and frozenset((a, n)) not in known
            ]
            score = vectors[others] @ vectors[a]
            value = vectors[b] @ vectors[a]
            ranks.append(1 + float((score > value).sum()))
    return ranks


@pytest.mark.parametrize("split", ["valid", "test"])
def test_ranks_equal_the_literal_protocol(setting: Any, split: str) -> None:
    ranks = setting.tasks["links"].ranks(setting.table, setting.graph, split=split)
    assert len(ranks) == 2 * setting.tasks["links"].num_examples(split)
    assert sorted(ranks.rank.tolist()) == sorted(_slow_ranks(setting, split))
    metrics = setting.tasks["links"].evaluate(setting.table, setting.graph, split=split)
    assert metrics["mrr"] == pytest.approx(float((1 / ranks.rank).mean()))


def test_chunks_change_nothing(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = setting.tasks["links"]
    whole = task.ranks(setting.table, setting.graph)
    monkeypatch.setattr("mmgraph.tasks.alignment._scores_at_once", ContextVar("scores", default=200))
    assert torch.equal(task.ranks(setting.table, setting.graph).rank, whole.rank)


def test_destroyed_features_score_chance(make_setting: Any) -> None:
    setting = make_setting(600, 4000)
    table = replace(setting.table, vectors=torch.randn(600, 8))
    metrics = setting.tasks["links"].evaluate(table, setting.graph)
    count = 2 * setting.tasks["links"].num_examples("test")
    assert abs(metrics["amri"]) < 4 * (1 / 3 / count) ** 0.5  # the rank is uniform: deviation 1 / sqrt(3) per edge
    assert metrics["hits@10"] == pytest.approx(10 / 440, abs=4 * (10 / 440 / count) ** 0.5)


def _chain(relations: dict[str, Relation]) -> MultimodalGraph:
    graph = make_graph(8, 0, missing=0)
    return replace(graph, node_types=("item",), node_type=torch.zeros(8, dtype=torch.int64), relations=relations)


def _edges(*rows: tuple[str, str, str]) -> pa.Table:
    return pa.Table.from_pylist([{"source": a, "target": b, "relation": "r", "split": split} for a, b, split in rows])


def test_known_neighbours_in_other_relations_and_directions_are_no_candidates() -> None:
    # Node 0 points like 1, 2, 3 and the positive 4; all of 1, 2, 3 are known in some way, so 4 is first.
    graph = _chain(
        {
            "r": Relation(torch.tensor([[0], [1]]), "item", "item"),
            "s": Relation(torch.tensor([[2], [0]]), "item", "item"),
        }
    )
    vectors = -torch.ones(8, 2)
    vectors[[0, 1, 2, 3]] = torch.tensor([1.0, 0.0])
    vectors[4] = torch.tensor([1.0, 0.2])
    table = EmbeddingTable.for_graph(graph, vectors, model="m")
    task = LinkPredictionTask("links", _edges(("n0000", "n0004", "test"), ("n0003", "n0000", "valid")))
    ranks = task.ranks(table, graph)
    # From 4, nodes 1, 2 and 3 tie with 0 and are unknown to it.
    assert sorted(ranks.rank.tolist()) == [1.0, 1 + 3 / 2]


@pytest.mark.parametrize("pair", [("n0000", "n0001"), ("n0001", "n0000")])
def test_held_out_pairs_in_the_graph_are_a_leak(pair: tuple[str, str]) -> None:
    graph = _chain({"other": Relation(torch.tensor([[0], [1]]), "item", "item")})
    table = EmbeddingTable.for_graph(graph, torch.randn(8, 4), model="m")
    with pytest.raises(InputError, match="1 held-out pairs are edges of graph 'toy', first: 'n000"):
        LinkPredictionTask("links", _edges((*pair, "test"))).evaluate(table, graph)


def test_pairs_in_valid_and_test_are_refused() -> None:
    graph = _chain({})
    table = EmbeddingTable.for_graph(graph, torch.randn(8, 4), model="m")
    task = LinkPredictionTask("links", _edges(("n0000", "n0001", "test"), ("n0001", "n0000", "valid")))
    with pytest.raises(InputError, match="1 pairs occur in both valid and test"):
        task.evaluate(table, graph)


def test_integer_ids_work() -> None:
    graph = replace(_chain({}), node_ids=NodeIds(range(10, 18)))
    table = EmbeddingTable.for_graph(graph, torch.eye(8), model="m")
    edges = pa.table({"source": [17], "target": [10], "relation": ["r"], "split": ["test"]})
    metrics = LinkPredictionTask("links", edges).evaluate(table, graph)
    assert metrics["mrr"] == pytest.approx(1 / 4)  # all cosines are 0: rank 1 + 6 / 2
    assert metrics["tie_rate"] == 1.0
