"""Graph attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.nn.aggregate import attend
from mmgraph.nn.message_graph import MessageGraph


class GATConv(nn.Module):
    """Graph attention with concatenated heads [1].

    Equal to `torch_geometric.nn.GATConv` with the same weights, except that edges `i -> i` of the input are kept (each
    counts as one more message) where PyG drops them before it adds its own.

    Args:
        dim: Width of input and output; the heads share it.
        heads: Number of heads.
        self_loops: Each target also attends to itself.

    Shapes:
        - input: `x_source` `[num_sources, dim]`, `x_target` `[num_targets, dim]`
        - output: `[num_targets, dim]`

    References:
        [1] Velickovic et al., 2018, Graph Attention Networks, arXiv:1710.10903.
    """

    def __init__(self, dim: int, *, heads: int = 4, self_loops: bool = True) -> None:
        super().__init__()
        self.dim, self.heads, self.self_loops = dim, heads, self_loops
        self.weight = nn.Parameter(torch.empty(dim, dim))
        self.att_source = nn.Parameter(torch.empty(heads, dim // heads))
        self.att_target = nn.Parameter(torch.empty(heads, dim // heads))
        self.bias = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters from torch's global generator (Glorot)."""
        nn.init.xavier_uniform_(self.weight)
        nn.init.xavier_uniform_(self.att_source)
        nn.init.xavier_uniform_(self.att_target)
        nn.init.zeros_(self.bias)

    def zero_(self) -> None:
        """Make all messages zero."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def prepare(self, graph: MessageGraph, *, square: bool) -> MessageGraph:
        """The edges that `forward` expects: with self-loops if the layer wants them, and repeated for each head.

        Args:
            graph: The plain edges.
            square: Sources and targets are the same rows; else the targets are appended to the sources.
        """
        if self.self_loops:
            graph = graph.with_self_loops(0 if square else graph.num_sources)
        return graph.repeat(self.heads)

    def forward(self, x_source: Tensor, x_target: Tensor, graph: MessageGraph) -> Tensor:
        """Gather messages. `graph` comes from `prepare`."""
        square = x_source is x_target
        senders = x_source if square or not self.self_loops else torch.cat([x_source, x_target])
        values = nn.functional.linear(senders, self.weight)
        with torch.autocast(values.device.type, enabled=False):
            # a . (W x) = (W' a) . x needs no pass over the projected nodes, and keeps scores in full precision.
            weight = self.weight.view(self.heads, -1, self.dim)
            score_source = senders.to(weight.dtype) @ torch.einsum("hc,hcd->dh", self.att_source, weight)
            score_target = x_target.to(weight.dtype) @ torch.einsum("hc,hcd->dh", self.att_target, weight)
            # [num_nodes, dim] is seen as [num_nodes * heads, dim / heads]: one head after the other.
            heads = values.to(weight.dtype).reshape(-1, self.dim // self.heads)
            out = attend(heads, score_source.flatten(), score_target.flatten(), graph, slope=0.2)
            return out.view(-1, self.dim) + self.bias
