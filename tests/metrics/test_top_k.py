from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from mmgraph.errors import InputError
from mmgraph.metrics.top_k import best_ranks, list_ranks, per_list_metrics, top_k_metrics


def _pairs(*items: list[int]) -> torch.Tensor:
    return torch.tensor([(i, item) for i, row in enumerate(items) for item in row], dtype=torch.int64).view(-1, 2).T


def _metrics(scores: list[list[float]], *items: list[int], ks: tuple[int, ...] = (1, 2, 10)) -> dict[str, float]:
    relevant = _pairs(*items)
    return top_k_metrics(list_ranks(torch.tensor(scores), relevant).rank, relevant[0], ks)


def test_five_items_by_hand() -> None:
    # Order: item 2, 0, 4, 1, 3; relevant are the first and the fourth.
    metrics = _metrics([[0.8, 0.3, 0.9, 0.1, 0.5]], [1, 2])
    assert metrics["recall@2"] == 0.5
    assert metrics["precision@2"] == 0.5
    assert metrics["recall@10"] == 1.0  # K above the number of items
    assert metrics["precision@10"] == pytest.approx(0.2)
    assert metrics["hit@1"] == 1.0
    assert metrics["mrr@10"] == 1.0
    assert metrics["map@10"] == pytest.approx((1 / 1 + 2 / 4) / 2)
    assert metrics["map@1"] == 1.0  # normaliser min(R, K)
    ideal = 1 + 1 / math.log2(3)
    assert metrics["ndcg@10"] == pytest.approx((1 + 1 / math.log2(5)) / ideal)
    assert metrics["ndcg@2"] == pytest.approx(1 / ideal)


def test_ties_get_the_mean_rank() -> None:
    ranks = list_ranks(torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]]), _pairs([0]))
    assert ranks.rank.tolist() == [2.5]
    assert ranks.tied.tolist() == [True]
    # Two relevant items among themselves are in some order; only the others blur their ranks.
    ranks = list_ranks(torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]]), _pairs([0, 3]))
    assert sorted(ranks.rank.tolist()) == [2.0, 3.0]
    ranks = list_ranks(torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0]]), _pairs([0, 1]))
    assert sorted(ranks.rank.tolist()) == [1.0, 2.0]
    assert ranks.tied.tolist() == [False, False]


def test_constant_scorer_gains_nothing() -> None:
    relevant = _pairs([0, 1, 2], [5])
    metrics = top_k_metrics(list_ranks(torch.zeros(2, 100), relevant).rank, relevant[0], (10,))
    assert set(metrics.values()) == {0.0}


def test_seen_items_are_no_candidates() -> None:
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5]])
    scores[0, [0, 1]] = -math.inf
    ranks = list_ranks(scores, _pairs([3]))
    assert ranks.rank.tolist() == [2.0]
    assert ranks.num_candidates.tolist() == [3]
    with pytest.raises(InputError, match="excluded from their own candidates"):
        list_ranks(scores, _pairs([0]))


def test_users_without_positives_do_not_count() -> None:
    scores = [[0.9, 0.1, 0.5], [0.1, 0.9, 0.5], [0.3, 0.2, 0.1]]
    with_empty, without = _metrics(scores, [0], [], [1]), _metrics([scores[0], scores[2]], [0], [1])
    assert with_empty == without
    with pytest.raises(InputError, match="nothing to average over"):
        _metrics(scores, [], [], [])


def test_duplicates_are_refused() -> None:
    with pytest.raises(InputError, match="given twice"):
        list_ranks(torch.zeros(1, 5), _pairs([1, 1]))


def test_list_of_relevant_items_only() -> None:
    metrics = _metrics([[0.2, 0.1], [0.4, 0.4]], [0, 1], [0, 1], ks=(2,))
    assert metrics["ndcg@2"] == pytest.approx(1.0)
    assert metrics["recall@2"] == 1.0
    assert list_ranks(torch.tensor([[0.2, 0.1]]), _pairs([0, 1])).num_candidates.tolist() == [2, 2]


def test_nan_is_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        list_ranks(torch.tensor([[0.1, math.nan, 0.2]]), _pairs([0]))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_parity_with_scikit_learn_without_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    num_items, k = 12, int(random.integers(1, 15))
    scores = random.permutation(num_items).astype(np.float32)
    truth = (random.random(num_items) < 0.4).astype(int)
    truth[0] = 1
    ours = _metrics([scores.tolist()], np.flatnonzero(truth).tolist(), ks=(k, num_items))
    assert ours[f"ndcg@{k}"] == pytest.approx(_sklearn_ndcg(truth, scores, k))
    assert ours[f"map@{num_items}"] == pytest.approx(average_precision_score(truth, scores))


def _sklearn_ndcg(truth: np.ndarray, scores: np.ndarray, k: int) -> float:
    return float(ndcg_score(truth[None], scores[None], k=k))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_order_of_items_lists_and_pairs_does_not_matter(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 4, (5, 9), generator=random).float()
    relevant = torch.nonzero(torch.rand(5, 9, generator=random) < 0.3).T
    if not relevant.numel():
        return
    before = top_k_metrics(list_ranks(scores, relevant).rank, relevant[0], (1, 3))
    items, lists = torch.randperm(9, generator=random), torch.randperm(5, generator=random)
    moved = torch.stack([lists.argsort()[relevant[0]], items.argsort()[relevant[1]]])
    moved = moved[:, torch.randperm(moved.size(1), generator=random)]
    after = top_k_metrics(list_ranks(scores[lists][:, items], moved).rank, moved[0], (1, 3))
    assert after == pytest.approx(before)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_better_scores_of_relevant_items_never_lower_a_metric(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 4, (4, 9), generator=random).float()
    relevant = torch.nonzero(torch.rand(4, 9, generator=random) < 0.4).T
    if not relevant.numel():
        return
    better = scores.clone()
    better[relevant[0], relevant[1]] += torch.randint(0, 3, (relevant.size(1),), generator=random)
    ks = (1, 2, 5)
    before = top_k_metrics(list_ranks(scores, relevant).rank, relevant[0], ks)
    after = top_k_metrics(list_ranks(better, relevant).rank, relevant[0], ks)
    assert all(after[name] >= before[name] - 1e-12 for name in before)


def test_expected_rank_over_all_ways_to_break_a_tie() -> None:
    # One relevant item in a tie of three: the mean over all sorted orders is the rank that we give.
    places = [order.index(0) + 1 for order in itertools.permutations(range(3))]
    assert list_ranks(torch.zeros(1, 3), _pairs([0])).rank.item() == sum(places) / len(places)


def test_values_per_list_come_in_order_of_lists() -> None:
    relevant = torch.tensor([[2, 0], [0, 0]])
    values = per_list_metrics(torch.tensor([1.0, 4.0]), relevant[0], (3,))
    assert values["hit@3"].tolist() == [0.0, 1.0]
    with pytest.raises(InputError, match="at least 1"):
        per_list_metrics(torch.tensor([1.0]), torch.tensor([0]), (0,))


def test_best_rank_of_each_list_by_hand() -> None:
    # The second list has no relevant item; in the third all tie: the best of two among three others has rank 1 + 3 / 2.
    scores = torch.tensor([[0.1, 0.9, 0.8, 0.7, 0.2], [0.0] * 5, [0.5] * 5])
    relevant = _pairs([0, 3], [], [1, 4])
    rank = list_ranks(scores, relevant).rank
    best = best_ranks(rank, relevant[0])
    assert best.tolist() == [3.0, 2.5]
    assert float(best.quantile(0.5)) == 2.75
    order = torch.tensor([3, 0, 2, 1])
    assert best_ranks(rank[order], relevant[0][order]).tolist() == [3.0, 2.5]
    assert best.reciprocal().tolist() == per_list_metrics(rank, relevant[0], (5,))["mrr@5"].tolist()
    with pytest.raises(InputError, match="nothing to average over"):
        best_ranks(torch.empty(0), torch.empty(0, dtype=torch.int64))
