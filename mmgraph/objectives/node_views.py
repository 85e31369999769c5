"""Views of single nodes over precomputed blocks, for a `SignEncoder`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.distributed import LOCAL, Ranks
from mmgraph.nn.adjacency import Adjacency
from mmgraph.nn.blocks import GraphBlocks
from mmgraph.nn.encoder import EncoderOutput
from mmgraph.nn.moe import balance_loss
from mmgraph.nn.sign import SignEncoder
from mmgraph.objectives.base import BatchViews, LinkView, MaskConfig
from mmgraph.objectives.hops import hops_from


class GraphEdges:
    """Edges of a graph to draw pairs from, once per graph.

    Args:
        graph: The graph.
        codes: Only messages of these types, numbered as in `MultimodalGraph.message_edges`.
    """

    def __init__(self, graph: MultimodalGraph, *, codes: Sequence[int] | None = None) -> None:
        edge_index, edge_type = graph.message_edges()
        other = edge_index[0] != edge_index[1]
        if codes is not None:
            other &= torch.isin(edge_type, torch.tensor(codes, device=edge_type.device))
        self.edge_index, self.edge_type = edge_index[:, other], edge_type[other]
        # By type, so that a draw is: a type, then an edge of it.
        order = torch.argsort(self.edge_type, stable=True)
        self._order = order
        self._count = torch.bincount(self.edge_type, minlength=1)
        self._first = torch.cumsum(self._count, 0) - self._count
        self.num_nodes = graph.num_nodes

    @cached_property
    def adjacency(self) -> Adjacency:
        """Which nodes are neighbours."""
        ones = torch.ones_like(self.edge_type, dtype=torch.float32)
        return Adjacency.from_edges(self.edge_index, ones, self.num_nodes)

    def draw(self, count: int, exponent: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw edges with replacement: the edges `[2, count]` and their types; none from a graph without edges.

        Args:
            count: Number of edges.
            exponent: A type is drawn in proportion to its number of edges to this power.
            generator: Source of randomness.
        """
        if self.edge_type.numel() == 0:
            return self.edge_index[:, :0], self.edge_type[:0]
        weight = torch.where(self._count > 0, self._count.double().clamp(min=1).pow(exponent), 0.0)
        chosen = torch.multinomial(weight, count, replacement=True, generator=generator)
        device = chosen.device
        place = (torch.rand(count, generator=generator, device=device).double() * self._count[chosen]).long()
        place = torch.minimum(place, self._count[chosen] - 1)
        return self.edge_index[:, self._order[self._first[chosen] + place]], chosen


def hold_out(
    graph: MultimodalGraph, share: float, generator: torch.Generator, *, relations: Collection[str] | None = None
) -> tuple[MultimodalGraph, MultimodalGraph]:
    """Split the edges of a graph at random, all edges between two nodes together.

    Args:
        graph: The graph.
        share: Of the pairs of neighbours, in the second graph.
        generator: Source of randomness, on the CPU.
        relations: Only pairs that have an edge of these relations are drawn, but with all of their edges; all by default.

    Returns:
        The graph without the drawn pairs, and the graph with nothing but their edges of the chosen relations.
    """
    n = graph.num_nodes
    keys = [torch.minimum(*r.edge_index) * n + torch.maximum(*r.edge_index) for r in graph.relations.values()]
    if not keys:
        return graph, graph
    pairs, place = torch.unique(torch.cat(keys), return_inverse=True)
    drawn = (torch.rand(pairs.numel(), generator=generator) < share).to(graph.device)
    if relations is not None:
        is_asked = torch.cat(
            [k.new_full(k.shape, name in relations) for name, k in zip(graph.relations, keys, strict=True)]
        )
        drawn &= torch.zeros_like(pairs).index_add_(0, place, is_asked) > 0
    held = drawn[place]
    rest, gone = {}, {}
    for (name, relation), mine in zip(graph.relations.items(), torch.split(held, [len(k) for k in keys]), strict=True):
        rest[name] = relation.take(~mine)
        gone[name] = relation.take(mine if relations is None or name in relations else torch.zeros_like(mine))
    return replace(graph, relations=rest), replace(graph, relations=gone)


class NodeViews(BatchViews):
    """Views of seed nodes with all of their neighbours.

    Args:
        encoder: The model that is trained.
        graph: The graph.
        blocks: Blocks of the graph, or of the graph without the edges to learn from.
        edges: All edges.
        targets: The edges to learn from.
        seeds: `[num_seeds]`: positions of the nodes.
        mask: How to corrupt them.
        seed: Specific to this batch.
        ranks: Who shares the seeds.
    """

    def __init__(
        self,
        encoder: SignEncoder,
        graph: MultimodalGraph,
        blocks: GraphBlocks,
        edges: GraphEdges,
        targets: GraphEdges,
        seeds: Tensor,
        *,
        mask: MaskConfig,
        seed: int,
        ranks: Ranks = LOCAL,
    ) -> None:
        self.encoder, self.graph, self.blocks = encoder, graph, blocks
        self.edges, self.targets = edges, targets
        self.graph_name = graph.name
        self.node_index = seeds
        self.num_seeds = seeds.numel()
        self.features = {name: item.take(seeds) for name, item in graph.features.items()}
        self.mask = mask
        self.seed = seed
        self.ranks = ranks

    def encode(self, *, masked: Mapping[str, Tensor] | None = None) -> EncoderOutput:
        """Embed the seeds; what they hide, their neighbours still show of themselves.

        Each rank embeds its part. Embeddings and the statistics of the routing are those of all seeds; levels, experts and
        gates stay those of the part.
        """
        part = self.ranks.part(self.num_seeds)
        shown = None if masked is None else {name: ~part.of(rows) for name, rows in masked.items()}
        output: EncoderOutput = self.encoder(self.blocks.gather(part.of(self.node_index), shown=shown))
        embedding = self.ranks.gather(output.embedding, self.num_seeds)
        routing = output.routing
        load = self.ranks.total(part.share * routing.load)
        importance = self.ranks.total(part.share * routing.importance)
        balance = balance_loss(load, importance)
        return EncoderOutput(
            embedding, output.levels, replace(routing, load=load, importance=importance, balance_loss=balance)
        )

    def reduced(self, rows: Tensor, shown: Mapping[str, Tensor], *, alone: bool) -> Tensor:
        """Embed some seeds that show less."""
        output: EncoderOutput = self.encoder(self.blocks.gather(self.node_index[rows], shown=shown, alone=alone))
        return output.embedding

    def levels(self) -> list[Tensor]:
        """The levels that the network reads."""
        return [level[self.node_index] for level in self.blocks.levels]

    def links(self, count: int, exponent: float, *, cold: float, more: Tensor) -> LinkView | None:
        """Edges that the blocks lack, or else are left out for their own two ends. Candidates are the seeds.

        All edges are drawn on every rank, but each embeds its part of them only.
        """
        random = self.generator("links")
        nodes, _ = self.targets.draw(count, exponent, random)
        if nodes.numel() == 0:
            return None
        part = self.ranks.part(nodes.size(1))
        is_cold = part.of(torch.rand(nodes.size(1), generator=random, device=nodes.device)) < cold
        nodes = part.of(nodes, dim=1)
        held_out = self.targets is not self.edges
        source, target = (
            self.encoder(self.blocks.gather(nodes[i], without=None if held_out else nodes[1 - i])).embedding
            for i in (0, 1)
        )
        rows = torch.nonzero(is_cold & self.blocks.content.has_any[nodes[0]]).flatten()
        if rows.numel():
            alone = self.encoder(self.blocks.gather(nodes[0, rows], alone=True)).embedding
            source = source.index_copy(0, rows, alone.to(source.dtype))
        candidates = torch.cat([self.node_index, more])
        first, second = (self._negatives(nodes[i], nodes[1 - i], candidates) for i in (0, 1))
        return LinkView(source, target, self.clean.embedding, (first, second), nodes, self.node_index, part.weight)

    def _negatives(self, query: Tensor, positive: Tensor, candidates: Tensor) -> Tensor:
        known = self.edges.adjacency.neighbours_among(query, candidates)
        wrong_type = self.graph.node_type[positive].unsqueeze(1) != self.graph.node_type[candidates]
        return ~(known | wrong_type | (query.unsqueeze(1) == candidates))

    def distances(self, cutoff: int, num_sources: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Distances in the whole graph, from random seeds to all other seeds."""
        device = self.node_index.device
        order = torch.randperm(self.num_seeds, generator=generator, device=device)
        rows = torch.arange(self.num_seeds, device=device)
        pairs, hops = [rows.new_zeros(2, 0)], [rows[:0]]
        for source in order[:num_sources]:
            found = hops_from(
                self.node_index[source : source + 1],
                self.edges.edge_index,
                num_nodes=self.graph.num_nodes,
                cutoff=cutoff,
            )[self.node_index]
            other = found > 0
            pairs.append(torch.stack([source.expand_as(rows)[other], rows[other]]))
            hops.append(found[other])
        return torch.cat(pairs, dim=1), torch.cat(hops)
