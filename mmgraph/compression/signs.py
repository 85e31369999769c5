"""Binary codes: the signs of a rotated vector, eight to a byte."""

from __future__ import annotations

import torch
from torch import Tensor

BITS = 8


def pack_signs(vectors: Tensor) -> Tensor:
    """One bit per dimension, set where the value is positive; the first dimension is the lowest bit of the first byte.

    Args:
        vectors: `[num_nodes, width]`.

    Returns:
        uint8 `[num_nodes, ceil(width / 8)]`; bits beyond the width are zero.
    """
    bits = (vectors > 0).to(torch.uint8)
    bits = torch.nn.functional.pad(bits, (0, -bits.size(1) % BITS))
    weights = 2 ** torch.arange(BITS, device=vectors.device)
    return (bits.view(len(bits), bits.size(1) // BITS, BITS) * weights).sum(dim=2).to(torch.uint8)


def unpack_signs(codes: Tensor, width: int) -> Tensor:
    """Plus and minus one, float32 `[num_nodes, width]`, of what `pack_signs` made."""
    shifts = torch.arange(BITS, device=codes.device, dtype=torch.uint8)
    bits = (codes.unsqueeze(2) >> shifts) & 1
    return bits.flatten(1)[:, :width].float().mul_(2).sub_(1)
