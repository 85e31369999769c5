"""What holds for every recommender: it learns, repeats, never sees the test, ranks new items, and refuses bad input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.recommenders.blend import ItemScores
from mmgraph.recommenders.fit import RECOMMENDERS, fit_recommender
from mmgraph.recommenders.interactions import Interactions
from mmgraph.recommenders.judge import Judge, JudgeByKind
from mmgraph.synthetic.user_item import UserItemGraph
from mmgraph.tasks.recommendation import RecommendationTask, ScoreFunction, user_item_edges

QUICK: dict[str, dict[str, Any]] = {
    "bpr-mf": {"dim": 16, "epochs": 15, "learning_rate": 0.03, "batch_size": 512},
    "lightgcn": {"dim": 16, "epochs": 15, "learning_rate": 0.03, "batch_size": 512},
    "vbpr": {"dim": 16, "epochs": 15, "learning_rate": 0.03, "batch_size": 512},
    "freedom": {"dim": 16, "epochs": 15, "learning_rate": 0.03, "batch_size": 512},
    "gated": {"dim": 16, "epochs": 8, "learning_rate": 0.02, "check_every": 4},
}
LEARNERS = [name for name in RECOMMENDERS if name != "popularity"]


def fit(name: str, graph: MultimodalGraph, task: RecommendationTask, seed: int = 0) -> ScoreFunction:
    return fit_recommender(name, graph, task, seed=seed, config=RECOMMENDERS[name].config(**QUICK.get(name, {})))


def all_scores(score: ScoreFunction, graph: MultimodalGraph) -> Tensor:
    return score(graph.nodes_of_type("user"), graph.nodes_of_type("item"))


@pytest.mark.parametrize("name", LEARNERS)
def test_tastes_are_learnt_better_than_popularity(name: str, tastes: UserItemGraph, task: RecommendationTask) -> None:
    popular = task.evaluate_scores(fit("popularity", tastes.graph, task), tastes.graph)
    metrics = task.evaluate_scores(fit(name, tastes.graph, task), tastes.graph)
    assert metrics["ndcg@10"] > 1.3 * popular["ndcg@10"]
    assert metrics["coverage"] > popular["coverage"]


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_seeds_repeat_and_the_test_changes_nothing(name: str, tastes: UserItemGraph, task: RecommendationTask) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = all_scores(fit(name, tastes.graph, task), tastes.graph)
    assert torch.equal(torch.get_rng_state(), before)
    rows = task.interactions.to_pandas()
    is_test = (rows["split"] == "test").to_numpy()
    rows.loc[is_test, "item"] = rows.loc[is_test, "item"].to_numpy()[::-1].copy()
    rows = rows.drop_duplicates(["user", "item"])
    permuted = RecommendationTask("recommend", "interacted", "user", "item", pa.Table.from_pandas(rows))
    torch.manual_seed(2)
    assert torch.equal(all_scores(fit(name, tastes.graph, permuted), tastes.graph), first)


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_new_items_are_rankable(name: str, tastes: UserItemGraph, task: RecommendationTask) -> None:
    scores = all_scores(fit(name, tastes.graph, task), tastes.graph)
    items = tastes.graph.nodes_of_type("item")
    assert scores.shape == (150, 80)
    assert scores.dtype == torch.float32
    assert bool(torch.isfinite(scores).all())
    assert bool(torch.isin(tastes.truth.cold, items).all())


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_the_order_of_nodes_and_edges_does_not_matter(
    name: str, tastes: UserItemGraph, task: RecommendationTask
) -> None:
    graph = tastes.graph
    shuffled = graph.subgraph(torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(0)))
    there = {node: place for place, node in enumerate(shuffled.node_ids.values.tolist())}
    users, items = graph.nodes_of_type("user")[:20], graph.nodes_of_type("item")
    moved = [torch.tensor([there[node] for node in graph.node_ids[side.numpy()].tolist()]) for side in (users, items)]
    here = fit(name, graph, task)(users, items)
    assert torch.allclose(fit(name, shuffled, task)(*moved), here, atol=1e-4)


def test_a_swapped_column_is_refused(tastes: UserItemGraph, task: RecommendationTask) -> None:
    table = task.interactions
    swapped = pa.table({"user": table["item"], "item": table["user"], "split": table["split"]})
    wrong = RecommendationTask("recommend", "interacted", "user", "item", swapped)
    with pytest.raises(InputError, match=r"^task 'recommend', column 'user': expected nodes of type 'user', got \d+$"):
        fit("ease", tastes.graph, wrong)
    score = fit("ease", tastes.graph, task)
    users, items = tastes.graph.nodes_of_type("user"), tastes.graph.nodes_of_type("item")
    with pytest.raises(InputError, match=r"^task 'recommend': expected nodes of type 'user', got"):
        score(items, users)
    unknown = pa.table({"user": [-5], "item": [table["item"][0].as_py()], "split": ["valid"]})
    with pytest.raises(InputError, match=r"column 'user'.*-5"):
        fit("ease", tastes.graph, RecommendationTask("recommend", "interacted", "user", "item", unknown))


def test_wrong_names_settings_and_empty_graphs_are_refused(tastes: UserItemGraph, task: RecommendationTask) -> None:
    with pytest.raises(InputError, match=r"^unknown recommender 'eese'; choose from: ease"):
        fit_recommender("eese", tastes.graph, task)
    with pytest.raises(InputError, match=r"^recommender 'ease': expected EASEConfig, got BPRConfig$"):
        fit_recommender("ease", tastes.graph, task, config=RECOMMENDERS["bpr-mf"].config())
    relation = tastes.graph.relations["interacted"]
    empty = replace(tastes.graph, relations={"interacted": relation.take(torch.zeros(relation.num_edges).bool())})
    with pytest.raises(InputError, match=r"has no edges 'interacted' to train on$"):
        fit_recommender("ease", empty, task)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("ease", {"l2": 0.0}), ("als", {"dim": 0}), ("bpr-mf", {"patience": 0}), ("lightgcn", {"num_layers": -1})],
)
def test_wrong_settings_are_refused(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        RECOMMENDERS[name].config(**changes)


def test_the_judge_counts_as_the_task_does(tastes: UserItemGraph, task: RecommendationTask) -> None:
    score: Any = RECOMMENDERS["ease"].fit(Interactions.of(tastes.graph, task), RECOMMENDERS["ease"].config(), seed=0)
    rows = task.interactions.to_pylist()
    seen = [{**row, "split": "seen"} for row in rows[::7] if row["split"] == "valid"]
    kept = [row for row in rows if (row["user"], row["item"]) not in {(s["user"], s["item"]) for s in seen}]
    other = RecommendationTask("r", "interacted", "user", "item", pa.Table.from_pylist(kept + seen))
    for asked in (task, other):
        judge = Judge(Interactions.of(tastes.graph, asked))
        expected = asked.evaluate_scores(score, tastes.graph, split="valid")["ndcg@10"]
        assert judge(score) == pytest.approx(expected, abs=1e-12)


def test_interactions_are_those_of_the_graph(tastes: UserItemGraph, task: RecommendationTask) -> None:
    data = Interactions.of(tastes.graph, task)
    assert set(data.task.interactions["split"].to_pylist()) == {"valid"}
    edges = user_item_edges(tastes.graph, "interacted", "user", "item")
    there = torch.stack([data.users[data.pairs[0]], data.items[data.pairs[1]]])
    assert {tuple(p) for p in there.T.tolist()} == {tuple(p) for p in edges.T.tolist()}
    rows = data.rows(torch.tensor([3, 0]))
    assert torch.nonzero(rows[0]).flatten().tolist() == data.history(3).tolist()
    assert float(rows[1].sum()) == float(data.user_degree[0])


def test_the_judge_by_kind_ranks_new_and_known_items_apart(tastes: UserItemGraph, task: RecommendationTask) -> None:
    data = Interactions.of(tastes.graph, task)
    new = data.item_degree == 0
    rows = task.interactions.filter(pc.equal(task.interactions["split"], "valid"))
    assert bool(new[data.number_items(positions(tastes, rows["item"]))].any())
    noise = torch.randn(data.num_items, generator=torch.Generator().manual_seed(0))
    judges = JudgeByKind(data), Judge(data)
    before, after = (ItemScores(data, noise + shift * new) for shift in (0.0, 100.0))
    assert judges[0](before) == pytest.approx(judges[0](after), abs=1e-12)  # how the kinds mix is not judged
    assert judges[1](before) != pytest.approx(judges[1](after), abs=1e-3)


def positions(tastes: UserItemGraph, ids: pa.ChunkedArray) -> Tensor:
    return torch.from_numpy(tastes.graph.node_ids.positions(ids, where="test"))
