"""Stacks of PyG's layers: the encoders of the papers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mmgraph.errors import InputError


class GCNEncoder(nn.Module):
    """GCN layers [1], each followed by batch normalisation if wanted and by a PReLU.

    Args:
        in_dim: Width of the features.
        dims: Width of each layer; the last is that of the embeddings.
        batch_norm: Normalise after each layer, as BGRL does.

    References:
        [1] Kipf and Welling, 2017, Semi-supervised Classification with GCNs, arXiv:1609.02907.
    """

    def __init__(self, in_dim: int, dims: Sequence[int], *, batch_norm: bool = False) -> None:
        from torch_geometric.nn import GCNConv

        super().__init__()
        widths = [in_dim, *dims]
        self.convs = nn.ModuleList([GCNConv(a, b) for a, b in pairwise(widths)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(dim) if batch_norm else nn.Identity() for dim in dims])
        self.activations = nn.ModuleList([nn.PReLU() for _ in dims])

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Embeddings `[num_nodes, dims[-1]]` from features `[num_nodes, in_dim]`."""
        for conv, norm, activation in zip(self.convs, self.norms, self.activations, strict=True):
            x = activation(norm(conv(x, edge_index)))
        return x


class GATEncoder(nn.Module):
    """Graph attention layers [1] with side-by-side heads, each followed by a PReLU.

    Args:
        in_dim: Width of the features.
        dim: Width of every layer, all heads together.
        num_layers: Number of layers.
        heads: Attention heads per layer.
        dropout: Dropout on the input of each layer.
        attention_dropout: Dropout on the attention weights.

    Raises:
        InputError: If `dim` is not a multiple of `heads`.

    References:
        [1] Velickovic et al., 2018, Graph Attention Networks, arXiv:1710.10903.
    """

    def __init__(
        self, in_dim: int, dim: int, num_layers: int, *, heads: int, dropout: float, attention_dropout: float
    ) -> None:
        from torch_geometric.nn import GATConv

        super().__init__()
        check_heads(dim, heads)
        widths = [in_dim] + [dim] * (num_layers - 1)
        self.convs = nn.ModuleList(
            [GATConv(width, dim // heads, heads=heads, dropout=attention_dropout) for width in widths]
        )
        self.activations = nn.ModuleList([nn.PReLU() for _ in widths])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Embeddings `[num_nodes, dim]` from features `[num_nodes, in_dim]`."""
        for conv, activation in zip(self.convs, self.activations, strict=True):
            x = activation(conv(self.dropout(x), edge_index))
        return x


def check_heads(dim: int, heads: int) -> None:
    """Refuse heads that do not share the width evenly.

    Raises:
        InputError: If `dim` is not a multiple of `heads`.
    """
    if heads < 1 or dim % heads:
        raise InputError(f"dim must be a multiple of heads, got dim {dim} and {heads} heads")
