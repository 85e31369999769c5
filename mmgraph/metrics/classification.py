"""Accuracy, macro-F1 and ROC-AUC, with a stated policy for absent classes."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.errors import InputError


def accuracy(prediction: Tensor, target: Tensor) -> float:
    """Share of equal entries.

    Raises:
        InputError: If there are none or shapes differ.
    """
    _check_pair(prediction, target)
    return float((prediction == target).double().mean())


def macro_f1(prediction: Tensor, target: Tensor) -> float:
    """Mean F1 over the classes that occur in the predictions or the targets (as scikit-learn's default).

    Args:
        prediction: `[n]`, int64: class of each example, at least 0.
        target: `[n]`, int64.

    Raises:
        InputError: If there are no examples or shapes differ.
    """
    _check_pair(prediction, target)
    size = int(torch.maximum(prediction.max(), target.max())) + 1
    predicted, expected = torch.bincount(prediction, minlength=size), torch.bincount(target, minlength=size)
    correct = torch.bincount(target[prediction == target], minlength=size)
    return _mean_f1(correct, predicted, expected)


def multilabel_macro_f1(prediction: Tensor, target: Tensor) -> float:
    """Mean F1 over the labels that occur in the predictions or the targets.

    Args:
        prediction: `[n, num_labels]`, bool.
        target: `[n, num_labels]`, bool.

    Raises:
        InputError: If there are no examples, shapes differ, or no label occurs at all.
    """
    _check_pair(prediction, target)
    return _mean_f1((prediction & target).sum(dim=0), prediction.sum(dim=0), target.sum(dim=0))


def roc_auc(scores: Tensor, target: Tensor) -> Tensor:
    """Area under the ROC curve per label: the chance that a positive scores above a negative, ties count half.

    Args:
        scores: `[n, num_labels]`, without NaN.
        target: `[n, num_labels]`, bool.

    Returns:
        `[num_labels]`, float64; NaN for labels that lack positives or negatives.

    Raises:
        InputError: If there are no examples, shapes differ, or a score is NaN.
    """
    _check_pair(scores, target)
    if bool(scores.isnan().any()):
        raise InputError(f"cannot rank: {int(scores.isnan().sum()):,} of {scores.numel():,} scores are NaN")
    ordered, order = scores.sort(dim=0)
    positive = target.gather(0, order).double()
    # Mean rank of tied scores: half-way between where a run of equal values starts and ends.
    columns, values = ordered.t().contiguous(), scores.t().contiguous()
    start = torch.searchsorted(columns, values, right=False).t()
    stop = torch.searchsorted(columns, values, right=True).t()
    mean_rank = (start + stop + 1).double() / 2
    num_positive = positive.sum(dim=0)
    num_negative = len(scores) - num_positive
    rank_sum = (mean_rank * target).sum(dim=0)
    area: Tensor = (rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative)  # 0 / 0 is NaN
    return area


def macro_auc(scores: Tensor, target: Tensor) -> float:
    """Mean of `roc_auc` over the labels that have both positives and negatives.

    Raises:
        InputError: As `roc_auc`, and if no label has both.
    """
    area = roc_auc(scores, target)
    known = ~area.isnan()
    if not bool(known.any()):
        raise InputError("ROC-AUC is undefined: no label has both positives and negatives")
    return float(area[known].mean())


def _mean_f1(correct: Tensor, predicted: Tensor, expected: Tensor) -> float:
    occurs = (predicted + expected) > 0
    if not bool(occurs.any()):
        raise InputError("macro-F1 is undefined: no label occurs in the predictions or the targets")
    f1 = 2 * correct.double() / (predicted + expected)
    return float(f1[occurs].mean())


def _check_pair(prediction: Tensor, target: Tensor) -> None:
    if prediction.shape != target.shape:
        raise InputError(f"expected one target per prediction, got {list(target.shape)} and {list(prediction.shape)}")
    if prediction.numel() == 0:
        raise InputError("no examples to average over")
