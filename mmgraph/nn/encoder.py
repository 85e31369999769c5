"""The model: features and edges in, one vector per node out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.errors import InputError
from mmgraph.nn.gnn import GNN, GNNConfig
from mmgraph.nn.message_graph import MessageGraph
from mmgraph.nn.moe import MixtureOfExperts, MoEConfig, Routing
from mmgraph.nn.projection import ModalityFusion


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of the graph encoder.

    Attributes:
        dim: Width of all node vectors; the default is that of the text encoder `minilm`.
        moe: Mixture of experts.
        gnn: Message passing.
    """

    dim: int = 384
    moe: MoEConfig = field(default_factory=MoEConfig)
    gnn: GNNConfig = field(default_factory=GNNConfig)

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InputError(f"dim must be at least 1, got {self.dim}")
        if self.gnn.conv == "gat" and self.dim % self.gnn.heads:
            raise InputError(f"dim must be a multiple of gnn.heads, got dim {self.dim} and {self.gnn.heads} heads")


@dataclass(frozen=True, eq=False)
class FusedNodes:
    """Node vectors before message passing.

    Attributes:
        x: `[num_nodes, dim]`.
        routing: What the mixture of experts did.
    """

    x: Tensor
    routing: Routing


@dataclass(frozen=True, eq=False)
class EncoderOutput:
    """Everything that a forward pass gives.

    Attributes:
        embedding: `[num_nodes, dim]`, the last level.
        levels: Node vectors after 0, 1, ... layers of message passing, each `[num_nodes, dim]`; of a `SignEncoder` what
            it reads, then the embedding.
        routing: What the mixture of experts did.
    """

    embedding: Tensor
    levels: list[Tensor]
    routing: Routing


class GraphEncoder(nn.Module):
    """Multimodal graph encoder: projection per feature space, mixture of experts, message passing.

    After UniGraph2 [1], with the choices of our own that the parts name. It knows no graph: it takes the features of
    any nodes and the edges between them, so it runs on subgraphs, on whole graphs and on graphs it never saw, as long
    as their feature spaces are known. Parameters are drawn from torch's global generator: call `torch.manual_seed`
    first, or `reset_parameters` with a generator afterwards.

    Args:
        config: Shape of the model.
        specs: The feature spaces to accept; repetitions are dropped, the order does not matter.

    References:
        [1] He et al., 2025, UniGraph2: Learning a Unified Embedding Space to Bind Multimodal Graphs, arXiv:2502.00806.
    """

    def __init__(self, config: EncoderConfig, specs: Iterable[FeatureSpec]) -> None:
        super().__init__()
        if config.gnn.conv == "sign":
            raise InputError("GraphEncoder needs gnn.conv 'gat' or 'sage', got 'sign'; build_encoder chooses the class")
        self.config = config
        self.specs = tuple(sorted(set(specs), key=lambda spec: spec.key))
        self.fusion = ModalityFusion(config.dim, self.specs)
        self.moe = MixtureOfExperts(config.dim, config.moe)
        self.gnn = GNN(config.dim, config.gnn)

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return self.config.dim

    @property
    def num_layers(self) -> int:
        """Number of message-passing layers."""
        return self.config.gnn.num_layers

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.fusion.tokens.device

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all parameters anew.

        Args:
            generator: Gives the seed; torch's global generator is then left as it was. Without it the global generator
                is used.
        """
        if generator is None:
            self._reset()
            return
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            self._reset()

    def _reset(self) -> None:
        self.fusion.reset_parameters()
        self.moe.reset_parameters()
        self.gnn.reset_parameters()

    def fuse(
        self,
        features: Mapping[str, ModalityFeatures],
        *,
        masked: Mapping[str, Tensor] | None = None,
        num_nodes: int | None = None,
    ) -> FusedNodes:
        """Project, fuse and align the features of each node by itself.

        Args:
            features: Features by modality.
            masked: By modality, `[num_nodes]` bool: rows to treat as absent.
            num_nodes: Needed only if `features` is empty.

        Raises:
            InputError: If a feature space is unknown, or masks or features do not fit.
        """
        x, routing = self.moe(self.fusion(features, masked=masked, num_nodes=num_nodes))
        return FusedNodes(x, routing)

    def propagate(self, x: Tensor, edge_index: Tensor | MessageGraph) -> list[Tensor]:
        """Levels `0 .. num_layers`, each `[num_nodes, dim]`; level 0 is `x`.

        Args:
            x: `[num_nodes, dim]`.
            edge_index: `[2, num_edges]`, messages flow from row 0 to row 1; or the same edges sorted once before.
        """
        levels: list[Tensor] = self.gnn(x, edge_index)
        return levels

    def layer(self, number: int, x_source: Tensor, x_target: Tensor, edge_index: Tensor | MessageGraph) -> Tensor:
        """One layer of message passing from some rows to others, `[num_targets, dim]`.

        Args:
            number: Index of the layer, `0 .. num_layers - 1`.
            x_source: `[num_sources, dim]`, level `number` of the nodes that send.
            x_target: `[num_targets, dim]`, level `number` of the nodes that receive.
            edge_index: `[2, num_edges]`: row 0 indexes `x_source`, row 1 `x_target`; or the same edges sorted before.
        """
        return self.gnn.layer(number, x_source, x_target, edge_index)

    def encode_content(
        self, features: Mapping[str, ModalityFeatures], num_nodes: int, *, graph_name: str = ""
    ) -> EncoderOutput:
        """Embed nodes without edges, for instance queries; the same in every graph."""
        del graph_name
        edge_index = torch.empty(2, 0, dtype=torch.int64, device=self.device)
        output: EncoderOutput = self(features, edge_index, num_nodes=num_nodes)
        return output

    def forward(
        self,
        features: Mapping[str, ModalityFeatures],
        edge_index: Tensor | MessageGraph,
        *,
        masked: Mapping[str, Tensor] | None = None,
        num_nodes: int | None = None,
    ) -> EncoderOutput:
        """Encode nodes. Arguments as in `fuse` and `propagate`."""
        fused = self.fuse(features, masked=masked, num_nodes=num_nodes)
        levels = self.propagate(fused.x, edge_index)
        return EncoderOutput(levels[-1], levels, fused.routing)
