"""Low-rank adapters: a few new parameters beside frozen ones, folded into them afterwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.errors import InputError
from mmgraph.nn.moe import MixtureOfExperts


class LowRankLinear(nn.Module):
    """A linear layer that stays as it is, plus a product of two thin matrices: `W x + b + B A x` [1].

    `B` is zero at first, so the layer starts as the one that it wraps.

    Args:
        linear: The layer; its parameters are frozen.
        rank: Rows of `A`, columns of `B`.

    Shapes:
        - input: `[..., in_features]`
        - output: `[..., out_features]`

    References:
        [1] Hu et al., 2021, LoRA: Low-Rank Adaptation of Large Language Models, arXiv:2106.09685.
    """

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        weight = linear.weight
        self.down = nn.Parameter(weight.new_empty(rank, weight.size(1)))
        self.up = nn.Parameter(weight.new_zeros(weight.size(0), rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """The layer and its correction."""
        out: Tensor = torch.nn.functional.linear(x @ self.down.t(), self.up) + self.linear(x)
        return out

    def merged(self) -> nn.Linear:
        """One layer that computes the same, trainable."""
        with torch.no_grad():
            self.linear.weight += self.up @ self.down
        return self.linear.requires_grad_(True)


def add_adapters(module: nn.Module, rank: int) -> int:
    """Freeze a model and give each of its linear layers a `LowRankLinear`.

    A layer whose smaller side is below `2 * rank` stays frozen: two thin matrices would be as large as the layer.

    Args:
        module: Changed in place. Parameters are drawn from torch's global generator.
        rank: Rank of the corrections.

    Returns:
        Number of layers that were given one.

    Raises:
        InputError: If no layer is large enough.
    """
    if rank < 1:
        raise InputError(f"rank of adapters must be at least 1, got {rank}")
    module.requires_grad_(False)
    count = 0
    for parent in list(module.modules()):
        if isinstance(parent, MixtureOfExperts):
            continue  # its router reads the weights of its layer itself
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and min(child.weight.shape) >= 2 * rank:
                setattr(parent, name, LowRankLinear(child, rank))
                count += 1
    if count == 0:
        raise InputError(f"no linear layer of the model has at least {2 * rank} inputs and outputs for rank {rank}")
    return count


def merge_adapters(module: nn.Module) -> None:
    """Fold all adapters of a model into the layers that they belong to, in place; it computes what it did before."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRankLinear):
                setattr(parent, name, child.merged())
    module.requires_grad_(True)
