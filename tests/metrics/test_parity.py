"""Against the libraries that others report with. They break ties by position, id or not at all; we take the mean rank.

So lists here have distinct scores, except where a test is about the difference itself. OGB has our rule: `test_ranking.py`.
"""

from __future__ import annotations

from typing import Any

import ir_measures
import numba
import numpy as np
import pytest
import torch
from ir_measures import AP, RR, P, R, Success, nDCG
from torch import Tensor

from mmgraph.metrics.classification import accuracy, macro_f1
from mmgraph.metrics.clustering import clustering_metrics
from mmgraph.metrics.graded import graded_ndcg
from mmgraph.metrics.top_k import best_ranks, list_ranks, per_list_metrics

NUM_LISTS, NUM_ITEMS, KS = 12, 20, (1, 3, 10, 20)


@pytest.fixture(scope="module")
def lists() -> tuple[Tensor, Tensor, Tensor]:
    """Scores without ties, relevant pairs and grades; list 5 has nothing that is relevant."""
    random = torch.Generator().manual_seed(3)
    scores = torch.stack([torch.randperm(NUM_ITEMS, generator=random) for _ in range(NUM_LISTS)]).float()
    grade = torch.randint(-4, 4, (NUM_LISTS, NUM_ITEMS), generator=random).clamp(min=0)
    grade[5] = 0
    relevant = torch.nonzero(grade).T
    return scores, relevant, grade[relevant[0], relevant[1]]


@pytest.fixture(scope="module")
def ours(lists: tuple[Tensor, Tensor, Tensor]) -> dict[str, np.ndarray]:
    scores, relevant, grade = lists
    found = per_list_metrics(list_ranks(scores, relevant).rank, relevant[0], KS)
    found |= graded_ndcg(scores, relevant, grade, KS)
    assert relevant[0].unique().numel() == NUM_LISTS - 1
    return {name: values.numpy() for name, values in found.items()}


def _by_name(lists: tuple[Tensor, Tensor, Tensor], *, graded: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    scores, relevant, grade = lists
    truth: dict[str, dict[str, int]] = {}
    for (row, item), value in zip(relevant.T.tolist(), grade.tolist(), strict=True):
        truth.setdefault(f"q{row:02}", {})[f"d{item:02}"] = value if graded else 1
    run = {q: {f"d{i:02}": float(s) for i, s in enumerate(scores[int(q[1:])].tolist())} for q in truth}
    return truth, run


def test_ranx(
    lists: tuple[Tensor, Tensor, Tensor], ours: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its metrics are compiled on first use, which takes three quarters of a minute; as plain Python they take no time.
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    from ranx import Qrels, Run, evaluate

    names = {"recall": "recall", "precision": "precision", "hit": "hit_rate", "mrr": "mrr"}
    truth, run = _by_name(lists, graded=False)
    names |= {"ndcg": "ndcg"}
    for mine, theirs in names.items():
        for k in KS:
            expected = evaluate(Qrels(truth), Run(run), f"{theirs}@{k}", return_mean=False)
            assert ours[f"{mine}@{k}"] == pytest.approx(expected), (mine, k)
    # ranx divides MAP@K by the number of relevant items, we by min(R, K): equal at K = number of items.
    expected = evaluate(Qrels(truth), Run(run), f"map@{NUM_ITEMS}", return_mean=False)
    assert ours[f"map@{NUM_ITEMS}"] == pytest.approx(expected)
    truth, run = _by_name(lists, graded=True)
    for k in KS:
        expected = evaluate(Qrels(truth), Run(run), f"ndcg@{k}", return_mean=False)
        assert ours[f"ndcg_lin@{k}"] == pytest.approx(expected)
        expected = evaluate(Qrels(truth), Run(run), f"ndcg_burges@{k}", return_mean=False)
        assert ours[f"ndcg_exp@{k}"] == pytest.approx(expected)


def _measured(measures: list[Any], truth: dict[str, Any], run: dict[str, Any]) -> dict[str, np.ndarray]:
    found: dict[str, dict[str, float]] = {}
    for row in ir_measures.iter_calc(measures, truth, run):
        found.setdefault(str(row.measure), {})[row.query_id] = row.value
    return {name: np.array([values[q] for q in sorted(values)]) for name, values in found.items()}


def test_ir_measures(lists: tuple[Tensor, Tensor, Tensor], ours: dict[str, np.ndarray]) -> None:
    truth, run = _by_name(lists, graded=False)
    for k in KS:
        names = {"recall": R @ k, "precision": P @ k, "hit": Success @ k, "mrr": RR @ k, "ndcg": nDCG @ k}
        found = _measured(list(names.values()), truth, run)
        for mine, measure in names.items():
            assert ours[f"{mine}@{k}"] == pytest.approx(found[str(measure)]), measure
    assert ours[f"map@{NUM_ITEMS}"] == pytest.approx(_measured([AP], truth, run)["AP"])
    truth, run = _by_name(lists, graded=True)
    for k in KS:
        # trec_eval: the gain is the grade, the discount log2(rank + 1). Exponential gain needs gdeval, a Perl script.
        assert ours[f"ndcg_lin@{k}"] == pytest.approx(_measured([nDCG @ k], truth, run)[f"nDCG@{k}"])


def test_torchmetrics_retrieval(lists: tuple[Tensor, Tensor, Tensor], ours: dict[str, np.ndarray]) -> None:
    from torchmetrics.functional import retrieval

    scores, relevant, grade = lists
    scores = scores + 1  # scores of 0 and below count as not retrieved there, an order is all that counts for us
    functions = {
        "recall": retrieval.retrieval_recall,
        "precision": retrieval.retrieval_precision,
        "hit": retrieval.retrieval_hit_rate,
        "mrr": retrieval.retrieval_reciprocal_rank,
        "ndcg": retrieval.retrieval_normalized_dcg,
    }
    best = best_ranks(list_ranks(scores, relevant).rank, relevant[0])
    for number, row in enumerate(relevant[0].unique().tolist()):
        target = torch.zeros(NUM_ITEMS, dtype=torch.int64)
        target[relevant[1, relevant[0] == row]] = grade[relevant[0] == row]
        for k in KS:
            for name, function in functions.items():
                expected = float(function(scores[row], (target > 0).long(), top_k=k))
                assert ours[f"{name}@{k}"][number] == pytest.approx(expected), (name, k)
            expected = float(retrieval.retrieval_normalized_dcg(scores[row], target, top_k=k))
            assert ours[f"ndcg_lin@{k}"][number] == pytest.approx(expected)
        first = retrieval.retrieval_reciprocal_rank(scores[row], target > 0)
        assert float(best[number]) == pytest.approx(1 / float(first))


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_torchmetrics_classification_and_clustering() -> None:
    from torchmetrics.functional import clustering
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

    random = torch.Generator().manual_seed(1)
    found, truth = (torch.randint(0, 4, (200,), generator=random) for _ in range(2))
    found[:80] = truth[:80]
    assert accuracy(found, truth) == pytest.approx(float(multiclass_accuracy(found, truth, 4, average="micro")))
    assert macro_f1(found, truth) == pytest.approx(float(multiclass_f1_score(found, truth, 4, average="macro")))
    metrics = clustering_metrics(found, truth)
    assert metrics["nmi"] == pytest.approx(float(clustering.normalized_mutual_info_score(found, truth)), abs=1e-6)
    assert metrics["ari"] == pytest.approx(float(clustering.adjusted_rand_score(found, truth)), abs=1e-6)
    assert metrics["homogeneity"] == pytest.approx(float(clustering.homogeneity_score(found, truth)), abs=1e-6)


def test_a_constant_scorer_shines_where_ties_go_by_name() -> None:
    """Why ties are not compared: trec_eval orders them by id, descending, and the relevant item may come last there."""
    names = [f"d{i}" for i in range(10)]
    run = {"q": dict.fromkeys(names, 0.0)}
    by_name = [_measured([RR], {"q": {name: 1}}, run)["RR"].item() for name in ("d9", "d0")]
    assert by_name == [1.0, 0.1]
    ranks = [list_ranks(torch.zeros(1, 10), torch.tensor([[0], [i]])).rank.item() for i in (9, 0)]
    assert ranks == [5.5, 5.5]
