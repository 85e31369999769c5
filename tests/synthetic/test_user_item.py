from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch

from mmgraph.config import from_mapping
from mmgraph.errors import InputError
from mmgraph.metrics.top_k import list_ranks, top_k_metrics
from mmgraph.synthetic.user_item import UserItemGraph, user_item_graph
from mmgraph.synthetic.user_item_config import ItemModality, UserItemConfig
from mmgraph.synthetic.user_item_model import LAST_PERIOD, UserItemModel
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.testing.asserts import assert_same_graph


@pytest.fixture(scope="module")
def tastes() -> UserItemGraph:
    return user_item_graph(UserItemConfig(num_users=1500, num_items=200, ratings=True), seed=1)


def test_choices_follow_the_softmax_without_replacement() -> None:
    config = UserItemConfig(num_users=30_000, num_items=6, dim=1, interactions_per_user=4.0, cold=0.2, sharpness=0.5)
    model = UserItemModel(config, 3)
    model.users[:] = 0.7  # all users alike
    assert config.num_cold == 1
    logits, cold = model.logits(np.arange(1), np.arange(6))[0], int(np.flatnonzero(model.cold)[0])
    users, items, _ = model.choices(0)
    assert users.tolist() == np.repeat(np.arange(30_000), model.num_interactions).tolist()
    size = model.num_interactions
    assert set(size.tolist()) == {3, 4}
    for length in (3, 4):
        whole = items[np.isin(users, np.flatnonzero(size == length))].reshape(-1, length)
        observed = Counter(map(tuple, whole.tolist()))
        for order in permutations(range(6), length):
            chance, left = 1.0, np.exp(logits)
            for number, item in enumerate(order):
                possible = np.where((np.arange(6) == cold) & (number < length - 2), 0, left)
                chance *= possible[item] / possible.sum()
                left[item] = 0
            error = np.sqrt(max(chance * (1 - chance), 1e-9) / len(whole))
            assert abs(observed[order] / len(whole) - chance) < 4.5 * error + (chance == 0) * 0


def test_every_user_has_distinct_items_in_order_of_time(tastes: UserItemGraph) -> None:
    model = tastes.truth.model
    users, items, _ = model.choices(0)
    assert len(set(zip(users.tolist(), items.tolist(), strict=True))) == len(users)
    whole = user_item_graph(replace(model.config, holdout=False), seed=1).graph.relations["interacted"]
    assert whole.edge_index.size(1) == model.num_interactions.sum()
    key = whole.edge_index[0] * model.num_nodes + whole.edge_index[1]
    assert bool((key.diff() > 0).all())
    by_time = np.lexsort((whole.attributes["time"].numpy(), whole.edge_index[0].numpy()))
    assert whole.edge_index[1].numpy()[by_time].tolist() == model.item_rows[items].tolist()
    assert len(
        {(u, t) for u, t in zip(whole.edge_index[0].tolist(), whole.attributes["time"].tolist(), strict=True)}
    ) == len(users)


def test_the_last_two_are_held_out_and_only_they_may_be_cold(tastes: UserItemGraph) -> None:
    model, relation = tastes.truth.model, tastes.graph.relations["interacted"]
    assert relation.num_edges == model.num_interactions.sum() - 2 * 1500
    assert not torch.isin(relation.edge_index[1], tastes.truth.cold).any()
    assert int(relation.attributes["time"].max()) < LAST_PERIOD
    out = tastes.held_out.to_pandas()
    assert (out.groupby("user")["split"].agg(lambda s: "".join(sorted(s))) == "testvalid").all()
    times = out.pivot(index="user", columns="split", values="time")
    assert (times["valid"] >= LAST_PERIOD).all()
    assert (times["valid"] < times["test"]).all()
    cold = tastes.graph.node_ids.values[tastes.truth.cold.numpy()]
    assert len(cold) == 20
    assert out["item"].isin(cold).mean() > 0.05
    assert not set(out["user"]) & set(out["item"])


def test_ratings_grow_with_taste(tastes: UserItemGraph) -> None:
    relation, latent = tastes.graph.relations["interacted"], tastes.truth.latent
    affinity = (latent[relation.edge_index[0]] * latent[relation.edge_index[1]]).sum(dim=1)
    rating = relation.attributes["rating"]
    assert set(rating.tolist()) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert np.corrcoef(affinity, rating)[0, 1] > 0.75


def test_activity_and_popularity_are_skewed(tastes: UserItemGraph) -> None:
    model, items = tastes.truth.model, tastes.graph.relations["interacted"].edge_index[1]
    assert model.num_interactions.mean() == pytest.approx(20, rel=0.1)
    assert model.num_interactions.min() == 3
    assert model.num_interactions.max() > 70
    counts = np.sort(np.bincount(items)[tastes.truth.model.item_rows])[::-1]
    flat = user_item_graph(replace(model.config, popularity=0.0, sharpness=0.0), seed=1)
    even = np.sort(np.bincount(flat.graph.relations["interacted"].edge_index[1])[model.item_rows])[::-1]
    assert counts[:20].sum() / counts.sum() > 1.5 * even[:20].sum() / even.sum()


def test_items_show_their_taste_and_users_nothing(tastes: UserItemGraph) -> None:
    model, graph = tastes.truth.model, tastes.graph
    is_item = torch.from_numpy(model.is_item)
    for name in ("text", "image"):
        features = graph.features[name]
        assert torch.equal(features.present, is_item)
        assert bool(features.values[~is_item].isnan().all())
        directions = torch.from_numpy(model.directions(name)).float()
        shown = directions.norm(dim=1)
        assert sorted(shown.round().tolist()) == [0.0] * 4 + [1.0] * 4
        seen = features.values[is_item] @ directions.T
        latent = tastes.truth.latent[is_item].float() * 8**0.25
        for k in range(8):
            expected = 1 / np.sqrt(1 + 0.5**2) if shown[k] > 0.5 else None
            if expected is not None:
                assert np.corrcoef(seen[:, k], latent[:, k])[0, 1] == pytest.approx(expected, abs=0.08)


def test_missing_content_and_exact_views() -> None:
    modality = ItemModality("text", dim=8, noise=0.0, missing=0.3)
    tastes = user_item_graph(UserItemConfig(num_users=20, num_items=600, modalities=(modality,)), seed=0)
    features = tastes.graph.features["text"]
    assert int(features.present.sum()) / 600 == pytest.approx(0.7, abs=0.07)
    back = features.values[features.present].double() @ torch.from_numpy(tastes.truth.model.directions("text")).T
    assert torch.allclose(back, tastes.truth.latent[features.present] * 8**0.25, atol=1e-5)


def realised(tastes: UserItemGraph, scores: Any, split: str = "test") -> dict[str, float]:
    task = RecommendationTask("r", "interacted", "user", "item", tastes.held_out)
    return task.evaluate_scores(scores, tastes.graph, split=split)


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_oracle_reaches_the_bound(split: str, seed: int) -> None:
    tastes = user_item_graph(UserItemConfig(num_users=1500, num_items=200), seed)
    bounds = tastes.truth.expected(split=split)
    reached = realised(tastes, tastes.truth.scores, split)
    for name in ("recall@10", "recall@20", "ndcg@10", "ndcg@20"):
        assert abs(reached[name] - bounds.expected[name]) < 4 * bounds.spread[name]
    assert 0.005 < bounds.spread["recall@10"] < 0.02


def test_nothing_simple_passes_the_bound(tastes: UserItemGraph) -> None:
    model, truth = tastes.truth.model, tastes.truth
    best = truth.expected(ks=(10,))
    random = np.random.default_rng(0)

    def popularity(users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return np.tile(model.bias[model.number[items]], (len(users), 1))

    def chance(users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return random.random((len(users), len(items)))

    def taste(users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return model.users[model.number[users]] @ model.items[model.number[items]].T

    def nearly(users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return truth.scores(torch.from_numpy(users), torch.from_numpy(items)).numpy() + 0.3 * chance(users, items)

    found = {scorer.__name__: truth.expected(scorer, ks=(10,)) for scorer in (chance, popularity, taste, nearly)}
    for name in ("recall@10", "ndcg@10", "mrr@10"):
        values = [found[scorer].expected[name] for scorer in ("chance", "popularity", "taste", "nearly")]
        assert values == sorted(values), name
        assert values[-1] < best.expected[name]
    left = (200 - (model.num_interactions - 1)).astype(float)
    assert found["chance"].expected["recall@10"] == pytest.approx((10 / left).mean(), rel=0.05)
    # The expectation of a baseline is that of its score on the test set that was drawn.
    reached = realised(tastes, lambda u, i: torch.from_numpy(popularity(u.numpy(), i.numpy())))
    assert (
        abs(reached["recall@10"] - found["popularity"].expected["recall@10"])
        < 4 * found["popularity"].spread["recall@10"]
    )


def test_expectations_are_averages_over_all_choices() -> None:
    tastes = user_item_graph(UserItemConfig(num_users=6, num_items=12, interactions_per_user=4.0, cold=0.25), seed=0)
    model, truth = tastes.truth.model, tastes.truth
    users, items, place = model.choices(0)
    expected: dict[str, float] = {"recall@3": 0.0, "ndcg@3": 0.0, "mrr@3": 0.0}
    cold = dict.fromkeys(expected, 0.0)
    weight_cold = 0.0
    for user in range(6):
        seen = items[(users == user) & (place < model.num_interactions[user] - 1)]
        scores = torch.from_numpy(model.logits(np.array([user]), np.arange(12)))
        scores[0, seen] = -torch.inf
        chance = scores.softmax(dim=1)[0]
        for item in np.flatnonzero(chance > 0):
            rank = list_ranks(scores, torch.tensor([[0], [item]])).rank
            metrics = top_k_metrics(rank, torch.zeros(1, dtype=torch.int64), (3,))
            weight_cold += float(chance[item]) * bool(model.cold[item])
            for name in expected:
                expected[name] += float(chance[item]) * metrics[name] / 6
                cold[name] += float(chance[item]) * metrics[name] * bool(model.cold[item])
    bounds = truth.expected(ks=(3,))
    assert bounds.expected == pytest.approx(expected)
    assert bounds.cold == pytest.approx({name: value / weight_cold for name, value in cold.items()})
    share = weight_cold / 6
    assert {k: share * bounds.cold[k] + (1 - share) * bounds.warm[k] for k in expected} == pytest.approx(expected)


def test_without_cold_items_there_are_no_cold_scores() -> None:
    bounds = user_item_graph(UserItemConfig(num_users=30, num_items=20, cold=0.0)).truth.expected(ks=(5,))
    assert bounds.cold == {}
    assert bounds.warm == pytest.approx(bounds.expected)


def test_same_call_same_graph() -> None:
    config = UserItemConfig(num_users=40, num_items=30, ids="strings", dtype="float16")
    one, two, other = (user_item_graph(config, seed) for seed in (0, 0, 1))
    assert_same_graph(one.graph, two.graph)
    assert one.held_out.equals(two.held_out)
    assert not torch.equal(one.graph.node_type, other.graph.node_type)
    assert from_mapping(UserItemConfig, asdict(config)) == config


def test_blocks_of_users_do_not_depend_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgraph.synthetic.user_item_model._SCORES_AT_ONCE", 30 * 7)
    config = UserItemConfig(num_users=40, num_items=30)
    model, again = UserItemModel(config), UserItemModel(config)
    assert model.num_edge_blocks("interacted") == 6
    late = {block: again.edge_block("interacted", block) for block in reversed(range(6))}
    for block in range(6):
        assert (model.edge_block("interacted", block).edge_index == late[block].edge_index).all()
    ends = np.concatenate([late[block].edge_index for block in range(6)], axis=1)
    assert (np.diff(ends[0]) >= 0).all()
    assert set(ends[0].tolist()) == set(model.user_rows.tolist())


def test_extreme_sharpness_is_no_trouble() -> None:
    tastes = user_item_graph(UserItemConfig(num_users=50, num_items=30, sharpness=500.0, cold=0.2))
    bounds = tastes.truth.expected(ks=(1,))
    assert 0.9 < bounds.expected["recall@1"] <= 1
    assert not torch.isin(tastes.graph.relations["interacted"].edge_index[1], tastes.truth.cold).any()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UserItemConfig(num_items=3), "num_items must be at least 4, got 3"),
        (lambda: UserItemConfig(interactions_per_user=2.5), "interactions_per_user must be at least 3, got 2.5"),
        (lambda: UserItemConfig(sharpness=-1.0), "sharpness must not be negative, got -1.0"),
        (
            lambda: UserItemConfig(num_items=10, cold=0.95),
            "cold must lie in 0..1 and leave at least 2 of 10 items, got 0.95",
        ),
        (
            lambda: UserItemConfig(modalities=(ItemModality("a", dim=3),)),
            "modality 'a': dim must be at least 8, got 3",
        ),
        (
            lambda: UserItemConfig(modalities=(ItemModality("a"), ItemModality("a"))),
            "every modality needs a name of its own, got ['a', 'a']",
        ),
        (lambda: ItemModality("a", shows=0.0), "modality 'a': shows must lie in 0..1, above 0, got 0.0"),
        (lambda: ItemModality("a", noise=-0.1), "modality 'a': noise must not be negative, got -0.1"),
    ],
)
def test_settings_out_of_range(build: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        build()


def test_unknown_split_and_cut_off(tastes: UserItemGraph) -> None:
    with pytest.raises(InputError, match=r"^unknown split 'train'; choose from: valid, test$"):
        tastes.truth.expected(split="train")
    with pytest.raises(InputError, match=r"^cut-offs must be at least 1, got \[0\]$"):
        tastes.truth.expected(ks=(0,))
