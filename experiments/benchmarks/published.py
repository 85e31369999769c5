"""A step of UniGraph2 [1] in the form of its official code, written anew from a description, for timing.

What that code does, as far as it can run: modalities are averaged, a tenth of the nodes is replaced by one token; a gate chooses
two of eight experts, of which all are computed for all nodes; three bare `GATConv` layers average their four heads; each domain
has a decoder for each of its modalities (scaled cosine error on masked nodes); a decoder of pairs rebuilds the distances in hops
between all nodes of the batch, which are searched anew in every step.

Departures, each of which spares it time or lets it run at all: distances come from a breadth-first search in networkx where the
official code runs Floyd-Warshall in O(N^3); pairs that no path joins are left out where it takes infinity; at most `max_pairs`
pairs enter the loss, as all pairs of a connected batch of 2,048 nodes do not fit into memory; modalities have equal widths.

References:
    [1] He et al., 2025, UniGraph2: Learning a Unified Embedding Space to Bind Multimodal Graphs, arXiv:2502.00806.
"""

from __future__ import annotations

from collections.abc import Mapping

import networkx
import torch
from torch import Tensor, nn

from mmgraph.data.batch import GraphBatch
from mmgraph.objectives.base import scaled_cosine_error


def mean_of_modalities(batch: GraphBatch) -> Tensor:
    """Mean of the centred features that each node has, zero where it has none, `[num_nodes, width]`."""
    items = list(batch.features.values())
    total = torch.zeros(batch.num_nodes, items[0].spec.dim, device=batch.node_index.device)
    for item in items:
        total.index_add_(0, torch.nonzero(item.present).flatten(), item.centred())
    count = torch.stack([item.present for item in items]).sum(dim=0).clamp(min=1)
    return total / count.unsqueeze(1)


def all_distances(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """Ordered pairs of different nodes that a path joins, `[2, num_pairs]`, and their distances in hops, `[num_pairs]`."""
    graph = networkx.DiGraph(edge_index.t().tolist())
    graph.add_nodes_from(range(num_nodes))
    found = [
        (source, target, hops)
        for source, lengths in networkx.all_pairs_shortest_path_length(graph)
        for target, hops in lengths.items()
        if source != target
    ]
    table = torch.tensor(found, dtype=torch.int64).view(-1, 3)
    return table[:, :2].t(), table[:, 2]


class DenseMixture(nn.Module):
    """Top-k mixture that computes every expert for every node, then gathers the chosen ones.

    Shapes:
        - input and output: `[num_nodes, dim]`
    """

    def __init__(self, dim: int, num_experts: int = 8, top_k: int = 2) -> None:
        super().__init__()
        self.top_k = top_k
        self.gate = nn.Linear(dim, num_experts)
        self.experts = nn.ModuleList(mlp(dim, dim, dim) for _ in range(num_experts))

    def forward(self, x: Tensor) -> Tensor:
        """Mix."""
        probability, index = self.gate(x).softmax(dim=1).topk(self.top_k, dim=1)
        answers = torch.stack([expert(x) for expert in self.experts], dim=1)
        chosen = answers.gather(1, index.unsqueeze(2).expand(-1, -1, x.size(1)))
        weight = probability / probability.sum(dim=1, keepdim=True)
        return (weight.unsqueeze(2) * chosen).sum(dim=1)


class PublishedUniGraph2(nn.Module):
    """Network and loss of one step.

    Args:
        domains: Width of each modality of each graph.
        dim: Width of features and embeddings.
        num_layers: Layers of attention.
        mask: Share of the nodes that are masked.
        distance_weight: Factor of the error of distances.
        max_pairs: Pairs in that error at most.
    """

    def __init__(
        self,
        domains: Mapping[str, Mapping[str, int]],
        dim: int,
        *,
        num_layers: int = 3,
        mask: float = 0.1,
        distance_weight: float = 0.5,
        max_pairs: int = 100_000,
    ) -> None:
        from torch_geometric.nn import GATConv

        super().__init__()
        self.mask, self.distance_weight, self.max_pairs = mask, distance_weight, max_pairs
        self.token = nn.Parameter(torch.randn(dim))
        self.mixture = DenseMixture(dim)
        self.convs = nn.ModuleList(GATConv(dim, dim, heads=4, concat=False) for _ in range(num_layers))
        self.decoders = nn.ModuleDict(
            {
                graph: nn.ModuleDict({modality: mlp(dim, dim, width) for modality, width in widths.items()})
                for graph, widths in domains.items()
            }
        )
        self.distance = mlp(2 * dim, dim, 1)

    def loss(self, batch: GraphBatch) -> Tensor:
        """Error of masked features and of distances."""
        masked = torch.randperm(batch.num_nodes)[: max(1, int(self.mask * batch.num_nodes))]
        x = mean_of_modalities(batch).index_copy(0, masked, self.token.expand(masked.numel(), -1))
        x = self.mixture(x)
        for conv in self.convs:
            x = conv(x, batch.edge_index)
        error = x.new_zeros(())
        for modality, decoder in self.decoders[batch.graph_name].items():  # type: ignore[operator, union-attr]
            item = batch.features[modality]
            rows = masked[item.present[masked]]
            if rows.numel():
                target = item.take(rows).centred()
                error = error + scaled_cosine_error(decoder(x[rows]), target, gamma=2.0)
        pairs, hops = all_distances(batch.edge_index, batch.num_nodes)
        if hops.numel() > self.max_pairs:
            kept = torch.randint(hops.numel(), (self.max_pairs,))
            pairs, hops = pairs[:, kept], hops[kept]
        if hops.numel():
            predicted = self.distance(torch.cat([x[pairs[0]], x[pairs[1]]], dim=1)).squeeze(1)
            error = error + self.distance_weight * nn.functional.mse_loss(predicted, hops.float())
        return error


def mlp(in_dim: int, hidden_dim: int, out_dim: int) -> nn.Sequential:
    """The form that experts and decoders have."""
    return nn.Sequential(
        nn.Linear(in_dim, hidden_dim), nn.LayerNorm(hidden_dim), nn.GELU(), nn.Linear(hidden_dim, out_dim)
    )
