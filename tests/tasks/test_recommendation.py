from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.splits.interactions import split_leave_last_out
from mmgraph.splits.message import message_graph
from mmgraph.tasks.controls import item_knn, popularity
from mmgraph.tasks.from_split import task_from_split
from mmgraph.tasks.recommendation import RecommendationTask, user_item_edges


def _shop(liked: dict[str, list[str]], items: list[str], flip: bool = False) -> MultimodalGraph:
    users = list(liked)
    ids = users + items
    edges = (
        torch.tensor([[ids.index(u), ids.index(i)] for u in liked for i in liked[u]], dtype=torch.int64).view(-1, 2).T
    )
    ends = ("item", "user") if flip else ("user", "item")
    relation = Relation(edges.flip(0) if flip else edges, *ends)
    node_type = torch.tensor([1] * len(users) + [0] * len(items))
    return MultimodalGraph("shop", NodeIds(ids), ("item", "user"), node_type, {"likes": relation})


def _task(*rows: tuple[str, str, str]) -> RecommendationTask:
    table = pa.Table.from_pylist([{"user": u, "item": i, "split": s} for u, i, s in rows])
    return RecommendationTask("recommend", "likes", "user", "item", table)


ITEMS = ["i0", "i1", "i2", "i3", "i4"]


def _fixed(*scores: float) -> Any:
    return lambda users, items: torch.tensor([scores]).expand(users.numel(), -1)


@pytest.mark.parametrize("flip", [False, True])
def test_five_items_by_hand(flip: bool) -> None:
    # u0 liked i0; saw i1; valid i2; test i3. Scores fall with the number of the item.
    graph = _shop({"u0": ["i0"], "u1": ["i4"]}, ITEMS, flip)
    task = _task(("u0", "i1", "seen"), ("u0", "i2", "valid"), ("u0", "i3", "test"))
    scorer = _fixed(5.0, 4.0, 3.0, 2.0, 1.0)
    assert task.num_examples("test") == 1  # u1 has no positive and does not count
    test = task.evaluate_scores(scorer, graph)
    assert test["ndcg@10"] == 1.0  # train, seen and valid are masked, only i4 is left
    assert test["coverage"] == 2 / 5
    valid = task.evaluate_scores(scorer, graph, split="valid")
    assert valid["ndcg@10"] == 1.0  # test is not masked at valid, but ranks below
    worst = task.evaluate_scores(_fixed(1.0, 2.0, 3.0, 4.0, 5.0), graph, split="valid")
    assert worst["ndcg@10"] == pytest.approx(1 / np.log2(4))  # i4 and i3 come first
    assert worst["recall@10"] == worst["hit@10"] == 1.0


def test_lists_as_a_whole_by_hand() -> None:
    # i0 has two of four users although u1 came back to it, i1 one, i2 one. The lists: u0 i1 i2 i3, u1 the same, u2 i0 i1 i3.
    graph = _shop({"u0": ["i0"], "u1": ["i0", "i0", "i4"], "u2": ["i2", "i4"], "u3": ["i1"]}, ITEMS)
    task = _task(("u0", "i4", "seen"), ("u0", "i3", "test"), ("u1", "i3", "test"), ("u2", "i3", "test"))
    found = task.evaluate_scores(_fixed(5.0, 4.0, 3.0, 2.0, 1.0), graph)
    popularity = {"i0": 2, "i1": 1, "i2": 1, "i3": 1, "i4": 2}  # i3 has no user and counts as one in novelty
    lists = [["i1", "i2", "i3"], ["i1", "i2", "i3"], ["i0", "i1", "i3"]]
    bits = [np.mean([-np.log2(popularity[item] / 4) for item in one]) for one in lists]
    assert found["novelty"] == pytest.approx(np.mean(bits))
    recommended = np.mean([2 / 3, 2 / 3, 3 / 3])  # with popularity 0 for i3
    chosen = np.mean([2, (2 + 2) / 2, (1 + 2) / 2])
    assert found["popularity_ratio"] == pytest.approx(recommended / chosen)
    counts = np.array([0, 1, 2, 3, 3])  # i4, i0, i2, i1, i3
    assert found["exposure_gini"] == pytest.approx(((2 * np.arange(1, 6) - 6) * counts).sum() / (5 * counts.sum()))
    assert found["coverage"] == 4 / 5


def _slow(setting: Any, split: str, k: int) -> dict[str, float]:
    graph, task, table = setting.graph, setting.tasks["recommend"], setting.table
    vectors = torch.nn.functional.normalize(table.vectors.double(), dim=1)
    at = {name: i for i, name in enumerate(graph.node_ids.values)}
    train = {tuple(pair) for pair in graph.relations["likes"].edge_index.T.tolist()}
    rows = [(at[r["user"]], at[r["item"]], r["split"]) for r in task.interactions.to_pylist()]
    recall, ndcg, listed = [], [], set()
    items = graph.nodes_of_type("item").tolist()
    for user in sorted({u for u, _, s in rows if s == split}):
        positives = {i for u, i, s in rows if u == user and s == split}
        hidden = {i for u, i in train if u == user} | {i for u, i, s in rows if u == user and s == "valid" != split}
        ranked = sorted((i for i in items if i not in hidden), key=lambda i: -float(vectors[i] @ vectors[user]))[:k]
        hits = [place for place, i in enumerate(ranked, 1) if i in positives]
        recall.append(len(hits) / len(positives))
        ideal = sum(1 / np.log2(r + 1) for r in range(1, min(len(positives), k) + 1))
        ndcg.append(sum(1 / np.log2(r + 1) for r in hits) / ideal)
        listed |= set(ranked[:10])
    return {
        f"recall@{k}": float(np.mean(recall)),
        f"ndcg@{k}": float(np.mean(ndcg)),
        "coverage": len(listed) / len(items),
    }


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize("k", [10, 20])
def test_metrics_equal_the_literal_protocol(setting: Any, split: str, k: int) -> None:
    ours = setting.tasks["recommend"].evaluate(setting.table, setting.graph, split=split)
    expected = _slow(setting, split, k)
    assert {name: ours[name] for name in expected} == pytest.approx(expected)


def test_chunks_change_nothing(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = setting.tasks["recommend"]
    whole = task.evaluate(setting.table, setting.graph)
    monkeypatch.setattr("mmgraph.tasks.alignment._scores_at_once", ContextVar("scores", default=400))
    assert task.evaluate(setting.table, setting.graph) == whole


def test_destroyed_features_score_chance(make_setting: Any) -> None:
    setting = make_setting(600, 4000)
    table = replace(setting.table, vectors=torch.randn(600, 8))
    metrics = setting.tasks["recommend"].evaluate(table, setting.graph)
    # About 443 candidates are left per user; the exact number differs by a few masked items.
    positives = sum(split == "test" for split in setting.tasks["recommend"].interactions["split"].to_pylist())
    assert metrics["recall@20"] == pytest.approx(20 / 443, abs=5 * (20 / 443 / positives) ** 0.5)


def test_popularity_and_item_knn() -> None:
    graph = _shop({"u0": ["i0"], "u1": ["i0", "i1"], "u2": ["i0", "i1"], "u3": ["i2", "i3"], "u4": ["i2"]}, ITEMS)
    task = _task(("u0", "i1", "test"), ("u4", "i3", "test"))
    items, users = torch.arange(5, 10), torch.tensor([0, 4])
    assert popularity(graph, task)(users, items).tolist() == [[3, 2, 2, 1, 0]] * 2
    scores = item_knn(graph, task, shrink=0)(users, items)
    expected = torch.zeros(2, 5)
    expected[0, 1] = 2 / (3 * 2) ** 0.5  # i0 and i1 share two users
    expected[1, 3] = 1 / (2 * 1) ** 0.5
    assert torch.allclose(scores, expected)
    knn = task.evaluate_scores(item_knn(graph, task), graph)
    assert knn["ndcg@10"] == 1.0
    assert task.evaluate_scores(popularity(graph, task), graph)["ndcg@10"] < 1.0


def test_item_knn_keeps_the_most_similar_items_only() -> None:
    graph = _shop({"u0": ["i0"], "u1": ["i0", "i1"], "u2": ["i0", "i1"], "u3": ["i0", "i2"]}, ITEMS)
    task = _task(("u0", "i1", "test"))
    scores = item_knn(graph, task, num_neighbors=1)(torch.tensor([0]), torch.arange(4, 9))
    assert (scores > 0).tolist() == [[False, True, False, False, False]]


def test_leaks_and_wrong_types_are_refused() -> None:
    graph = _shop({"u0": ["i0"], "u1": ["i4"]}, ITEMS)
    table = EmbeddingTable.for_graph(graph, torch.randn(7, 4), model="m")
    with pytest.raises(InputError, match="1 held-out pairs are edges of graph 'shop', first: 'u0' - 'i0'"):
        _task(("u0", "i0", "test")).evaluate(table, graph)
    with pytest.raises(InputError, match="column 'user': expected nodes of type 'user', got 'i1'"):
        _task(("i1", "u0", "test")).evaluate(table, graph)
    interactions = _task(("u0", "i1", "test")).interactions
    with pytest.raises(InputError, match="unknown relation 'buys'; choose from: likes"):
        RecommendationTask("r", "buys", "user", "item", interactions).evaluate(table, graph)
    with pytest.raises(InputError, match="expected 'customer' and 'item', got 'user' and 'item'"):
        RecommendationTask("r", "likes", "customer", "item", interactions).evaluate(table, graph)
    with pytest.raises(InputError, match=r"scores must be \[1, 5\], got \[1, 3\]"):
        _task(("u0", "i1", "test")).evaluate_scores(_fixed(1.0, 2.0, 3.0), graph)
    with pytest.raises(InputError, match="NaN"):
        _task(("u0", "i1", "test")).evaluate_scores(_fixed(1.0, 2.0, float("nan"), 1.0, 1.0), graph)


def test_ranks_are_those_that_the_metrics_are_made_of(setting: Any) -> None:
    task = setting.tasks["recommend"]
    ranks = task.ranks(setting.table, setting.graph, split="valid")
    rows = [row for row in task.interactions.to_pylist() if row["split"] == "valid"]
    assert len(ranks) == len(rows)
    hit = sum(rank <= 10 for rank in ranks.rank.tolist()) / len({row["user"] for row in rows})
    counts = [sum(other["user"] == row["user"] for other in rows) for row in rows]
    by_user = sorted(zip([row["user"] for row in rows], counts, strict=True))
    recall = sum(
        float(rank <= 10) / count for rank, (_, count) in zip(ranks.rank.tolist(), by_user, strict=True)
    ) / len({row["user"] for row in rows})
    metrics = task.evaluate(setting.table, setting.graph, split="valid")
    assert metrics["recall@10"] == pytest.approx(recall)
    assert hit >= recall
    items = setting.graph.nodes_of_type("item").numel()
    assert 0 < int(ranks.num_candidates.min()) <= int(ranks.num_candidates.max()) <= items


def test_warm_and_cold_items_are_told_apart() -> None:
    # Twelve items i00..i11; i00 and i11 have no edge. Scores fall with the number, so i11 comes last, at rank 12.
    items = [f"i{n:02d}" for n in range(12)]
    graph = _shop({"u0": [], "u1": items[1:11]}, items)
    scorer = _fixed(*(float(-n) for n in range(12)))
    task = _task(("u0", "i00", "test"), ("u0", "i01", "test"), ("u0", "i11", "test"), ("u0", "i02", "valid"))
    metrics = task.evaluate_scores(scorer, graph)
    assert metrics["recall@10"] == pytest.approx(2 / 3)
    assert metrics["recall@10/warm"] == 1.0
    assert metrics["recall@10/cold"] == 0.5  # i00 is first, i11 last
    assert metrics["recall@20/cold"] == 1.0
    only_warm = task.evaluate_scores(scorer, graph, split="valid")
    assert not [name for name in only_warm if "/" in name]
    only_cold = _task(("u0", "i00", "test"), ("u0", "i11", "test")).evaluate_scores(scorer, graph)
    assert list(only_cold) == list(only_warm)
    assert only_cold["recall@10"] == 0.5


def test_a_user_without_cold_positives_does_not_count_for_them() -> None:
    graph = _shop({"u0": ["i0"], "u1": ["i1", "i2", "i3"]}, ITEMS)
    task = _task(("u0", "i4", "test"), ("u0", "i1", "test"), ("u1", "i0", "test"))
    metrics = task.evaluate_scores(_fixed(5.0, 4.0, 3.0, 2.0, 1.0), graph)
    assert (metrics["recall@10/cold"], metrics["recall@10/warm"]) == (1.0, 1.0)


def _two_way(like: list[tuple[int, int, int]], liked_by: list[tuple[int, int, int]]) -> MultimodalGraph:
    """One user u0 (node 0) and items i1 to i4; each edge with its time, both relations the reverse of each other."""
    relations = {}
    for name, rows, ends, reverse in (
        ("like", like, ("user", "item"), "liked_by"),
        ("liked_by", liked_by, ("item", "user"), "like"),
    ):
        columns = torch.tensor(rows, dtype=torch.int64).view(-1, 3).T
        relations[name] = Relation(columns[:2], *ends, attributes={"time": columns[2]}, reverse=reverse)
    node_type = torch.tensor([1, 0, 0, 0, 0])
    return MultimodalGraph("shop", NodeIds(["u0", "i1", "i2", "i3", "i4"]), ("item", "user"), node_type, relations)


@pytest.mark.parametrize("relation", ["like", "liked_by"])
def test_what_only_the_declared_reverse_states_is_known_too(relation: str) -> None:
    graph = _two_way([(0, 1, 1), (0, 2, 9)], [(3, 0, 0)])
    split = split_leave_last_out(graph, relation, user_type="user")
    seen = message_graph(graph, split)
    task = task_from_split("recommend", split)
    assert isinstance(task, RecommendationTask)
    assert [row["item"] for row in split.part("test").to_pylist()] == ["i2"]
    assert user_item_edges(seen, relation, "user", "item").T.tolist() == [[0, 3]]
    # Of i1 to i4, i1 (valid) and i3 (train) are masked although they score best; i2 and i4 are left.
    metrics = task.evaluate_scores(_fixed(3.0, 2.0, 4.0, 1.0), seen)
    assert metrics["ndcg@10"] == 1.0
    assert metrics["coverage"] == 2 / 4


def test_an_item_that_only_the_declared_reverse_names_is_warm() -> None:
    graph = _two_way([(0, 1, 1)], [(1, 0, 1), (3, 0, 0), (3, 0, 5)])
    assert user_item_edges(graph, "like", "user", "item").tolist() == [[0, 0], [1, 3]]  # each pair once
    assert user_item_edges(graph, "liked_by", "user", "item").tolist()[1] == [1, 3, 3]  # edges of its own stay
    other = MultimodalGraph(
        "shop",
        NodeIds(["u0", "i1", "i2", "i3", "i4", "u5"]),
        ("item", "user"),
        torch.tensor([1, 0, 0, 0, 0, 1]),
        graph.relations,
    )
    rows = [{"user": "u5", "item": item, "split": "test"} for item in ("i3", "i4")]
    task = RecommendationTask("recommend", "like", "user", "item", pa.Table.from_pylist(rows))
    metrics = task.evaluate_scores(_fixed(1.0, 2.0, 3.0, 4.0), other)
    assert (metrics["recall@10/warm"], metrics["recall@10/cold"]) == (1.0, 1.0)  # i3 is warm, i4 is cold
