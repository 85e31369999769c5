"""The default model: a network over levels and relations of a node's neighbourhood that starts at smoothed features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.nn.adjacency import relation_keys
from mmgraph.nn.alignment import FeatureAlignment
from mmgraph.nn.blocks import GraphBlocks, NodeBlocks, content_blocks
from mmgraph.nn.content import NodeContent
from mmgraph.nn.encoder import EncoderConfig, EncoderOutput
from mmgraph.nn.moe import MixtureOfExperts


class SignEncoder(nn.Module):
    """Mixture of experts over the blocks of a node, added to a weighted sum of its levels.

    `z = unit(sum_l w_l S^l x + v_l S^l R) + W_out MoE(h)` with `h = GELU(LayerNorm(sum over blocks of W_b b + ...))`.
    The blocks are the modalities that a node shows, its levels `S^l x`, the structure levels `S^l R`, and the mean over
    its neighbours along each relation and direction, see `GraphBlocks`. `v` and `W_out` are zero at first: the untrained
    model is the control `smoothed_features` in the aligned space, and training can only add to it. Weights `W_b` of the
    structure belong to one graph, as the signs in `R` mean nothing elsewhere. With several graphs, each also has a
    correction `W_g` of its own that is added to `W_out`: what graphs have in common is learnt once, what they do not
    need not be squeezed into the width of one. Relations and graphs that were not
    trained on are left out, feature spaces that were not are aligned by `adopt`, so the model runs on unseen graphs.

    Propagation has no parameters (SIGN [1], and NARS [2] for relations), the mixture of experts comes after it: a step
    costs as much as one of a perceptron, and the edge that a loss asks for can be left out exactly.

    Args:
        config: Shape; `gnn.conv` must be `sign`.
        specs: The feature spaces to accept.
        relations: Keys of the relations, see `GraphBlocks.relation_keys`.
        graphs: Names of the graphs with weights of their own for the structure.
        modalities: Modalities with weights of their own; those of `specs` by default.

    Shapes:
        - input: `NodeBlocks` of `num_nodes` nodes
        - output: `embedding` `[num_nodes, dim]`, `levels` the inputs `S^l x`, then the embedding

    References:
        [1] Frasca et al., 2020, SIGN: Scalable Inception Graph Neural Networks, arXiv:2004.11198.
        [2] Yu et al., 2020, Scalable Graph Neural Networks for Heterogeneous Graphs, arXiv:2011.09679.
    """

    def __init__(
        self,
        config: EncoderConfig,
        specs: Iterable[FeatureSpec],
        relations: Iterable[str] = (),
        graphs: Iterable[str] = (),
        *,
        modalities: Iterable[str] | None = None,
    ) -> None:
        super().__init__()
        if config.gnn.conv != "sign":
            raise InputError(f"SignEncoder needs gnn.conv 'sign', got {config.gnn.conv!r}")
        self.config = config
        self.alignment = FeatureAlignment(config.dim, sorted(set(specs), key=lambda spec: spec.key))
        self.modalities = self.alignment.modalities if modalities is None else tuple(modalities)
        self.relations = tuple(sorted(set(relations))) if config.gnn.relations else ()
        hidden = round(config.dim * config.gnn.hidden_mult)
        has_structure = config.gnn.structure and len(config.gnn.level_weights) > 1
        self.graphs = tuple(sorted(set(graphs))) if has_structure else ()
        self.level_weights = nn.Parameter(torch.empty(len(config.gnn.level_weights)))
        self.level_in = nn.ModuleList(nn.Linear(config.dim, hidden, bias=False) for _ in config.gnn.level_weights)
        self.modality_in = nn.ModuleList(nn.Linear(config.dim, hidden) for _ in self.modalities)
        # One column more: the logarithm of the number of neighbours.
        self.relation_in = nn.ModuleList(nn.Linear(config.dim + 1, hidden) for _ in self.relations)
        self.structure_weights = nn.Parameter(torch.empty(self.num_layers if has_structure else 0))
        self.structure_in = nn.ModuleList(
            nn.Linear(config.dim * self.num_layers, hidden, bias=False) for _ in self.graphs
        )
        self.degree_in = nn.Linear(2, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.moe = MixtureOfExperts(hidden, config.moe)
        self.out = nn.Linear(hidden, config.dim)
        several = self.graphs if len(self.graphs) > 1 else ()
        self.graph_out = nn.ModuleList(nn.Linear(hidden, config.dim, bias=False) for _ in several)
        self.reset_parameters()

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """The feature spaces that the model accepts."""
        return self.alignment.specs

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return self.config.dim

    @property
    def num_layers(self) -> int:
        """Number of levels above the node itself."""
        return len(self.config.gnn.level_weights) - 1

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.level_weights.device

    def reset_parameters(self, generator: torch.Generator | None = None, *, zero_init: bool | None = None) -> None:
        """Draw all parameters anew; the alignment of features stays.

        Args:
            generator: Gives the seed; torch's global generator is then left as it was.
            zero_init: Whether the correction starts at zero; as configured by default.
        """
        if generator is not None:
            seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(seed)
                self.reset_parameters(zero_init=zero_init)
            return
        with torch.no_grad():
            self.level_weights.copy_(torch.tensor(self.config.gnn.level_weights))
            self.structure_weights.zero_()
        blocks = (*self.level_in, *self.modality_in, *self.relation_in, *self.structure_in, self.degree_in)
        for module in (*blocks, self.norm, self.out):
            assert isinstance(module, nn.Linear | nn.LayerNorm)
            module.reset_parameters()
        self.moe.reset_parameters()
        for module in self.graph_out:
            assert isinstance(module, nn.Linear)
            nn.init.zeros_(module.weight)
        if self.config.gnn.zero_init if zero_init is None else zero_init:
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def adopt(self, features: Iterable[ModalityFeatures]) -> None:
        """Accept the feature spaces of another graph: those that are new are aligned by their principal axes."""
        self.alignment.fit([item for item in features if item.spec not in self.specs])

    def extend(self, graph: MultimodalGraph) -> None:
        """Give the model weights for what is new in a graph that it is to be trained on: features, relations, structure.

        The new weights are zero, so the model computes what it did before. Without them, what is new is left out.
        """
        self.adopt(graph.features.values())
        self.modalities = self._grow(self.modality_in, self.modalities, graph.features, self.config.dim, bias=True)
        if self.config.gnn.relations:
            keys = relation_keys(graph).values()
            self.relations = self._grow(self.relation_in, self.relations, keys, self.config.dim + 1, bias=True)
        if self.structure_weights.numel():
            width = self.config.dim * self.num_layers
            every = {*self.graphs, graph.name}
            if len(every) > 1:
                there = self.graphs if len(self.graph_out) else ()
                self._grow(self.graph_out, there, every, self.out.in_features, bias=False)
            self.graphs = self._grow(self.structure_in, self.graphs, [graph.name], width, bias=False)

    def _grow(
        self, modules: nn.ModuleList, names: tuple[str, ...], more: Iterable[str], in_dim: int, *, bias: bool
    ) -> tuple[str, ...]:
        """Add a layer of zeros for each new name; layers stay in alphabetical order of their names."""
        by_name = dict(zip(names, modules, strict=True))
        out_dim = self.config.dim if modules is self.graph_out else self.out.in_features
        for name in more:
            if name not in by_name:
                new = nn.Linear(in_dim, out_dim, bias=bias, device=self.device)
                for parameter in new.parameters():
                    nn.init.zeros_(parameter)
                by_name[name] = new
        ordered = tuple(sorted(by_name))
        while len(modules):
            modules.pop(0)
        modules.extend(by_name[name] for name in ordered)
        return ordered

    def node_content(self, graph: MultimodalGraph) -> NodeContent:
        """The aligned features of all nodes of a graph, on its device.

        Raises:
            InputError: If a feature space is unknown.
        """
        return NodeContent(graph, self.alignment)

    def graph_blocks(self, graph: MultimodalGraph, content: NodeContent | None = None) -> GraphBlocks:
        """The blocks of all nodes of a graph, on its device.

        Args:
            graph: The graph.
            content: Its `node_content`, where it is at hand; edges do not matter to it.

        Raises:
            InputError: If a feature space is unknown.
        """
        content = self.node_content(graph) if content is None else content
        return GraphBlocks(graph, content, num_levels=self.num_layers)

    def encode_content(
        self, features: Mapping[str, ModalityFeatures], num_nodes: int, *, graph_name: str = ""
    ) -> EncoderOutput:
        """Embed nodes without edges, for instance queries, as nodes of the graph of this name."""
        blocks = content_blocks(features, self.alignment, num_nodes, num_levels=self.num_layers, graph_name=graph_name)
        output: EncoderOutput = self(blocks)
        return output

    def forward(self, blocks: NodeBlocks) -> EncoderOutput:
        """Embed nodes."""
        levels = blocks.levels
        parts = [weight * level for weight, level in zip(self.level_weights, levels, strict=True)]
        if self.config.gnn.structure:
            parts += [w * level for w, level in zip(self.structure_weights, blocks.structure, strict=True)]
        base = torch.stack(parts).sum(dim=0)
        hidden = self._hidden(blocks)
        mixed, routing = self.moe(nn.functional.gelu(self.norm(hidden)))
        embedding = nn.functional.normalize(base, dim=1, eps=1e-6) + self.out(mixed)
        if len(self.graph_out) and blocks.graph in self.graphs:
            embedding = embedding + self.graph_out[self.graphs.index(blocks.graph)](mixed)
        return EncoderOutput(embedding, [*levels, embedding], routing)

    def _hidden(self, blocks: NodeBlocks) -> Tensor:
        degree = blocks.degree.to(self.level_weights.dtype)
        hidden: Tensor = self.degree_in(torch.stack([degree.log1p(), (degree > 0).to(degree.dtype)], dim=1))
        for linear, level in zip(self.level_in, blocks.levels, strict=True):
            hidden = hidden + linear(nn.functional.normalize(level, dim=1, eps=1e-6))
        for modality, linear in zip(self.modalities, self.modality_in, strict=True):
            if modality in blocks.content:
                rows, values = blocks.content[modality]
                hidden = hidden.index_add(0, rows, linear(values).to(hidden.dtype))
        if blocks.graph in self.graphs:
            structure = torch.cat([nn.functional.normalize(x, dim=1, eps=1e-6) for x in blocks.structure], dim=1)
            hidden = hidden + self.structure_in[self.graphs.index(blocks.graph)](structure)
        for block in blocks.relations:
            if block.key in self.relations:
                linear = self.relation_in[self.relations.index(block.key)]
                inputs = torch.cat([block.mean, block.weight.log1p().unsqueeze(1)], dim=1)
                hidden = hidden.index_add(0, block.rows, linear(inputs).to(hidden.dtype))
        return hidden
