from __future__ import annotations

import pyarrow as pa
import pytest
import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.metrics.ranking import ranking_metrics
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.link_scores import rank_links


def test_a_cosine_gives_what_the_task_gives(setting) -> None:
    task, vectors = setting.tasks["links"], torch.nn.functional.normalize(setting.table.vectors, dim=1)

    def cosine(queries: Tensor, relation: str, reverse: bool, candidates: Tensor) -> Tensor:
        return vectors[queries] @ vectors[candidates].t()

    found = rank_links(task, cosine, setting.graph)
    expected = task.evaluate(setting.table, setting.graph)
    assert ranking_metrics(found.ranks) == pytest.approx(expected)
    report = found.report().to_pylist()
    for group in ("relation", "degree"):
        rows = [row for row in report if row["group"] == group]
        assert sum(row["count"] for row in rows) == len(found.ranks)
        mean = sum(row["count"] * row["mrr"] for row in rows) / len(found.ranks)
        assert mean == pytest.approx(expected["mrr"])


def test_relation_and_direction_reach_the_score(setting) -> None:
    task = setting.tasks["links"]
    asked: set[tuple[str, bool]] = set()
    edges = {side: task.edges[side].to_pylist() for side in ("source", "target")}
    pairs = set(zip(edges["source"], edges["target"], strict=True))
    ids = setting.graph.node_ids

    def knows(queries: Tensor, relation: str, reverse: bool, candidates: Tensor) -> Tensor:
        asked.add((relation, reverse))
        names = ids[queries.numpy()].tolist(), ids[candidates.numpy()].tolist()
        rows = [[((c, q) if reverse else (q, c)) in pairs for c in names[1]] for q in names[0]]
        return torch.tensor(rows).float()

    assert ranking_metrics(rank_links(task, knows, setting.graph).ranks)["mrr"] == 1.0
    assert asked == {(name, reverse) for name in set(task.edges["relation"].to_pylist()) for reverse in (False, True)}


@pytest.mark.parametrize("pairs_at_once", [1, 5, 64])
def test_fixed_negatives_are_all_that_a_target_is_ranked_among(setting, monkeypatch, pairs_at_once: int) -> None:
    monkeypatch.setattr("mmgraph.tasks.link_scores.PAIRS_AT_ONCE", pairs_at_once)
    task, vectors = setting.tasks["links"], torch.nn.functional.normalize(setting.table.vectors, dim=1)
    ids = setting.graph.node_ids.values.tolist()
    targets = task.edges["target"].to_pylist()
    lists = [[node for node in ids[i % 7 : 60 + i % 7] if node != target] for i, target in enumerate(targets)]
    fixed = LinkPredictionTask("fixed", task.edges.append_column("negatives", pa.array(lists)))

    def cosine(queries: Tensor, relation: str, reverse: bool, candidates: Tensor) -> Tensor:
        assert not reverse
        return vectors[queries] @ vectors[candidates].t()

    found = rank_links(fixed, cosine, setting.graph)
    assert ranking_metrics(found.ranks) == pytest.approx(fixed.evaluate(setting.table, setting.graph))
    assert len(found.ranks) == fixed.num_examples("test") == len(found.relation) == len(found.degree)


def test_a_split_must_exist(setting) -> None:
    with pytest.raises(InputError, match="unknown split"):
        rank_links(setting.tasks["links"], lambda *_: torch.zeros(1, 1), setting.graph, split="train")
