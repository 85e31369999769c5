"""Heads over node vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.tasks.probe import LinearProbe
from mmgraph.tasks.ridge import RidgeProbe


class NodeHead(nn.Module):
    """Linear layer, or perceptron, over vectors that are centred and scaled by one number.

    Args:
        start: `[n, dim]`: vectors of the train nodes before training; mean and scale are theirs and stay.
        out_dim: Number of outputs.
        hidden: Width of the hidden layer; 0 for none.
        dropout: On the input.

    Shapes:
        - input: `[num_rows, dim]`
        - output: `[num_rows, out_dim]`
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, start: Tensor, out_dim: int, *, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        centred = start - start.mean(dim=0)
        self.register_buffer("mean", start.mean(dim=0))
        self.register_buffer("scale", centred.square().mean().sqrt().clamp(min=1e-6))
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(start.size(1), hidden) if hidden else None
        self.out = nn.Linear(hidden or start.size(1), out_dim)

    def start_at(self, probe: LinearProbe | RidgeProbe) -> None:
        """Compute what a probe computes (standardised values for a ridge regression); only without a hidden layer."""
        with torch.no_grad():
            self.mean.copy_(probe.mean)
            self.scale.fill_(probe.scale)
            self.out.weight.copy_(probe.weight[:-1].t())
            self.out.bias.copy_(probe.weight[-1])

    def evaluate(self, x: Tensor) -> Tensor:
        """Outputs without dropout and gradients."""
        training = self.training
        with torch.no_grad():
            out: Tensor = self.eval()(x)
        self.train(training)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of some nodes."""
        x = self.dropout((x - self.mean) / self.scale)
        if self.hidden is not None:
            x = nn.functional.gelu(self.hidden(x))
        out: Tensor = self.out(x)
        return out
