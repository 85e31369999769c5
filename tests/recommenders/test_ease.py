from __future__ import annotations

import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.recommenders.ease import EASEConfig, ease_weights, fit_ease, gram_matrix
from mmgraph.recommenders.interactions import Interactions
from mmgraph.synthetic.user_item import UserItemGraph
from mmgraph.tasks.recommendation import RecommendationTask


def test_three_items_by_hand() -> None:
    # X = [[1, 1, 0], [1, 1, 0], [0, 1, 1]], l2 = 1: G + I = [[3, 2, 0], [2, 4, 1], [0, 1, 2]], determinant 13,
    # adjugate [[7, -4, 2], [-4, 6, -3], [2, -3, 8]]; B_ij = -P_ij / P_jj.
    x = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    expected = torch.tensor([[0, 4 / 6, -2 / 8], [4 / 7, 0, 3 / 8], [-2 / 7, 3 / 6, 0]])
    assert torch.allclose(ease_weights(x.t() @ x, 1.0), expected, atol=1e-6)


def test_it_is_the_best_matrix_without_a_diagonal() -> None:
    # Column by column it is ridge regression of an item on all the others.
    x = (torch.rand(40, 6, generator=torch.Generator().manual_seed(0)) < 0.4).double()
    weights = ease_weights(x.t() @ x, 3.0)
    for item in range(6):
        others = [other for other in range(6) if other != item]
        a, b = x[:, others], x[:, item]
        solved = torch.linalg.solve(a.t() @ a + 3.0 * torch.eye(5).double(), a.t() @ b)
        assert torch.allclose(weights[others, item].double(), solved, atol=1e-6)


def test_the_gram_matrix_counts_common_users(tastes: UserItemGraph, task: RecommendationTask) -> None:
    data = Interactions.of(tastes.graph, task)
    x = data.rows(torch.arange(data.num_users))
    assert torch.equal(gram_matrix(data), x.t() @ x)
    assert torch.equal(gram_matrix(data).diagonal(), data.item_degree)


def test_too_many_items_are_refused(tastes: UserItemGraph, task: RecommendationTask) -> None:
    with pytest.raises(InputError, match=r"^ease: expected at most 79 items, got 80; max_items raises the limit$"):
        fit_ease(Interactions.of(tastes.graph, task), EASEConfig(max_items=79), seed=0)
