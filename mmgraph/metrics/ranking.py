"""Ranks of positives among negatives, with one tie rule: the mean of the best and the worst possible rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmgraph.errors import InputError

VALUES_PER_ROW = 64
"""With more values per row than this, sorting rows is cheaper than a pass for each (CPU, 100,000 columns)."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where positives ended up.

    Attributes:
        rank: `[num_positives]`, float64: 1 is best, half ranks come from ties.
        tied: `[num_positives]`, bool: at least one negative has exactly the positive's score.
        num_candidates: `[num_positives]`, int64: the positive and its negatives.
    """

    rank: Tensor
    tied: Tensor
    num_candidates: Tensor

    def __len__(self) -> int:
        return self.rank.numel()

    @classmethod
    def cat(cls, parts: Sequence[Ranks]) -> Ranks:
        """Join parts in order."""
        return cls(
            torch.cat([part.rank for part in parts]),
            torch.cat([part.tied for part in parts]),
            torch.cat([part.num_candidates for part in parts]),
        )


def ranks_against(positive: Tensor, negative: Tensor, row: Tensor | None = None) -> Ranks:
    """Rank each positive among its negatives: `0.5 * (#{neg > pos} + #{neg >= pos}) + 1`.

    This is the rule of OGB's evaluator (its torch branch): a constant scorer ends up in the middle. Minus infinity
    marks negatives that do not count (known positives, seen items).

    Args:
        positive: `[num_positives]`: scores, finite.
        negative: `[num_rows, num_negatives]`: scores or minus infinity.
        row: `[num_positives]`: row of `negative` that holds the negatives of each positive; by default row `i`
            belongs to positive `i`.

    Raises:
        InputError: If scores are NaN or plus infinity, shapes do not fit, or a positive has no negative at all.
    """
    check_scores(positive, negative)
    if row is None and negative.size(0) != positive.numel():
        raise InputError(f"negative must have {positive.numel()} rows, one per positive, got {negative.size(0)}")
    valid = num_listed(negative)
    valid = valid if row is None else valid[row]
    if bool((valid == 0).any()):
        raise InputError("a positive has no negative to be ranked against: the set of candidates is empty")
    if row is None:
        row = torch.arange(positive.numel(), device=positive.device)
    greater, equal = count_in_rows(positive, negative, row)
    at_least = greater + equal
    return Ranks(0.5 * (greater + at_least).double() + 1, at_least > greater, valid + 1)


def count_in_rows(value: Tensor, scores: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """How many scores of its row `[num_rows, num_columns]` lie above each value, and how many are equal to it.

    On a CPU each value costs one pass over its row. Rows that hold many values are sorted instead.
    """
    few = value.numel() <= VALUES_PER_ROW * len(scores)
    if few and scores.device.type == "cpu" and scores.dtype == value.dtype == torch.float32:
        from mmgraph.metrics import kernels

        above = np.empty(value.numel(), np.int64)
        equal = np.empty_like(above)
        arrays = (scores.detach().contiguous().numpy(), value.detach().contiguous().numpy(), row.numpy())
        kernels.count_in_rows(*arrays, above, equal)
        return torch.from_numpy(above), torch.from_numpy(equal)
    greater, at_least = _count_by_sorting(value, scores, row)
    return greater, at_least - greater


def num_listed(scores: Tensor) -> Tensor:
    """How many scores of each row are not minus infinity, `[num_rows]`."""
    if scores.device.type == "cpu" and scores.dtype == torch.float32:
        from mmgraph.metrics import kernels

        listed = np.empty(len(scores), np.int64)
        kernels.count_listed(scores.detach().contiguous().numpy(), listed)
        return torch.from_numpy(listed)
    return torch.count_nonzero(scores > -torch.inf, dim=1)


def _count_by_sorting(positive: Tensor, negative: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """How many negatives of its row lie above, and at or above, each positive; rows are sorted once."""
    ordered = _sorted_rows(negative)
    order = torch.argsort(row, stable=True)
    sizes = torch.bincount(row, minlength=len(negative))
    column = torch.empty_like(row)  # place of a positive among those of its row, to lay them out as a matrix
    column[order] = torch.arange(row.numel(), device=row.device) - (sizes.cumsum(0) - sizes)[row[order]]
    values = positive.new_zeros(len(negative), int(sizes.max()) if len(sizes) else 0)
    values[row, column] = positive
    greater = negative.size(1) - torch.searchsorted(ordered, values, right=True)
    at_least = negative.size(1) - torch.searchsorted(ordered, values, right=False)
    return greater[row, column], at_least[row, column]


def _sorted_rows(scores: Tensor) -> Tensor:
    # NumPy's vectorised sort is about ten times faster than torch's on a CPU (943 x 1,682: 16 against 174 ms).
    if scores.device.type == "cpu":
        return torch.from_numpy(np.sort(np.ascontiguousarray(scores.detach().numpy()), axis=1))
    return scores.sort(dim=1).values


def ranking_metrics(ranks: Ranks, ks: Sequence[int] = (1, 3, 10)) -> dict[str, float]:
    """Average ranks of single positives to `mrr`, `hits@k`, `amri` and `tie_rate`.

    MRR is the mean of reciprocals of the mean rank, not the expected reciprocal rank. AMRI (adjusted mean rank
    index [1]) is 1 for a perfect scorer and 0 for a constant one or, on average, a random one.

    Raises:
        InputError: If there are no ranks.

    References:
        [1] Berrendorf et al., 2020, On the Ambiguity of Rank-Based Evaluation of Entity Alignment or Link
        Prediction Methods, arXiv:2002.06914.
    """
    if len(ranks) == 0:
        raise InputError("no positives to average over")
    metrics = {"mrr": float(ranks.rank.reciprocal().mean())}
    metrics |= {f"hits@{k}": float((ranks.rank <= k).double().mean()) for k in ks}
    expected = (ranks.num_candidates - 1).double().sum() / 2
    metrics["amri"] = float(1 - (ranks.rank - 1).sum() / expected)
    metrics["tie_rate"] = float(ranks.tied.double().mean())
    return metrics


def hits_at_k_shared(positive: Tensor, negative: Tensor, k: int) -> float:
    """Share of positives strictly above the k-th best of one shared set of negatives (OGB collab, ddi, ppa).

    Args:
        positive: `[num_positives]`.
        negative: `[num_negatives]`.
        k: Which negative sets the bar.

    Raises:
        InputError: If there are fewer than `k` negatives (OGB returns 1.0 then), or scores are NaN.
    """
    check_scores(positive, negative)
    if k < 1 or negative.numel() < k:
        raise InputError(f"hits@{k} needs at least {max(k, 1)} negatives, got {negative.numel()}")
    if positive.numel() == 0:
        raise InputError("no positives to average over")
    bar = torch.topk(negative, k).values[-1]
    return float((positive > bar).double().mean())


def check_scores(positive: Tensor, others: Tensor) -> None:
    """Refuse scores that have no order.

    Raises:
        InputError: If a score is NaN or plus infinity, or the score of a positive is minus infinity.
    """
    for scores in (positive, others):
        # One pass without a temporary of the same size: NaN survives `amax`.
        if scores.numel() and not float(scores.amax()) < torch.inf:
            count = int((scores.isnan() | (scores == torch.inf)).sum())
            raise InputError(f"cannot rank: {count:,} of {scores.numel():,} scores are NaN or infinite")
    if positive.numel() and float(positive.amin()) == -torch.inf:
        count = int((positive == -torch.inf).sum())
        raise InputError(f"cannot rank: {count:,} positives are excluded from their own candidates (score -inf)")
