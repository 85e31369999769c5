"""Where the batches of a graph come from: subgraphs for models made of layers, single nodes for a `SignEncoder`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.loaders import BatchLoader, SeedOrder
from mmgraph.data.sampling import make_sampler
from mmgraph.distributed import LOCAL, Ranks
from mmgraph.nn.blocks import GraphBlocks
from mmgraph.nn.build import Encoder
from mmgraph.nn.encoder import GraphEncoder
from mmgraph.nn.sign import SignEncoder
from mmgraph.objectives.base import BatchViews, MaskConfig
from mmgraph.objectives.node_views import GraphEdges, NodeViews, hold_out
from mmgraph.objectives.subgraph_views import SubgraphViews
from mmgraph.seeding import derive_seed, generator
from mmgraph.training.config import PretrainConfig


class ViewSource(Protocol):
    """Batches of one graph by number; the same number gives the same batch."""

    num_nodes: int
    is_shared: bool
    """Whether all ranks work on a batch, each on a part of its rows; else a batch belongs to one rank."""

    def views(self, number: int, seed: int) -> BatchViews:
        """Views of a batch.

        Args:
            number: Counts up over the run, so that all nodes are seeds once before any is a seed again.
            seed: Of what is random in the views.
        """


class SubgraphSource:
    """Sampled subgraphs. A node of one has edges with others of it, so a batch is not divided among ranks."""

    is_shared = False

    def __init__(self, encoder: GraphEncoder, loader: BatchLoader, mask: MaskConfig) -> None:
        self.encoder, self.loader, self.mask = encoder, loader, mask
        self.num_nodes = loader.nodes.numel()

    def views(self, number: int, seed: int) -> BatchViews:
        """See `ViewSource.views`."""
        return SubgraphViews(self.encoder, self.loader.ahead(number).to(self.encoder.device), mask=self.mask, seed=seed)


class NodeSource:
    """Seeds over blocks of the graph; everything stays on the device of the model.

    With `sampling.hold_out`, the blocks are those of the graph without a random part of its pairs of neighbours, drawn
    anew every `sampling.refresh_every` batches, and links are learnt from that part. As in an evaluation, several edges
    of a node are then missing at once. What is drawn depends on the seed and the number of the batch alone.
    """

    is_shared = True

    def __init__(
        self, encoder: SignEncoder, graph: MultimodalGraph, config: PretrainConfig, ranks: Ranks = LOCAL
    ) -> None:
        self.ranks = ranks
        self.encoder, self.mask, self.sampling = encoder, config.mask, config.sampling
        self.seed = derive_seed(config.seed, "batches", graph.name)
        self.order = SeedOrder(graph.num_nodes, batch_size=config.sampling.batch_size, seed=self.seed)
        self.graph = graph.to(encoder.device)
        self.num_nodes = graph.num_nodes
        self.edges = GraphEdges(self.graph)
        self.content = encoder.node_content(self.graph)
        self._round: tuple[int, GraphBlocks, GraphEdges] | None = None

    def views(self, number: int, seed: int) -> BatchViews:
        """See `ViewSource.views`."""
        blocks, targets = self._blocks(number // self.sampling.refresh_every if self.sampling.hold_out else 0)
        seeds = self.order.seeds(number).to(self.encoder.device)
        return NodeViews(
            self.encoder, self.graph, blocks, self.edges, targets, seeds, mask=self.mask, seed=seed, ranks=self.ranks
        )

    def _blocks(self, number: int) -> tuple[GraphBlocks, GraphEdges]:
        if self._round is None or self._round[0] != number:
            self._round = None  # frees the memory of the last round first
            if not self.sampling.hold_out:
                self._round = (number, self.encoder.graph_blocks(self.graph, self.content), self.edges)
            else:
                random = generator(self.seed, "hold out", number)
                rest, held = hold_out(self.graph, self.sampling.hold_out, random)
                self._round = (number, self.encoder.graph_blocks(rest, self.content), GraphEdges(held))
        return self._round[1:]


def view_source(
    encoder: Encoder, graph: MultimodalGraph, config: PretrainConfig, *, cache: Path, ranks: Ranks = LOCAL
) -> ViewSource:
    """The batches of one graph of a run.

    Args:
        encoder: The model.
        graph: The graph.
        config: Settings of the run.
        cache: Folder of computed PPR neighbours, and of the adjacency of large graphs; rank 0 fills it.
        ranks: The processes of the run.
    """
    if isinstance(encoder, SignEncoder):
        return NodeSource(encoder, graph, config, ranks)
    sampler = ranks.main_first(lambda: make_sampler(graph, config.sampling, cache=cache))
    ranks.main_first(sampler.prepare)
    seed, size = derive_seed(config.seed, "batches", graph.name), config.sampling.batch_size
    workers = config.sampling.workers
    loader = BatchLoader(
        sampler, graph.num_nodes, batch_size=size, seed=seed, prefetch=workers, workers=max(workers, 1)
    )
    return SubgraphSource(encoder, loader, config.mask)
