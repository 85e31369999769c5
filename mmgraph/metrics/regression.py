"""Errors of predicted numbers, and how much of the variance and of the order they explain."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.errors import InputError


def mean_absolute_error(prediction: Tensor, target: Tensor) -> float:
    """Mean of `|prediction - target|`, in units of the target.

    Args:
        prediction: `[n]`, finite.
        target: `[n]`, finite.

    Raises:
        InputError: If there are none, shapes differ, or a number is not finite; as all metrics here.
    """
    prediction, target = _checked(prediction, target)
    return float((prediction - target).abs().mean())


def root_mean_squared_error(prediction: Tensor, target: Tensor) -> float:
    """Root of the mean of `(prediction - target)^2`, in units of the target; `[n]` and `[n]`."""
    prediction, target = _checked(prediction, target)
    return float((prediction - target).square().mean().sqrt())


def r2_score(prediction: Tensor, target: Tensor) -> float:
    """Share of the variance of the targets that is explained: `1 - squared error / squared distance to the mean`.

    One is perfect, zero is as good as the mean of these targets, and there is no lower bound. Where all targets are
    equal it is one for a perfect prediction and zero else, as scikit-learn has it; so for a single example, for which
    scikit-learn gives NaN.

    Args:
        prediction: `[n]`.
        target: `[n]`.
    """
    prediction, target = _checked(prediction, target)
    error = (prediction - target).square().sum()
    if bool((target == target[0]).all()):  # the mean of equal numbers may differ from them by rounding
        return 1.0 if float(error) == 0 else 0.0
    return float(1 - error / (target - target.mean()).square().sum())


def spearman(prediction: Tensor, target: Tensor) -> float:
    """Spearman's rank correlation: Pearson's correlation of the ranks, ties at their mean rank [1].

    Zero where all predictions or all targets are equal: they put nothing in order. SciPy gives NaN there.

    Args:
        prediction: `[n]`.
        target: `[n]`.

    References:
        [1] Spearman, 1904, The Proof and Measurement of Association between Two Things.
    """
    prediction, target = _checked(prediction, target)
    first, second = (_mean_ranks(values) for values in (prediction, target))
    first, second = first - first.mean(), second - second.mean()
    norm = (first.square().sum() * second.square().sum()).sqrt()
    return float((first * second).sum() / norm) if float(norm) > 0 else 0.0


def regression_metrics(prediction: Tensor, target: Tensor) -> dict[str, float]:
    """`mae`, `rmse`, `r2` and `spearman` of `[n]` predictions."""
    return {
        "mae": mean_absolute_error(prediction, target),
        "rmse": root_mean_squared_error(prediction, target),
        "r2": r2_score(prediction, target),
        "spearman": spearman(prediction, target),
    }


def _mean_ranks(values: Tensor) -> Tensor:
    """Ranks from 1, `[n]`, float64; equal values share the mean of theirs."""
    _, place, count = torch.unique(values, sorted=True, return_inverse=True, return_counts=True)
    last = count.cumsum(0)
    ranks: Tensor = (last - (count - 1) / 2).double()
    return ranks[place]


def _checked(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in double precision."""
    if prediction.shape != target.shape or target.dim() != 1:
        raise InputError(
            f"expected one number per target, [n] and [n], got {list(prediction.shape)} and {list(target.shape)}"
        )
    if target.numel() == 0:
        raise InputError("no examples to average over")
    for name, values in (("predictions", prediction), ("targets", target)):
        wrong = int((~values.isfinite()).sum())
        if wrong:
            raise InputError(f"{wrong:,} of {values.numel():,} {name} are NaN or infinite")
    return prediction.double(), target.double()
