"""Sparse matrices of torch, made without its warnings that users can do nothing about."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor


def coo_matrix(index: Tensor, values: Tensor, size: tuple[int, int], *, is_coalesced: bool = False) -> Tensor:
    """Sparse COO matrix.

    Args:
        index: `[2, num_entries]`: row and column.
        values: `[num_entries]`.
        size: Number of rows and of columns.
        is_coalesced: Whether entries are known to be sorted by row and column, each once. Otherwise those that occur
            twice are added up, and all are sorted.
    """
    _warn_once()
    if is_coalesced:
        return torch.sparse_coo_tensor(index, values, size, is_coalesced=True, check_invariants=False)
    return torch.sparse_coo_tensor(index, values, size, check_invariants=False).coalesce()


def csr_matrix(indptr: Tensor, column: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Sparse CSR matrix.

    Args:
        indptr: `[num_rows + 1]`: where each row starts and the last one ends.
        column: `[num_entries]`.
        values: `[num_entries]`.
        size: Number of rows and of columns.
    """
    _warn_once()
    return torch.sparse_csr_tensor(indptr, column, values, size, check_invariants=False)


@cache
def _warn_once() -> None:
    """Let torch say once per process, unheard, that CSR is in beta (all) and that invariants are not checked (2.11)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        nothing = torch.tensor([], dtype=torch.int64)
        torch.sparse_csr_tensor(torch.tensor([0, 0]), nothing, torch.tensor([]), size=(1, 1))
        torch.sparse_coo_tensor(torch.stack([nothing, nothing]), torch.tensor([]), size=(1, 1)).coalesce()
