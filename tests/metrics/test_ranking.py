from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ogb.linkproppred import Evaluator

from mmgraph.errors import InputError
from mmgraph.metrics.ranking import Ranks, hits_at_k_shared, ranking_metrics, ranks_against


def _slow_rank(positive: float, negatives: list[float]) -> float:
    above = sum(n > positive for n in negatives)
    at_least = sum(n >= positive for n in negatives)
    return 0.5 * (above + at_least) + 1


# Few distinct values make many ties.
scores = st.integers(-3, 3).map(float)


@given(st.lists(st.tuples(scores, st.lists(scores, min_size=4, max_size=4)), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_ranks_equal_the_literal_formula(cases: list[tuple[float, list[float]]]) -> None:
    positive = torch.tensor([p for p, _ in cases])
    negative = torch.tensor([n for _, n in cases])
    ranks = ranks_against(positive, negative)
    assert ranks.rank.tolist() == [_slow_rank(p, n) for p, n in cases]
    assert ranks.tied.tolist() == [p in n for p, n in cases]
    assert ranks.num_candidates.tolist() == [5] * len(cases)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_rows_shared_by_several_positives_give_the_same_ranks(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    negative = torch.randint(-3, 4, (4, 7), generator=random).float()
    negative[torch.rand(4, 7, generator=random) < 0.3] = -math.inf
    negative[:, 0] = 0.0
    row = torch.randint(4, (9,), generator=random)
    positive = torch.randint(-3, 4, (9,), generator=random).float()
    shared, repeated = ranks_against(positive, negative, row), ranks_against(positive, negative[row])
    for name in ("rank", "tied", "num_candidates"):
        assert torch.equal(getattr(shared, name), getattr(repeated, name))


def test_constant_scorer_with_99_negatives_scores_like_the_middle_rank() -> None:
    metrics = ranking_metrics(ranks_against(torch.zeros(20), torch.zeros(20, 99)))
    assert metrics["mrr"] == pytest.approx(1 / 50.5)
    assert round(metrics["mrr"], 4) == 0.0198
    assert metrics["hits@10"] == 0.0
    assert metrics["amri"] == pytest.approx(0.0)
    assert metrics["tie_rate"] == 1.0


@pytest.mark.parametrize(
    ("negatives", "mrr", "hit_1", "hit_10"), [(150, 0.0371, 0.0066, 0.0662), (1000, 0.0075, 0.001, 0.01)]
)
def test_chance_levels_of_random_scores(negatives: int, mrr: float, hit_1: float, hit_10: float) -> None:
    # Every rank is equally likely, so the exact expectation is the mean over all ranks.
    rank = torch.arange(1, negatives + 2).double()
    size = torch.full((negatives + 1,), negatives + 1)
    metrics = ranking_metrics(Ranks(rank, torch.zeros(negatives + 1, dtype=torch.bool), size))
    assert metrics["mrr"] == pytest.approx(mrr, abs=5e-5)
    assert metrics["hits@1"] == pytest.approx(hit_1, abs=5e-5)
    assert metrics["hits@10"] == pytest.approx(hit_10, abs=5e-5)
    assert metrics["amri"] == pytest.approx(0.0, abs=1e-12)
    positive, negative = torch.rand(4000), torch.rand(4000, negatives)
    measured = ranking_metrics(ranks_against(positive, negative))
    assert measured["hits@10"] == pytest.approx(hit_10, abs=4 * math.sqrt(hit_10 / 4000))


def test_constant_scores_among_150_negatives_rank_76() -> None:
    ranks = ranks_against(torch.ones(1), torch.ones(1, 150))
    assert ranks.rank.item() == 76
    assert ranking_metrics(ranks)["mrr"] == pytest.approx(0.0132, abs=5e-5)


@pytest.mark.parametrize("kind", ["distinct", "ties", "constant"])
def test_parity_with_ogb_torch_branch(kind: str) -> None:
    positive, negative = torch.randn(50), torch.randn(50, 99)
    if kind == "ties":
        positive, negative = positive.round(), negative.round()
    if kind == "constant":
        positive, negative = torch.zeros(50), torch.zeros(50, 99)
    # Torch tensors on purpose: the NumPy branch of OGB's MRR calls .sum(dim=1) and fails.
    expected = Evaluator("ogbl-citation2").eval({"y_pred_pos": positive, "y_pred_neg": negative})
    ours = ranking_metrics(ranks_against(positive, negative))
    assert ours["mrr"] == pytest.approx(float(expected["mrr_list"].mean()), abs=1e-6)
    for k in (1, 3, 10):
        assert ours[f"hits@{k}"] == pytest.approx(float(expected[f"hits@{k}_list"].mean()), abs=1e-6)


@pytest.mark.parametrize("decimals", [1, 6])
def test_shared_hits_equal_ogb(decimals: int) -> None:
    evaluator = Evaluator("ogbl-collab")
    positive, negative = torch.randn(300).round(decimals=decimals), torch.randn(400).round(decimals=decimals)
    expected = evaluator.eval({"y_pred_pos": positive, "y_pred_neg": negative})
    assert hits_at_k_shared(positive, negative, 50) == pytest.approx(expected["hits@50"])


def test_shared_hits_refuse_fewer_negatives_than_k() -> None:
    with pytest.raises(InputError, match="at least 50 negatives, got 49"):
        hits_at_k_shared(torch.randn(3), torch.randn(49), 50)


def test_tie_at_rank_one_and_a_half_is_no_hit_at_1() -> None:
    metrics = ranking_metrics(ranks_against(torch.tensor([1.0]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])))
    assert metrics["hits@1"] == 0.0
    assert metrics["hits@3"] == 1.0
    assert metrics["mrr"] == pytest.approx(1 / 1.5)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_order_of_candidates_does_not_matter(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    positive = torch.randint(-3, 4, (6,), generator=random).float()
    negative = torch.randint(-3, 4, (6, 11), generator=random).float()
    order = torch.randperm(11, generator=random)
    before = ranking_metrics(ranks_against(positive, negative))
    assert before == ranking_metrics(ranks_against(positive, negative[:, order]))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_better_ranks_never_lower_a_metric(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    positive = torch.randint(-3, 4, (6,), generator=random).float()
    negative = torch.randint(-3, 4, (6, 11), generator=random).float()
    better = positive + torch.randint(0, 2, (6,), generator=random)
    before = ranking_metrics(ranks_against(positive, negative))
    after = ranking_metrics(ranks_against(better, negative))
    assert all(after[name] >= before[name] for name in before if name != "tie_rate")


def test_perfect_scores() -> None:
    metrics = ranking_metrics(ranks_against(torch.ones(3), torch.zeros(3, 5)))
    assert metrics == {"mrr": 1.0, "hits@1": 1.0, "hits@3": 1.0, "hits@10": 1.0, "amri": 1.0, "tie_rate": 0.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("side", ["positive", "negative"])
def test_scores_without_an_order_are_refused(bad: float, side: str) -> None:
    parts = {"positive": torch.zeros(3), "negative": torch.zeros(3, 5)}
    parts[side].view(-1)[1] = bad
    with pytest.raises(InputError, match="scores are NaN or infinite"):
        ranks_against(**parts)


def test_empty_sets_are_refused() -> None:
    with pytest.raises(InputError, match="candidates is empty"):
        ranks_against(torch.zeros(2), torch.zeros(2, 0))
    with pytest.raises(InputError, match="candidates is empty"):
        ranks_against(torch.zeros(2), torch.tensor([[0.0], [-math.inf]]))
    with pytest.raises(InputError, match="no positives"):
        ranking_metrics(ranks_against(torch.zeros(0), torch.zeros(0, 3)))
    with pytest.raises(InputError, match="excluded from their own candidates"):
        ranks_against(torch.tensor([-math.inf]), torch.zeros(1, 3))
    with pytest.raises(InputError, match="must have 2 rows"):
        ranks_against(torch.zeros(2), torch.zeros(3, 3))
