from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import dcg_score

from mmgraph.errors import InputError
from mmgraph.metrics.graded import graded_ndcg
from mmgraph.metrics.top_k import list_ranks, per_list_metrics

NAN = math.nan


def _graded(scores: list[list[float]], grades: list[list[float]], *ks: int) -> dict[str, list[float]]:
    grade = torch.tensor(grades)
    relevant = torch.nonzero(grade >= 0).T
    found = graded_ndcg(torch.tensor(scores), relevant, grade[relevant[0], relevant[1]], ks)
    return {name: values.tolist() for name, values in found.items()}


def test_five_items_by_hand() -> None:
    # Order: item 2 (grade 1), 0 (grade 3), 4, 1 (grade 2), 3; item 4 and 3 have grade 0.
    found = _graded([[0.8, 0.3, 0.9, 0.1, 0.5]], [[3, 2, 1, 0, 0]], 2, 10)
    first, second, fourth = 1.0, 1 / math.log2(3), 1 / math.log2(5)
    assert found["ndcg_lin@2"] == [pytest.approx((1 * first + 3 * second) / (3 * first + 2 * second))]
    ideal = 7 * first + 3 * second + 1 / 2
    assert found["ndcg_exp@10"] == [pytest.approx((1 * first + 7 * second + 3 * fourth) / ideal)]


def test_binary_grades_give_binary_ndcg() -> None:
    scores, grade = torch.randn(6, 9).round(decimals=1), (torch.rand(6, 9) < 0.4).long()
    grade[:, 0] = 1
    relevant = torch.nonzero(grade).T
    graded = graded_ndcg(scores, relevant, torch.ones(relevant.size(1)), (1, 3, 20))
    binary = per_list_metrics(list_ranks(scores, relevant).rank, relevant[0], (1, 3, 20))
    for k in (1, 3, 20):
        assert graded[f"ndcg_lin@{k}"].tolist() == pytest.approx(binary[f"ndcg@{k}"].tolist())
        assert graded[f"ndcg_exp@{k}"].tolist() == pytest.approx(binary[f"ndcg@{k}"].tolist())


def test_tied_relevant_items_share_their_gains() -> None:
    found = _graded([[1.0, 1.0, 0.0]], [[3, 1, 0]], 1, 3)
    assert found["ndcg_lin@1"] == [pytest.approx(2 / 3)]
    discount = 1 / math.log2(3)
    assert found["ndcg_lin@3"] == [pytest.approx((2 + 2 * discount) / (3 + discount))]


def test_lists_without_grades_do_not_count() -> None:
    assert _graded([[1.0, 0.0], [0.0, 1.0]], [[0, 0], [0, 2]], 1)["ndcg_lin@1"] == [1.0]
    with pytest.raises(InputError, match="nothing to average over"):
        _graded([[1.0, 0.0]], [[0, 0]], 1)


@pytest.mark.parametrize("bad", [-1.0, NAN, math.inf])
def test_bad_grades_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="grades must lie in"):
        graded_ndcg(torch.zeros(1, 3), torch.tensor([[0], [1]]), torch.tensor([bad]), (1,))


def test_bad_pairs_are_refused() -> None:
    pair = torch.tensor([[0, 0], [1, 1]])
    with pytest.raises(InputError, match="given twice"):
        graded_ndcg(torch.zeros(1, 3), pair, torch.tensor([0, 2]), (1,))
    with pytest.raises(InputError, match=r"one grade per relevant item, \[2\], got \[3\]"):
        graded_ndcg(torch.zeros(1, 3), pair, torch.ones(3), (1,))
    with pytest.raises(InputError, match="at least 1"):
        graded_ndcg(torch.zeros(1, 3), pair[:, :1], torch.ones(1), (0,))
    with pytest.raises(InputError, match="NaN"):
        graded_ndcg(torch.tensor([[0.0, NAN, 1.0]]), pair[:, :1], torch.ones(1), (1,))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_parity_with_scikit_learn_and_order_of_items(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    k = int(torch.randint(1, 12, (1,), generator=random))
    grade = torch.randint(0, 4, (5, 9), generator=random)
    grade[:, 0] = 2
    # Ties among relevant items only: there scikit-learn's mean over all orders is our rule too, at no cut-off. With other
    # items in the tie it averages discounts, we take the discount of the mean rank.
    scores = torch.randn(5, 9, generator=random)
    relevant = torch.nonzero(grade).T
    values = grade[relevant[0], relevant[1]]
    found = graded_ndcg(scores, relevant, values, (k, 9))
    for gain, name in ((grade.double(), "ndcg_lin"), (2.0 ** grade.double() - 1, "ndcg_exp")):
        for cut in (k, 9):
            expected = [
                dcg_score(g[None], s[None], k=cut) / dcg_score(g[None], g[None], k=cut, ignore_ties=True)
                for g, s in zip(gain.numpy(), scores.double().numpy(), strict=True)
            ]
            assert found[f"{name}@{cut}"].tolist() == pytest.approx(expected)
    tied = torch.where(grade > 0, 1.0, scores.clamp(max=0))
    found = graded_ndcg(tied, relevant, values, (9,))
    expected = [
        dcg_score(g[None], s[None]) / dcg_score(g[None], g[None], ignore_ties=True)
        for g, s in zip(grade.numpy(), tied.double().numpy(), strict=True)
    ]
    assert found["ndcg_lin@9"].tolist() == pytest.approx(expected)
    order = torch.randperm(relevant.size(1), generator=random)
    again = graded_ndcg(tied, relevant[:, order], values[order], (9,))
    assert again["ndcg_lin@9"].tolist() == pytest.approx(found["ndcg_lin@9"].tolist())
