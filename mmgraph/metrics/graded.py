"""nDCG for relevance in grades, with ties averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.metrics.top_k import list_ranks, place_in_list


def graded_ndcg(scores: Tensor, relevant: Tensor, grade: Tensor, ks: Sequence[int]) -> dict[str, Tensor]:
    """Score each list by nDCG with graded relevance; the mean over lists is what is reported.

    The name says the gain: `ndcg_lin@K` uses the grade itself [1], `ndcg_exp@K` uses `2^grade - 1` [2]; they are equal
    for binary grades. The discount is `1 / log2(rank + 1)`, and the ideal list is cut at K as well. Ranks are those of
    `list_ranks`; relevant items with equal scores share their gains equally, so no order of the input matters.

    Args:
        scores: `[num_lists, num_items]`; minus infinity for items that must not be listed.
        relevant: `[2, num_relevant]`: list and item, each pair once. Items that are not given have grade 0.
        grade: `[num_relevant]`: at least 0; lists whose grades are all 0 do not count.
        ks: Cut-offs, at least 1; larger than the number of items is fine.

    Returns:
        `[num_scored_lists]` per metric, float64, lists in ascending order.

    Raises:
        InputError: As `list_ranks`, and if grades do not fit, are negative, NaN or too large for `2^grade`, if there is
            nothing to average over, or a cut-off is below 1.

    References:
        [1] Jarvelin and Kekalainen, 2002, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4).
        [2] Burges et al., 2005, Learning to rank using gradient descent, ICML.
    """
    if grade.shape != relevant.shape[1:]:
        raise InputError(f"expected one grade per relevant item, [{relevant.size(1)}], got {list(grade.shape)}")
    if not bool(((grade >= 0) & (grade < 1000)).all()):
        raise InputError("grades must lie in 0..1000 and not be NaN")
    if min(ks) < 1:
        raise InputError(f"cut-offs must be at least 1, got {list(ks)}")
    positive = grade > 0
    if not bool(positive.any()):
        raise InputError("no list has a relevant item: nothing to average over")
    # Checked with grade 0 included: a pair that is given twice is an error whatever its grades are.
    list_ranks(scores, relevant)
    relevant, grade = relevant[:, positive], grade[positive].double()
    rank = list_ranks(scores, relevant).rank
    _, lists, sizes = torch.unique(relevant[0], return_inverse=True, return_counts=True)
    tie = _tie_groups(scores[relevant[0], relevant[1]], lists)
    place = place_in_list(grade, lists)
    metrics: dict[str, Tensor] = {}
    for name, gain in (("ndcg_lin", grade), ("ndcg_exp", torch.exp2(grade) - 1)):
        total = torch.zeros(int(tie.max()) + 1, dtype=torch.float64, device=gain.device).index_add_(0, tie, gain)
        shared = (total / torch.bincount(tie))[tie]
        for k in ks:
            found, ideal = (
                torch.zeros(sizes.numel(), dtype=torch.float64, device=gain.device).index_add_(0, lists, values)
                for values in (shared * _discount(rank, k), gain * _discount(place.double(), k))
            )
            metrics[f"{name}@{k}"] = found / ideal
    return metrics


def _discount(rank: Tensor, k: int) -> Tensor:
    return (rank <= k) / (rank + 1).log2()


def _tie_groups(score: Tensor, lists: Tensor) -> Tensor:
    """Number of the group of entries that have the same list and the same score, `[num_entries]`."""
    _, code = torch.unique(score, return_inverse=True)
    group: Tensor = torch.unique(lists * (int(code.max()) + 1) + code, return_inverse=True)[1]
    return group
