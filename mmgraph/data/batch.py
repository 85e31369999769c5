"""What one training step sees of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """A sampled part of one graph, seeds first. A disjoint union of subgraphs if the sampler makes one per seed.

    Attributes:
        graph_name: Name of the graph, the domain of the batch.
        node_index: `[num_nodes]`: positions in the full graph; a node may occur in several subgraphs.
        num_seeds: The first `num_seeds` rows are the seeds.
        edge_index: `[2, num_edges]`: local positions, messages flow from row 0 to row 1, both directions present.
        edge_type: `[num_edges]`: as in `MultimodalGraph.message_edges`.
        subgraph: `[num_nodes]`: number of the subgraph that a row belongs to (all zero if there is only one).
        features: Features of the rows by modality.
    """

    graph_name: str
    node_index: Tensor
    num_seeds: int
    edge_index: Tensor
    edge_type: Tensor
    subgraph: Tensor
    features: Mapping[str, ModalityFeatures]

    @property
    def num_nodes(self) -> int:
        """Number of rows."""
        return self.node_index.numel()

    def to(self, device: torch.device | str) -> GraphBatch:
        """Copy to a device."""
        return replace(
            self,
            node_index=self.node_index.to(device),
            edge_index=self.edge_index.to(device),
            edge_type=self.edge_type.to(device),
            subgraph=self.subgraph.to(device),
            features={name: features.to(device) for name, features in self.features.items()},
        )

    @classmethod
    def whole(cls, graph: MultimodalGraph) -> GraphBatch:
        """The whole graph as one batch; every node is a seed."""
        edge_index, edge_type = graph.message_edges()
        nodes = torch.arange(graph.num_nodes, device=graph.device)
        return cls(graph.name, nodes, graph.num_nodes, edge_index, edge_type, torch.zeros_like(nodes), graph.features)
