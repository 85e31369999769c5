"""Alternating least squares for implicit feedback, by the package `implicit`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mmgraph.errors import require
from mmgraph.recommenders.base import check_above_zero, check_least
from mmgraph.recommenders.interactions import FactorScores, Interactions
from mmgraph.seeding import derive_seed


@dataclass(frozen=True)
class ALSConfig:
    """Settings of alternating least squares.

    Attributes:
        dim: Width of the vectors.
        l2: Weight of their squared norms.
        alpha: How much more an interaction counts than none: its confidence is `1 + alpha`.
        iterations: Rounds over users and items.
    """

    dim: int = 64
    l2: float = 30.0
    alpha: float = 5.0
    iterations: int = 15

    def __post_init__(self) -> None:
        check_least(self, 1, "dim", "iterations")
        check_above_zero(self, "l2", "alpha")


def fit_als(data: Interactions, config: ALSConfig, *, seed: int) -> FactorScores:
    """Fit weighted matrix factorisation [1] with one thread, so that a seed repeats.

    Raises:
        MissingExtraError: If `implicit` is not installed.

    References:
        [1] Hu, Koren and Volinsky, 2008, Collaborative Filtering for Implicit Feedback Datasets, ICDM.
    """
    from scipy import sparse
    from threadpoolctl import threadpool_limits

    als = require("implicit.cpu.als", extra="recommend")
    row, column = data.pairs.numpy(force=True)
    # implicit takes `alpha * r` for the confidence of a cell, and 1 for all others.
    matrix = sparse.csr_matrix(
        (np.ones(len(row), dtype=np.float32), (row, column)), shape=(data.num_users, data.num_items)
    )
    with threadpool_limits(1, user_api="blas"):  # threads of BLAS inside of those of implicit only get in the way
        model = als.AlternatingLeastSquares(
            factors=config.dim,
            regularization=config.l2,
            alpha=1.0 + config.alpha,
            iterations=config.iterations,
            num_threads=1,
            random_state=derive_seed(seed, "recommender", "als") % 2**32,
        )
        model.fit(matrix, show_progress=False)
    users, items = (
        torch.from_numpy(np.array(side)).to(data.device) for side in (model.user_factors, model.item_factors)
    )
    return FactorScores(data, users, items)
