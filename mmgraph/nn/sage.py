"""GraphSAGE with mean aggregation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.nn.aggregate import mean_of_sources
from mmgraph.nn.message_graph import MessageGraph


class SAGEConv(nn.Module):
    """Mean of the neighbours and the node itself, each through its own linear map [1].

    Equal to `torch_geometric.nn.SAGEConv` with mean aggregation and the same weights. A target without in-edges has
    the mean zero.

    Args:
        dim: Width of input and output.

    Shapes:
        - input: `x_source` `[num_sources, dim]`, `x_target` `[num_targets, dim]`
        - output: `[num_targets, dim]`

    References:
        [1] Hamilton et al., 2017, Inductive Representation Learning on Large Graphs, arXiv:1706.02216.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.neighbours = nn.Linear(dim, dim)
        self.own = nn.Linear(dim, dim, bias=False)

    def reset_parameters(self) -> None:
        """Draw new parameters from torch's global generator."""
        self.neighbours.reset_parameters()
        self.own.reset_parameters()

    def zero_(self) -> None:
        """Make all messages zero."""
        for linear in (self.neighbours, self.own):
            nn.init.zeros_(linear.weight)
        nn.init.zeros_(self.neighbours.bias)

    def prepare(self, graph: MessageGraph, *, square: bool) -> MessageGraph:  # noqa: ARG002
        """The edges that `forward` expects: the plain ones."""
        return graph

    def forward(self, x_source: Tensor, x_target: Tensor, graph: MessageGraph) -> Tensor:
        """Average messages."""
        with torch.autocast(x_source.device.type, enabled=False):
            mean = mean_of_sources(x_source, graph)
        out: Tensor = self.neighbours(mean) + self.own(x_target)
        return out
