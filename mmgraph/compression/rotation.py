"""Rotations of vectors: principal axes, which put what matters first, and random ones, which spread it evenly."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.nn.alignment import strongest_axes
from mmgraph.seeding import generator

ROWS_AT_ONCE = 65_536


def principal_axes(unit: Tensor, width: int) -> Tensor:
    """The directions in which unit vectors differ from zero most, the strongest first.

    Of all projections to `width` dimensions this one loses the least of the inner products of the vectors with
    themselves (Eckart and Young, 1936). The vectors are not centred: with a mean of length 0.12 centring changed neither
    recall by more than 0.003, and without it all axes together keep every cosine.

    Args:
        unit: `[num_nodes, dim]`, float32, of unit length.
        width: At most `dim`.

    Returns:
        `[dim, width]`, orthonormal columns; the largest entry of each is positive, so that the result does not depend
        on the library.
    """
    moments = torch.zeros(unit.size(1), unit.size(1), dtype=torch.float64, device=unit.device)
    for start in range(0, len(unit), ROWS_AT_ONCE):
        rows = unit[start : start + ROWS_AT_ONCE].double()
        moments += rows.t() @ rows
    return strongest_axes(moments, width).float().contiguous()


def first_columns(dim: int, width: int) -> Tensor:
    """The projection to the first columns, `[dim, width]`: for models trained with Matryoshka dimensions [1].

    References:
        [1] Kusupati et al., 2022, Matryoshka Representation Learning, arXiv:2205.13147.
    """
    return torch.eye(dim, width)


def random_rotation(width: int, seed: int) -> Tensor:
    """A random orthogonal matrix, `[width, width]`, uniform over all of them.

    QR of a Gaussian matrix, with the signs of the diagonal of R moved into Q (Mezzadri, 2007, arXiv:math-ph/0609050).
    """
    random = generator(seed, "sign rotation", width)
    q, r = torch.linalg.qr(torch.randn(width, width, generator=random, dtype=torch.float64))
    rotation: Tensor = (q * torch.sign(torch.diagonal(r))).float().contiguous()
    return rotation
