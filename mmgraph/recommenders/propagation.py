"""Products with a constant symmetric sparse matrix, and the normalised matrices that recommenders propagate along."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmgraph.recommenders.interactions import Interactions
from mmgraph.sparse import coo_matrix, csr_matrix


class _SymmetricProduct(torch.autograd.Function):
    """`A x` with the gradient `A g`: torch's own gradient transposes the matrix in every step."""

    @staticmethod
    def forward(context: Any, matrix: Tensor, x: Tensor) -> Tensor:
        context.matrix = matrix
        product: Tensor = torch.sparse.mm(matrix, x)
        return product

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, torch.sparse.mm(context.matrix, gradients[0])


def propagate(matrix: Tensor, x: Tensor) -> Tensor:
    """`matrix @ x` for a symmetric matrix without gradient.

    Args:
        matrix: `[n, n]`, sparse CSR, symmetric.
        x: `[n, dim]`.
    """
    out: Tensor = _SymmetricProduct.apply(matrix, x)
    return out


def csr(index: Tensor, values: Tensor, size: int) -> Tensor:
    """Sparse CSR matrix `[size, size]`; entries that occur twice are added.

    Args:
        index: `[2, num_entries]`: row and column.
        values: `[num_entries]`.
        size: Number of rows and of columns.
    """
    summed = coo_matrix(index, values, (size, size))
    row, column = summed.indices()
    start = torch.nn.functional.pad(torch.bincount(row, minlength=size).cumsum(0), (1, 0))
    return csr_matrix(start, column, summed.values(), (size, size))


def symmetric_normalised(pairs: Tensor, num_users: int, num_items: int) -> Tensor:
    """`D^-1/2 A D^-1/2` of users (first) and items, sparse CSR (He et al., 2020, equation 8).

    Args:
        pairs: `[2, num_pairs]`: user and item, each pair once.
        num_users: Number of users.
        num_items: Number of items.
    """
    users, items = pairs[0], pairs[1] + num_users
    index = torch.cat([torch.stack([users, items]), torch.stack([items, users])], dim=1)
    degree = torch.bincount(index[0], minlength=num_users + num_items).clamp(min=1).float()
    return csr(index, (degree[index[0]] * degree[index[1]]).rsqrt(), num_users + num_items)


def user_item_matrix(data: Interactions) -> Tensor:
    """The normalised matrix of all training interactions, `[num_users + num_items] * 2`."""
    return symmetric_normalised(data.pairs, data.num_users, data.num_items)
