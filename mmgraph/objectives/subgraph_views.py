"""Views of a batch of subgraphs, for models made of layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from mmgraph.data.batch import GraphBatch
from mmgraph.errors import InputError
from mmgraph.nn.adjacency import Adjacency
from mmgraph.nn.encoder import EncoderOutput, GraphEncoder
from mmgraph.objectives.base import BatchViews, LinkView, MaskConfig
from mmgraph.objectives.hops import hops_from


class SubgraphViews(BatchViews):
    """Views of a sampled part of a graph; edges are those of the batch.

    Args:
        encoder: The model that is trained.
        batch: Sampled part of one graph.
        mask: How to corrupt it.
        seed: Specific to this batch.
    """

    def __init__(self, encoder: GraphEncoder, batch: GraphBatch, *, mask: MaskConfig, seed: int) -> None:
        self.encoder = encoder
        self.batch = batch
        self.graph_name = batch.graph_name
        self.node_index = batch.node_index
        self.num_seeds = batch.num_seeds
        self.features = batch.features
        self.mask = mask
        self.seed = seed

    @cached_property
    def _adjacency(self) -> Adjacency:
        ones = torch.ones_like(self.batch.edge_type, dtype=torch.float32)
        return Adjacency.from_edges(self.batch.edge_index, ones, self.batch.num_nodes)

    def encode(self, *, masked: Mapping[str, Tensor] | None = None) -> EncoderOutput:
        """Run the encoder on the batch."""
        output: EncoderOutput = self.encoder(
            self.features, self.batch.edge_index, masked=masked, num_nodes=self.batch.num_nodes
        )
        return output

    def reduced(self, rows: Tensor, shown: Mapping[str, Tensor], *, alone: bool) -> Tensor:
        """With neighbours, all rows are hidden in one pass, so that they also see each other with less."""
        if alone:
            features = {name: replace(item.take(rows), present=shown[name]) for name, item in self.features.items()}
            return self.encoder.encode_content(features, rows.numel()).embedding
        masked = {name: torch.zeros_like(item.present) for name, item in self.features.items()}
        for name, item in self.features.items():
            masked[name][rows] = item.present[rows] & ~shown[name]
        return self.encode(masked=masked).embedding[rows]

    def levels(self) -> list[Tensor]:
        """The node itself and the mean of its neighbours in the batch, before any layer."""
        own = self.encoder.fuse(self.features, num_nodes=self.batch.num_nodes).x.detach()
        mean = self._adjacency.multiply(own) / self._adjacency.degree.clamp(min=1).unsqueeze(1)
        return [own[: self.num_seeds], mean[: self.num_seeds]]

    def links(self, count: int, exponent: float, *, cold: float, more: Tensor) -> LinkView | None:
        """Edges of the batch; all that are drawn leave the propagation together. Candidates are all rows."""
        if more.numel():
            raise InputError("links.memory needs sampling.kind 'nodes': a subgraph does not know all edges of a node")
        random = self.generator("links")
        pairs = self._draw(count, exponent, random)
        if pairs.numel() == 0:
            return None
        n, edges = self.batch.num_nodes, self.batch.edge_index
        gone = torch.cat([pairs[0] * n + pairs[1], pairs[1] * n + pairs[0]])
        rest = edges[:, ~torch.isin(edges[0] * n + edges[1], gone)]
        embedding = self.encoder(self.features, rest, num_nodes=n).embedding
        source = embedding[pairs[0]]
        is_cold = torch.rand(pairs.size(1), generator=random, device=pairs.device) < cold
        has_content = torch.zeros(n, dtype=torch.bool, device=pairs.device)
        for item in self.features.values():
            has_content |= item.present
        rows = torch.nonzero(is_cold & has_content[pairs[0]]).flatten()
        if rows.numel():
            shown = {name: item.present[pairs[0, rows]] for name, item in self.features.items()}
            source = source.index_copy(0, rows, self.reduced(pairs[0, rows], shown, alone=True))
        first, second = (self._negatives(pairs[i], pairs[1 - i]) for i in (0, 1))
        nodes = self.node_index[pairs]
        return LinkView(source, embedding[pairs[1]], embedding, (first, second), nodes, self.node_index)

    def _draw(self, count: int, exponent: float, random: torch.Generator) -> Tensor:
        """Edges of the batch, `[2, num_pairs]`, no edge twice."""
        edges, edge_type = self.batch.edge_index, self.batch.edge_type
        usable = torch.nonzero(edges[0] != edges[1]).flatten()
        if usable.numel() > count:
            weight = torch.bincount(edge_type[usable]).double().clamp(min=1).pow(exponent - 1)[edge_type[usable]]
            usable = usable[torch.multinomial(weight, count, generator=random, replacement=False)]
        return edges[:, usable]

    def _negatives(self, query: Tensor, positive: Tensor) -> Tensor:
        """Rows that have no edge with the query in this batch; copies of one node in several subgraphs are one node."""
        is_negative = ~self._adjacency.neighbours_among(query, torch.arange(self.batch.num_nodes, device=query.device))
        for rows in (query, positive):
            is_negative &= self.node_index[rows].unsqueeze(1) != self.node_index.unsqueeze(0)
        return is_negative

    def distances(self, cutoff: int, num_sources: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Distances inside each subgraph, from random rows of it to all others."""
        batch, device = self.batch, self.node_index.device
        num_subgraphs = int(batch.subgraph.max()) + 1 if batch.num_nodes else 0
        rows = torch.arange(batch.num_nodes, device=device)
        pairs, hops = [], []
        for _ in range(num_sources):
            # Sorting by (subgraph, random key) puts one random row of each subgraph first in its run.
            key = batch.subgraph.double() + torch.rand(batch.num_nodes, generator=generator, device=device).double()
            order = torch.argsort(key)
            counts = torch.bincount(batch.subgraph, minlength=num_subgraphs)
            first = torch.cumsum(counts, 0) - counts
            source = order[first[counts > 0]]
            source_of = torch.zeros(num_subgraphs, dtype=torch.int64, device=device)
            source_of[batch.subgraph[source]] = source
            distance = hops_from(source, batch.edge_index, num_nodes=batch.num_nodes, cutoff=cutoff)
            other = distance > 0
            pairs.append(torch.stack([source_of[batch.subgraph[other]], rows[other]]))
            hops.append(distance[other])
        return torch.cat(pairs, dim=1), torch.cat(hops)
