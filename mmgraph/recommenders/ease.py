"""EASE: a linear auto-encoder of the items of a user, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.recommenders.base import check_above_zero
from mmgraph.recommenders.interactions import Interactions, Scores


@dataclass(frozen=True)
class EASEConfig:
    """Settings of EASE.

    Attributes:
        l2: Weight of the squared norm of the item-item matrix.
        max_items: Refuse more items than this: a dense matrix of their square is inverted.
    """

    l2: float = 200.0
    max_items: int = 20_000

    def __post_init__(self) -> None:
        check_above_zero(self, "l2")


class ItemItemScores(Scores):
    """Scores of a user: sum of the rows of an item-item matrix that belong to the user's items.

    Args:
        data: The interactions.
        weights: `[num_items, num_items]`: what an item of the user (row) says about another one (column).
        history: `[num_pairs]`: how much each training interaction counts; 1 by default.
    """

    def __init__(self, data: Interactions, weights: Tensor, history: Tensor | None = None) -> None:
        super().__init__(data)
        self.weights, self.history = weights, history

    def of(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of numbers of users and items."""
        return (self.data.rows(users, self.history) @ self.weights)[:, items]


def ease_weights(gram: Tensor, l2: float) -> Tensor:
    """The item-item matrix with zero diagonal that reconstructs the interactions best [1, equation 8].

    With `P = (G + l2 I)^-1`: `B_ij = -P_ij / P_jj`, and `B_jj = 0`. Items without an interaction have rows and columns of
    zeros.

    Args:
        gram: `G = X^T X`, `[num_items, num_items]`.
        l2: Weight of the squared Frobenius norm of `B`.

    Returns:
        `[num_items, num_items]`, float32.

    References:
        [1] Steck, 2019, Embarrassingly Shallow Autoencoders for Sparse Data, arXiv:1905.03375.
    """
    gram = gram.double()
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram + l2 * identity))
    weights = inverse / -inverse.diagonal()
    return weights.fill_diagonal_(0.0).float()


def gram_matrix(data: Interactions) -> Tensor:
    """How many users two items have in common, `[num_items, num_items]`, float32."""
    gram, step = torch.zeros(data.num_items, data.num_items, device=data.device), 4096
    for start in range(0, data.num_users, step):
        rows = data.rows(torch.arange(start, min(start + step, data.num_users), device=data.device))
        gram.addmm_(rows.t(), rows)
    return gram


def check_items(data: Interactions, name: str, max_items: int) -> None:
    """Refuse more items than a dense item-item matrix can hold.

    Raises:
        InputError: If there are more.
    """
    if data.num_items > max_items:
        raise InputError(
            f"{name}: expected at most {max_items:,} items, got {data.num_items:,}; max_items raises the limit"
        )


def fit_ease(data: Interactions, config: EASEConfig, *, seed: int) -> ItemItemScores:
    """Fit EASE; nothing is random."""
    del seed
    check_items(data, "ease", config.max_items)
    return ItemItemScores(data, ease_weights(gram_matrix(data), config.l2))
