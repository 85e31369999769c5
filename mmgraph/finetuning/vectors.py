"""Vectors of nodes that gradients flow through, for both kinds of encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.sampling import NeighborSampler
from mmgraph.inference.embed import ROWS_AT_ONCE, embed, evaluating
from mmgraph.nn.blocks import GraphBlocks
from mmgraph.nn.build import Encoder
from mmgraph.nn.encoder import GraphEncoder
from mmgraph.nn.sign import SignEncoder
from mmgraph.seeding import generator

FANOUTS = (10, 10, 5)
"""Neighbours that a training step of a `GraphEncoder` samples, layer by layer; evaluation takes all of them."""


class NodeVectors(ABC):
    """Embeds nodes of one graph.

    Attributes:
        encoder: The model.
        graph: The graph, on the device of the model.
    """

    encoder: Encoder
    graph: MultimodalGraph

    @abstractmethod
    def of(self, rows: Tensor, step: int) -> Tensor:
        """Embeddings `[num_rows, dim]` with gradients.

        Args:
            rows: `[num_rows]`: positions in the graph.
            step: Number of the step, which decides what is sampled.
        """

    @abstractmethod
    def exact(self, rows: Tensor) -> Tensor:
        """The same with all neighbours and without gradients."""

    def every(self) -> Tensor:
        """Embeddings of all nodes as `exact` gives them, `[num_nodes, dim]`."""
        return self.exact(torch.arange(self.graph.num_nodes, device=self.encoder.device))


class BlockVectors(NodeVectors):
    """Over precomputed blocks; nothing is sampled."""

    encoder: SignEncoder

    def __init__(self, encoder: SignEncoder, graph: MultimodalGraph, blocks: GraphBlocks | None = None) -> None:
        self.encoder, self.graph = encoder, graph.to(encoder.device)
        self.blocks = encoder.graph_blocks(self.graph) if blocks is None else blocks

    def of(self, rows: Tensor, step: int) -> Tensor:
        """See `NodeVectors.of`."""
        del step
        embedding: Tensor = self.encoder(self.blocks.gather(rows)).embedding
        return embedding

    def exact(self, rows: Tensor) -> Tensor:
        """See `NodeVectors.exact`."""
        with evaluating(self.encoder), torch.no_grad():
            return torch.cat([self.of(part, 0) for part in torch.split(rows, ROWS_AT_ONCE)])


class SampledVectors(NodeVectors):
    """Over sampled neighbourhoods."""

    encoder: GraphEncoder

    def __init__(self, encoder: GraphEncoder, graph: MultimodalGraph, seed: int) -> None:
        self.encoder, self.graph, self.seed = encoder, graph.to(encoder.device), seed
        fanouts = (FANOUTS + (FANOUTS[-1],) * encoder.num_layers)[: max(encoder.num_layers, 1)]
        self.sampler = NeighborSampler(graph.to("cpu"), fanouts)

    def of(self, rows: Tensor, step: int) -> Tensor:
        """See `NodeVectors.of`."""
        distinct, place = torch.unique(rows, return_inverse=True)
        batch = self.sampler.sample(distinct.cpu(), generator(self.seed, "neighbours", step)).to(self.encoder.device)
        output = self.encoder(batch.features, batch.edge_index, num_nodes=batch.num_nodes)
        embedding: Tensor = output.embedding[: batch.num_seeds][place]
        return embedding

    def exact(self, rows: Tensor) -> Tensor:
        """See `NodeVectors.exact`."""
        return embed(self.encoder, self.graph).vectors[rows]


def rows_to_predict(graph: MultimodalGraph, ids: pa.ChunkedArray) -> tuple[Tensor, pa.Array]:
    """Nodes that a node task can say something about: all of the types that it has answers for.

    Args:
        graph: The graph.
        ids: Ids of the nodes with an answer.

    Returns:
        Positions `[num_rows]`, ascending, and their ids.
    """
    known = torch.from_numpy(graph.node_ids.positions(ids)).to(graph.device)
    rows = torch.nonzero(torch.isin(graph.node_type, torch.unique(graph.node_type[known]))).flatten()
    return rows, pa.array(graph.node_ids.values[rows.cpu().numpy()])


def node_vectors(encoder: Encoder, graph: MultimodalGraph, seed: int) -> NodeVectors:
    """Vectors of the nodes of a graph for any encoder."""
    if isinstance(encoder, SignEncoder):
        return BlockVectors(encoder, graph)
    return SampledVectors(encoder, graph, seed)
