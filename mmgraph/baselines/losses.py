"""Losses of several baselines."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity


def scaled_cosine_error(prediction: Tensor, target: Tensor, power: float) -> Tensor:
    """Mean of `(1 - cos)^power` over the rows of two tensors `[n, dim]` (GraphMAE, equation 2).

    A row that is all zero has cosine 0 and no gradient.
    """
    return (1.0 - cosine_similarity(prediction, target, dim=1)).clamp(min=0.0).pow(power).mean()
