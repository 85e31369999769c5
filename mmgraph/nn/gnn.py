"""Stack of message-passing layers that can be run one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from mmgraph.errors import InputError
from mmgraph.nn.gat import GATConv
from mmgraph.nn.message_graph import MessageGraph
from mmgraph.nn.sage import SAGEConv


@dataclass(frozen=True)
class GNNConfig:
    """Message passing.

    Attributes:
        conv: `sign` (fixed propagation, then a network over its levels and relations: `SignEncoder`), or layers of
            `gat` (attention, heads concatenated) or `sage` (mean): `GraphEncoder`. What follows is for layers, unless
            it says `sign`.
        num_layers: Number of layers; 0 leaves message passing out.
        heads: Number of attention heads (`gat` only).
        residual: Add a layer's input to its messages.
        norm: Layer normalisation and PReLU in each layer; false is the bare form of the official code.
        zero_init: For `sign`: start at the weighted sum of levels. For layers: start at the input; a layer is `x + PReLU(conv(LayerNorm(x)))` with a convolution that is zero at
            first, so that training can only add to the features. False is `PReLU(LayerNorm(x + conv(x)))` with
            random weights, as in the lineage of GraphMAE.
        dropout: Dropout on the input of each convolution.
        self_loops: Each node also attends to itself (`gat` only).
        level_weights: For `sign`: weights at the start of a node and its neighbourhood after 1, 2 steps. Two or three
            numbers; `(1.0,)` leaves message passing out.
        hidden_mult: For `sign`: width of the hidden layer, as a multiple of the node vector's.
        relations: For `sign`: also read the mean over neighbours by relation and direction.
        structure: For `sign`: also read which nodes are near, as random projections of the adjacency.
    """

    conv: Literal["sign", "gat", "sage"] = "sign"
    num_layers: int = 3
    heads: int = 4
    residual: bool = True
    norm: bool = True
    dropout: float = 0.0
    self_loops: bool = True
    zero_init: bool = True
    level_weights: tuple[float, ...] = (0.5, 1.0, 0.5)
    hidden_mult: float = 1.0
    relations: bool = True
    structure: bool = True

    def __post_init__(self) -> None:
        if self.conv not in ("sign", "gat", "sage"):
            raise InputError(f"gnn.conv must be 'sign', 'gat' or 'sage', got {self.conv!r}")
        if not 1 <= len(self.level_weights) <= 3:
            raise InputError(f"gnn.level_weights must be one to three numbers, got {list(self.level_weights)}")
        if self.hidden_mult <= 0:
            raise InputError(f"gnn.hidden_mult must be positive, got {self.hidden_mult}")
        if self.num_layers < 0:
            raise InputError(f"gnn.num_layers must be 0 or more, got {self.num_layers}")
        if self.heads < 1:
            raise InputError(f"gnn.heads must be at least 1, got {self.heads}")
        if self.zero_init and not self.residual:
            raise InputError("gnn.zero_init needs gnn.residual: without it every layer would give zeros")
        if not 0 <= self.dropout < 1:
            raise InputError(f"gnn.dropout must lie in [0, 1), got {self.dropout}")


class GNNLayer(nn.Module):
    """One round of messages, in one of the two forms that `GNNConfig.zero_init` describes.

    Args:
        dim: Width of input and output.
        config: Kind of convolution and what surrounds it.

    Shapes:
        - input: `x_source` `[num_sources, dim]`, `x_target` `[num_targets, dim]`
        - output: `[num_targets, dim]`
    """

    def __init__(self, dim: int, config: GNNConfig) -> None:
        super().__init__()
        self.residual = config.residual
        self.zero_init = config.zero_init
        self.conv: GATConv | SAGEConv
        if config.conv == "gat":
            self.conv = GATConv(dim, heads=config.heads, self_loops=config.self_loops)
        else:
            self.conv = SAGEConv(dim)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(dim) if config.norm else None
        self.activation = nn.PReLU(dim) if config.norm else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters from torch's global generator."""
        self.conv.reset_parameters()
        if self.zero_init:
            self.conv.zero_()
        if self.norm is not None and self.activation is not None:
            self.norm.reset_parameters()
            nn.init.constant_(self.activation.weight, 0.25)

    def forward(self, x_source: Tensor, x_target: Tensor, graph: MessageGraph) -> Tensor:
        """Update the targets. `graph` comes from `conv.prepare`."""
        norm_first = self.norm if self.zero_init and self.norm is not None else nn.Identity()
        source = self.dropout(norm_first(x_source))
        target = source if x_source is x_target else self.dropout(norm_first(x_target))
        out: Tensor = self.conv(source, target, graph)
        if self.zero_init:
            return x_target + (out if self.activation is None else self.activation(out))
        if self.residual:
            out = out + x_target
        if self.norm is not None and self.activation is not None:
            out = self.activation(self.norm(out))
        return out


class GNN(nn.Module):
    """A stack of layers.

    Args:
        dim: Width of the node vectors.
        config: Number and kind of layers.

    Shapes:
        - input: `x` `[num_nodes, dim]`, `edge_index` `[2, num_edges]`
        - output: a list of `num_layers + 1` tensors `[num_nodes, dim]`, the input first
    """

    def __init__(self, dim: int, config: GNNConfig) -> None:
        super().__init__()
        if config.conv == "gat" and dim % config.heads:
            raise InputError(f"dim must be a multiple of gnn.heads, got dim {dim} and {config.heads} heads")
        self.layers = nn.ModuleList(GNNLayer(dim, config) for _ in range(config.num_layers))

    def reset_parameters(self) -> None:
        """Draw new parameters from torch's global generator."""
        for layer in self.layers:
            assert isinstance(layer, GNNLayer)
            layer.reset_parameters()

    def forward(self, x: Tensor, edges: Tensor | MessageGraph) -> list[Tensor]:
        """Run all layers on a graph; the levels, input first."""
        levels = [x]
        if not len(self.layers):
            return levels
        graph = edges if isinstance(edges, MessageGraph) else MessageGraph.from_edges(edges, x.size(0), x.size(0))
        first = self.layers[0]
        assert isinstance(first, GNNLayer)
        graph = first.conv.prepare(graph, square=True)
        for layer in self.layers:
            levels.append(layer(levels[-1], levels[-1], graph))
        return levels

    def layer(self, number: int, x_source: Tensor, x_target: Tensor, edge_index: Tensor | MessageGraph) -> Tensor:
        """Run one layer from sources to targets, which are different rows; dense in the targets.

        Args:
            number: Index of the layer, `0 .. num_layers - 1`.
            x_source: `[num_sources, dim]`.
            x_target: `[num_targets, dim]`: the targets' own vectors at the level below.
            edge_index: `[2, num_edges]`: row 0 indexes `x_source`, row 1 `x_target`; or the same edges sorted before.
        """
        layer = self.layers[number]
        assert isinstance(layer, GNNLayer)
        graph = (
            edge_index
            if isinstance(edge_index, MessageGraph)
            else MessageGraph.from_edges(edge_index, x_source.size(0), x_target.size(0))
        )
        # Identity of the tensors tells the convolution that sources and targets share rows; here they do not.
        x_target = x_target.view_as(x_target) if x_target is x_source else x_target
        out: Tensor = layer(x_source, x_target, layer.conv.prepare(graph, square=False))
        return out
