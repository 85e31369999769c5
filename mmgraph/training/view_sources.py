"""Where the batches of a graph come from: subgraphs for models made of layers, single nodes for a `SignEncoder`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.loaders import BatchLoader, SeedOrder
from mmgraph.data.sampling import make_sampler
from mmgraph.nn.build import Encoder
from mmgraph.nn.encoder import GraphEncoder
from mmgraph.nn.sign import SignEncoder
from mmgraph.objectives.base import BatchViews, MaskConfig
from mmgraph.objectives.node_views import GraphEdges, NodeViews
from mmgraph.objectives.subgraph_views import SubgraphViews
from mmgraph.seeding import derive_seed
from mmgraph.training.config import PretrainConfig


class ViewSource(Protocol):
    """Batches of one graph by number; the same number gives the same batch."""

    num_nodes: int

    def views(self, number: int, seed: int) -> BatchViews:
        """Views of a batch.

        Args:
            number: Counts up over the run, so that all nodes are seeds once before any is a seed again.
            seed: Of what is random in the views.
        """


class SubgraphSource:
    """Sampled subgraphs."""

    def __init__(self, encoder: GraphEncoder, loader: BatchLoader, mask: MaskConfig, device: torch.device) -> None:
        self.encoder, self.loader, self.mask, self.device = encoder, loader, mask, device
        self.num_nodes = loader.nodes.numel()

    def views(self, number: int, seed: int) -> BatchViews:
        """See `ViewSource.views`."""
        return SubgraphViews(self.encoder, self.loader.batch(number).to(self.device), mask=self.mask, seed=seed)


class NodeSource:
    """Seeds over blocks that are computed once; graph and blocks stay on the device of the model."""

    def __init__(self, encoder: SignEncoder, graph: MultimodalGraph, order: SeedOrder, mask: MaskConfig) -> None:
        self.encoder, self.order, self.mask = encoder, order, mask
        self.graph = graph.to(encoder.device)
        self.blocks = encoder.graph_blocks(self.graph)
        self.edges = GraphEdges(self.graph)
        self.num_nodes = graph.num_nodes

    def views(self, number: int, seed: int) -> BatchViews:
        """See `ViewSource.views`."""
        seeds = self.order.seeds(number).to(self.encoder.device)
        return NodeViews(self.encoder, self.graph, self.blocks, self.edges, seeds, mask=self.mask, seed=seed)


def view_source(
    encoder: Encoder, graph: MultimodalGraph, config: PretrainConfig, device: torch.device, *, cache: Path
) -> ViewSource:
    """The batches of one graph of a run.

    Args:
        encoder: The model.
        graph: The graph.
        config: Settings of the run.
        device: Where the model lives.
        cache: Folder of computed PPR neighbours.
    """
    seed, size = derive_seed(config.seed, "batches", graph.name), config.sampling.batch_size
    if isinstance(encoder, SignEncoder):
        return NodeSource(encoder, graph, SeedOrder(graph.num_nodes, batch_size=size, seed=seed), config.mask)
    sampler = make_sampler(graph, config.sampling, cache=cache)
    sampler.prepare()
    return SubgraphSource(
        encoder, BatchLoader(sampler, graph.num_nodes, batch_size=size, seed=seed), config.mask, device
    )
