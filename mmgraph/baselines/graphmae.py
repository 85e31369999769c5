"""GraphMAE: hide the features of half the nodes and rebuild them from the neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgraph.baselines.augment import choose_nodes, drop_edges
from mmgraph.baselines.base import NetworkConfig, SelfSupervised, check_at_least, check_share
from mmgraph.baselines.encoders import GATEncoder, check_heads
from mmgraph.baselines.losses import scaled_cosine_error


@dataclass(frozen=True)
class GraphMAEConfig(NetworkConfig):
    """Settings of GraphMAE.

    Attributes:
        heads: Attention heads of the encoder; the decoder has one.
        dropout: Dropout on the input of each layer, the decoder's included.
        attention_dropout: Dropout on attention weights.
        mask: Share of the nodes whose features are hidden.
        replace: Share of these that get the features of another node instead of the mask token.
        drop_edges: Share of edges that the encoder does not see.
        power: Exponent of the scaled cosine error; above 1, easy nodes count less.
    """

    weight_decay: float = 2e-4
    cosine: bool = True
    heads: int = 4
    dropout: float = 0.2
    attention_dropout: float = 0.1
    mask: float = 0.5
    replace: float = 0.05
    drop_edges: float = 0.0
    power: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("dropout", "attention_dropout", "mask", "replace", "drop_edges"):
            check_share(name, getattr(self, name))
        check_at_least("power", self.power, 1)
        check_heads(self.dim, self.heads)


class MaskedFeatures(SelfSupervised):
    """What GraphMAE and GraphMAE2 share: GAT encoder, mask token, linear map to a GAT decoder.

    Args:
        in_dim: Width of the features.
        config: Settings.
    """

    def __init__(self, in_dim: int, config: GraphMAEConfig) -> None:
        from torch_geometric.nn import GATConv

        super().__init__()
        self.settings = config
        drops = {"dropout": config.dropout, "attention_dropout": config.attention_dropout}
        self.encoder = GATEncoder(in_dim, config.dim, config.num_layers, heads=config.heads, **drops)
        self.mask_token = nn.Parameter(torch.zeros(in_dim))
        self.to_decoder = nn.Linear(config.dim, config.dim, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = GATConv(config.dim, in_dim, dropout=config.attention_dropout)

    def hide(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hide nodes: features `[num_nodes, in_dim]` with holes, positions of hidden and of visible nodes."""
        hidden, visible = choose_nodes(x.size(0), self.settings.mask, x.device)
        # The first of the shuffled hidden nodes are as good a random choice as any other.
        swapped, masked = hidden.tensor_split([int(self.settings.replace * hidden.numel())])
        donors = torch.randint(x.size(0), swapped.shape, device=x.device)
        holes = x.index_copy(0, swapped, x[donors])
        return holes.index_copy(0, masked, self.mask_token.expand(masked.numel(), -1)), hidden, visible

    def decode(self, vectors: Tensor, edge_index: Tensor, nodes: Tensor) -> Tensor:
        """Rebuild the features of some nodes, `[num_wanted, in_dim]`, from vectors `[num_nodes, dim]`."""
        wanted = torch.zeros(vectors.size(0), dtype=torch.bool, device=vectors.device).index_fill_(0, nodes, True)
        edges = edge_index[:, wanted[edge_index[1]]]  # messages to other nodes would be thrown away
        rebuilt: Tensor = self.decoder(self.dropout(vectors), edges)[nodes]
        return rebuilt


class GraphMAE(MaskedFeatures):
    """Masked graph autoencoder [1]: the vectors of hidden nodes are set to zero again before decoding.

    References:
        [1] Hou et al., 2022, GraphMAE: Self-Supervised Masked Graph Autoencoders, arXiv:2205.10803.
    """

    def loss(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Scaled cosine error of the hidden nodes (equation 2)."""
        holes, hidden, _ = self.hide(x)
        vectors = self.to_decoder(self.encoder(holes, drop_edges(edge_index, self.settings.drop_edges)))
        rebuilt = self.decode(vectors.index_fill(0, hidden, 0.0), edge_index, hidden)
        return scaled_cosine_error(rebuilt, x[hidden], self.settings.power)
