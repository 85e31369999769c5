"""Our recommender: content for new items, exact explanations, blends and re-ranking."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.recommenders.attributes import HashedAttributes
from mmgraph.recommenders.blend import BlendedScores, ItemScores, blend
from mmgraph.recommenders.content import item_content
from mmgraph.recommenders.ease import EASEConfig, fit_ease
from mmgraph.recommenders.explain import explain
from mmgraph.recommenders.fit import fit_recommender
from mmgraph.recommenders.hybrid import GatedConfig, GatedRecommender, GatedScores
from mmgraph.recommenders.hybrid_model import Gate, MessageBuilder
from mmgraph.recommenders.interactions import FactorScores, Interactions
from mmgraph.recommenders.judge import Judge
from mmgraph.recommenders.propagation import symmetric_normalised
from mmgraph.recommenders.rerank import RerankConfig, rerank
from mmgraph.synthetic.user_item import UserItemGraph
from mmgraph.tasks.controls import raw_features
from mmgraph.tasks.recommendation import RecommendationTask

QUICK: dict[str, Any] = {"dim": 16, "epochs": 6, "learning_rate": 0.02, "check_every": 3, "num_layers": 2}


@pytest.fixture(scope="module")
def fitted(tastes: UserItemGraph, task: RecommendationTask) -> BlendedScores:
    score = fit_recommender("gated", tastes.graph, task, config=GatedConfig(**QUICK))
    assert isinstance(score, BlendedScores)
    return score


def test_new_items_are_ranked_by_their_content(tastes: UserItemGraph, task: RecommendationTask) -> None:
    # Among the items that nobody has, the network's scores go with the true tastes; chance is 0.
    score = fit_recommender("gated", tastes.graph, task, config=GatedConfig(**{**QUICK, "epochs": 15}, blend=False))
    users, cold = tastes.graph.nodes_of_type("user"), tastes.truth.cold
    assert cold.numel() == 8
    found, truth = score(users, cold).double(), tastes.truth.scores(users, cold)
    found, truth = (x - x.mean(dim=1, keepdim=True) for x in (found, truth))
    assert float(torch.nn.functional.cosine_similarity(found, truth, dim=1).mean()) > 0.3


def test_the_gate_is_shut_without_interactions_and_opens_with_them() -> None:
    gate = Gate(3)(torch.tensor([0.0, 1.0, 10.0, 1000.0]))
    assert gate[0].tolist() == [0, 0, 0]
    assert bool((gate[1:].diff(dim=0) > 0).all())
    assert float(gate.detach().max()) < 1


def test_messages_are_the_normalised_matrix(tastes: UserItemGraph, task: RecommendationTask) -> None:
    data = Interactions.of(tastes.graph, task)
    kept = torch.rand(data.pairs.size(1), generator=torch.Generator().manual_seed(0)) < 0.6
    weight = torch.rand(data.pairs.size(1), generator=torch.Generator().manual_seed(1))
    messages = MessageBuilder(data)(kept, weight)
    expected = symmetric_normalised(data.pairs[:, kept], data.num_users, data.num_items).to_dense()
    assert torch.allclose(messages.matrix.to_dense(), expected)
    assert messages.recent is not None
    recent = messages.recent.to_dense()
    assert torch.allclose(recent, recent.t())
    users, items = data.pairs[:, kept]
    assert torch.allclose((recent / expected)[users, data.num_users + items], weight[kept])


def test_the_sampled_softmax_estimates_the_full_one(tastes: UserItemGraph, task: RecommendationTask) -> None:
    data = Interactions.of(tastes.graph, task)
    content, targets = item_content(data), torch.arange(0, 400, 7)

    def loss(seed: int, **changes: Any) -> float:
        torch.manual_seed(0)
        model = GatedRecommender(data, content, GatedConfig(**QUICK, **changes))
        with torch.no_grad():
            encoded = model.network(model.builder(None, model._weights()))
            return float(model._softmax(encoded, targets, torch.Generator().manual_seed(seed)))

    full = loss(0, num_candidates=0)
    sampled = sum(loss(seed, num_candidates=60) for seed in range(30)) / 30
    biased = sum(loss(seed, num_candidates=60, correct_popularity=False) for seed in range(30)) / 30
    assert sampled == pytest.approx(full, abs=0.05)
    assert abs(biased - full) > 0.1


@pytest.mark.parametrize("changes", [{"loss": "bpr"}, {"num_candidates": 30}, {"num_rows": 0, "num_layers": 0}])
def test_other_settings_learn_too(changes: dict[str, Any], tastes: UserItemGraph, task: RecommendationTask) -> None:
    config = GatedConfig(**{**QUICK, "epochs": 15, "blend": False, **changes})
    popular = task.evaluate_scores(fit_recommender("popularity", tastes.graph, task), tastes.graph)["ndcg@10"]
    score = fit_recommender("gated", tastes.graph, task, config=config)
    assert task.evaluate_scores(score, tastes.graph)["ndcg@10"] > 1.2 * popular


def test_explanations_sum_to_the_score(fitted: BlendedScores, tastes: UserItemGraph) -> None:
    graph, data = tastes.graph, fitted.data
    # Whatever was chosen on valid: all parts at once.
    everything = BlendedScores(
        data, fitted.parts, {kind: dict.fromkeys(fitted.parts, 0.5) for kind in ("known", "new")}
    )
    assert len(everything.parts) >= 5
    for user, item in ((0, 3), (7, 50), (11, int(torch.nonzero(data.item_degree == 0)[0]))):
        nodes = data.users[user : user + 1], data.items[item : item + 1]
        ids = [graph.node_ids.values[node.numpy()].tolist()[0] for node in nodes]
        found = explain(everything, *ids)
        score = pytest.approx(float(everything(*nodes)), abs=1e-4)
        assert found.score == score
        assert sum(found.history.values()) + sum(found.user_side.values()) == score
        assert sum(found.item_side.values()) == score
        past = graph.node_ids.values[data.items[data.history(user)].numpy()].tolist()
        assert sorted(found.history) == sorted(past)
        assert {"text", "image", "own vector", "neighbours"} <= set(found.item_side)
        if data.item_degree[item] == 0:
            assert found.item_side["own vector"] == found.item_side["neighbours"] == 0


def test_explanations_refuse_other_scores_and_unknown_ids(
    fitted: BlendedScores, tastes: UserItemGraph, task: RecommendationTask
) -> None:
    with pytest.raises(InputError, match=r"^explain: expected the scores of recommender 'gated', got WithNewUsers$"):
        explain(fit_recommender("ease", tastes.graph, task), 1, 2)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"-7"):
        explain(fitted, -7, -7)


def test_a_table_takes_the_place_of_features(tastes: UserItemGraph, task: RecommendationTask) -> None:
    table = EmbeddingTable.for_graph(tastes.graph, tastes.truth.latent.float(), model="truth")
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))
    one, other = (
        fit_recommender("gated", tastes.graph, task, config=GatedConfig(**QUICK), table=given)
        for given in (table, table.take(order))
    )
    users, items = tastes.graph.nodes_of_type("user"), tastes.graph.nodes_of_type("item")
    assert torch.equal(one(users, items), other(users, items))  # joined by id, not by row
    with pytest.raises(InputError, match=r"^recommender 'ease': expected no table, got .*; gated can start from one$"):
        fit_recommender("ease", tastes.graph, task, table=table)
    with pytest.raises(InputError, match=r"expected embeddings of graph 'tastes', got those of 'other'$"):
        fit_recommender("gated", tastes.graph, task, table=replace(table, graph="other"))


def test_attributes_are_means_of_hashed_rows(tastes: UserItemGraph, task: RecommendationTask) -> None:
    graph = tastes.graph
    users = graph.nodes_of_type("user")
    # Every third user has the first user for a job, the next ones the second and third: two types are enough for a test.
    jobs = replace(graph, node_types=(*graph.node_types, "job"), node_type=graph.node_type.clone())
    jobs.node_type[users[:3]] = 2
    kept = ~torch.isin(graph.relations["interacted"].edge_index, users[:3]).any(dim=0)
    rows = users[3:]
    held = Relation(torch.stack([rows, users[torch.arange(rows.numel()) % 3]]), "user", "job")
    both = Relation(torch.stack([rows[:1], users[1:2]]), "user", "job")
    relations = {"interacted": graph.relations["interacted"].take(kept), "has_job": held, "had_job": both}
    gone = set(graph.node_ids.values[users[:3].numpy()].tolist())
    table = task.interactions.filter([user not in gone for user in task.interactions["user"].to_pylist()])
    data = Interactions.of(
        replace(jobs, relations=relations), RecommendationTask("r", "interacted", "user", "item", table)
    )
    attributes = HashedAttributes(data, 4, 512)
    torch.nn.init.normal_(attributes.table)
    vectors = attributes.users().detach()
    number = data.number_users(rows)
    assert torch.equal(vectors[number[1]], vectors[number[4]])  # the same job
    assert not torch.equal(vectors[number[1]], vectors[number[2]])
    assert not torch.equal(vectors[number[0]], vectors[number[3]])  # the first one had another job before
    assert not bool(attributes.items().any())


def test_a_blend_is_no_worse_than_its_parts_on_valid(tastes: UserItemGraph, task: RecommendationTask) -> None:
    data = Interactions.of(tastes.graph, task)
    noise = FactorScores(data, torch.randn(data.num_users, 4), torch.randn(data.num_items, 4))
    parts = {
        "noise": noise,
        "ease": fit_ease(data, EASEConfig(), seed=0),
        "popular": ItemScores(data, data.item_degree),
    }
    mixed, judge = blend(data, parts), Judge(data)
    assert judge(mixed) >= max(judge(part) for part in parts.values())
    assert mixed.weights["known"]["noise"] < mixed.weights["known"]["ease"]
    alone = BlendedScores(data, parts, {kind: {"noise": 0, "ease": 0, "popular": 2} for kind in ("known", "new")})
    everyone, items = torch.arange(data.num_users), torch.arange(data.num_items)
    scale = 2 / data.item_degree.std(correction=0)
    assert torch.allclose(alone.of(everyone, items), (scale * data.item_degree).expand(data.num_users, -1), atol=1e-4)


def test_re_ranking_moves_the_shortlist_alone(tastes: UserItemGraph, task: RecommendationTask) -> None:
    data, graph = Interactions.of(tastes.graph, task), tastes.graph
    base = fit_ease(data, EASEConfig(), seed=0)
    table, config = raw_features(graph), RerankConfig(shortlist=12)
    found = rerank(base, graph, task, table, config=config)
    assert Judge(data)(found) >= Judge(data)(base)
    kept = rerank(base, graph, task, table, config=replace(config, weights=(0.0,)))
    users, items = torch.arange(data.num_users), torch.arange(data.num_items)
    assert torch.equal(kept.of(users, items), base.of(users, items))
    found.weight, found.feedback = 5.0, 3
    known = data.rows(users).bool()
    before, after = (s.of(users, items).masked_fill(known, -torch.inf) for s in (base, found))
    tops = [scores.topk(12, dim=1).indices.sort(dim=1).values for scores in (before, after)]
    assert torch.equal(tops[0], tops[1])  # the same items
    assert not torch.equal(before.topk(12, dim=1).indices, after.topk(12, dim=1).indices)  # in another order
    assert bool(torch.isfinite(found.of(users, items)).all())


def test_the_network_is_a_part_of_the_blend(fitted: BlendedScores) -> None:
    assert isinstance(fitted.parts["network"], GatedScores)
    assert set(fitted.weights) == {"known", "new"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 4}, "num_layers must be at most 3, got 4"),
        ({"parts": 1}, "parts must be at least 2, got 1"),
        ({"loss": "hinge"}, "unknown loss 'hinge'; choose from: bpr, softmax"),
        ({"drop_items": 1.0}, "drop_items must be at least 0 and below 1, got 1.0"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        GatedConfig(**changes)
