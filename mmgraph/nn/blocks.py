"""What a node and its neighbourhood look like before training: one block per level and per relation.

The blocks depend on the features and the edges alone, so they are computed once per graph. A network that reads them
(`SignEncoder`) then trains on any nodes in any order, at the cost of a perceptron. Views of a node that a loss needs
are cheap as well: without some of its content, without neighbours, or without one edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.nn.adjacency import Adjacency, message_weights, relation_keys
from mmgraph.nn.alignment import FeatureAlignment
from mmgraph.nn.content import NodeContent, fuse


@dataclass(frozen=True, eq=False)
class RelationBlock:
    """Weighted mean over the neighbours along one direction of one relation.

    Attributes:
        key: Name of the relation and its direction, see `relation_keys`.
        rows: `[num_rows]`: which rows of the batch have such neighbours.
        mean: `[num_rows, dim]`.
        weight: `[num_rows]`: sum of the weights of the edges, their number if they have none.
    """

    key: str
    rows: Tensor
    mean: Tensor
    weight: Tensor


@dataclass(frozen=True, eq=False)
class NodeBlocks:
    """Input of a `SignEncoder` for some nodes.

    Attributes:
        content: By modality: which rows show it, and their aligned features `[num_rows, dim]`.
        levels: `[num_nodes, dim]` each: the node itself, then its neighbourhood after 1, 2, ... steps.
        structure: `[num_nodes, dim]` each: which nodes are 1, 2, ... steps away, as random projections.
        relations: One block for each relation and direction along which any of the nodes has a neighbour.
        degree: `[num_nodes]`: sum of the weights of all edges.
        graph: Name of the graph.
    """

    content: Mapping[str, tuple[Tensor, Tensor]]
    levels: list[Tensor]
    structure: list[Tensor]
    relations: list[RelationBlock]
    degree: Tensor
    graph: str

    @property
    def num_nodes(self) -> int:
        """Number of rows."""
        return self.degree.numel()


@dataclass(frozen=True, eq=False)
class _Relation:
    adjacency: Adjacency
    position: Tensor
    total: Tensor
    weight: Tensor


class GraphBlocks:
    """The blocks of all nodes of a graph.

    Level 0 is the mean of a node's aligned modalities, scaled to unit length; a node without content (a user) has the
    mean of its neighbours that have content. Level `l` is `S^l` times level 0, with `S = D^-1/2 A D^-1/2` over all
    relations in both directions and no edge from a node to itself. These are the levels of the control
    `smoothed_features`, and of SIGN [1]; the mean per relation is that of NARS [2]. Structure level `l >= 1` is `S^l R`
    with a row of random signs per node in `R`: products of its rows estimate products of the rows of `S^l` [3], which
    is what neighbours two nodes have in common. The signs depend on the id of a node alone.

    Args:
        graph: The graph.
        content: What its nodes show, aligned.
        num_levels: Levels above 0; 0, 1 or 2, since views without an edge have a closed form up to 2.

    References:
        [1] Frasca et al., 2020, SIGN: Scalable Inception Graph Neural Networks, arXiv:2004.11198.
        [2] Yu et al., 2020, Scalable Graph Neural Networks for Heterogeneous Graphs, arXiv:2011.09679.
        [3] Chen et al., 2019, Fast and Accurate Network Embeddings via Very Sparse Random Projection, arXiv:1908.11512.
    """

    def __init__(self, graph: MultimodalGraph, content: NodeContent, *, num_levels: int = 2) -> None:
        self.graph_name = graph.name
        self.num_nodes = graph.num_nodes
        self.content = content
        self.dim = content.dim
        device = graph.device
        edge_index, edge_type = graph.message_edges()
        weight = message_weights(graph)
        self.adjacency = Adjacency.from_edges(edge_index, weight, graph.num_nodes)
        everything = torch.arange(graph.num_nodes, device=device)
        x = content.own
        self._fill = self._fill_empty(x)
        self.x = self._complete(x, everything, None)
        scale = self.adjacency.degree.clamp(min=1e-12).rsqrt()
        self._scale = torch.where(self.adjacency.degree > 0, scale, torch.zeros_like(scale))
        self.levels: list[Tensor] = [self.x]
        self.structure: list[Tensor] = [content.signs]
        for _ in range(num_levels):
            self.levels.append(self._smooth(self.levels[-1]))
            self.structure.append(self._smooth(self.structure[-1]))
        self._self_return = self._second_diagonal()
        self._relations: dict[str, _Relation] = {}
        for code, key in relation_keys(graph).items():
            chosen = edge_type == code
            if bool(chosen.any()):
                self._relations[key] = self._relation(edge_index[:, chosen], weight[chosen])

    @property
    def relation_keys(self) -> tuple[str, ...]:
        """Keys of the relations and directions that have edges."""
        return tuple(self._relations)

    def gather(
        self,
        rows: Tensor,
        *,
        shown: Mapping[str, Tensor] | None = None,
        without: Tensor | None = None,
        alone: bool = False,
    ) -> NodeBlocks:
        """Blocks of some nodes, each seen in its own way.

        Args:
            rows: `[num_rows]`: positions in the graph; a node may occur several times.
            shown: By modality, `[num_rows]` bool: what each node shows of itself; everything that is present by
                default. What is hidden is also taken out of what its neighbours give back to it at level 2.
            without: `[num_rows]`: one other node per row; all edges between the two are left out, in every relation
                and direction, at every level, for this row alone. Degrees of `S` stay as they are.
            alone: Leave all edges out.
        """
        visible = self.content.visible(rows, shown)
        own = fuse(visible, rows.numel(), self.dim, self.adjacency.degree)
        if alone:
            levels = [own] + [torch.zeros_like(own) for _ in self.levels[1:]]
            structure = [torch.zeros_like(own) for _ in self.levels[1:]]
            degree = self.adjacency.degree.new_zeros(rows.numel())
            return NodeBlocks(visible, levels, structure, [], degree, self.graph_name)
        between = None if without is None else self.adjacency.weight_between(rows, without)
        own = self._complete(own, rows, without)
        levels = [own] + [level[rows] for level in self.levels[1:]]
        structure = [level[rows] for level in self.structure]
        if without is not None and between is not None:
            weight = (self._scale[rows] * between * self._scale[without]).unsqueeze(1)
            for number in range(len(levels) - 1, 0, -1):
                levels[number] = levels[number] - weight * self.levels[number - 1][without]
                structure[number] = structure[number] - weight * self.structure[number - 1][without]
        if len(levels) > 2 and (shown is not None or without is not None):
            levels[2] = levels[2] - self._self_return[rows].unsqueeze(1) * (self.x[rows] - own)
        degree = self.adjacency.degree[rows]
        degree = degree if between is None else (degree - between).clamp(min=0)
        relations = self._relation_blocks(rows, without)
        return NodeBlocks(visible, levels, structure[1:], relations, degree, self.graph_name)

    def _fill_empty(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Position of each node without content, and the sum over its neighbours with content."""
        empty = ~self.content.has_any
        rows = torch.nonzero(empty).flatten()
        position = torch.full((self.num_nodes,), -1, dtype=torch.int64, device=x.device)
        position[rows] = torch.arange(rows.numel(), device=x.device)
        if rows.numel() == 0:
            return position, x.new_zeros(0, self.dim)
        return position, self.adjacency.sum_into(rows, x)  # rows of x without content are zero

    def _complete(self, own: Tensor, rows: Tensor, without: Tensor | None) -> Tensor:
        """Give rows without content the mean of their neighbours' content."""
        position, total = self._fill
        place = position[rows]
        empty = torch.nonzero(place >= 0).flatten()
        if empty.numel() == 0:
            return own
        filled = total[place[empty]]
        if without is not None:
            other = without[empty]
            weight = self.adjacency.weight_between(rows[empty], other) * self.content.has_any[other]
            filled = filled - weight.unsqueeze(1) * self.x[other]
        return own.index_add(0, empty, torch.nn.functional.normalize(filled, dim=1, eps=1e-6))

    def _smooth(self, x: Tensor) -> Tensor:
        scale = self._scale.unsqueeze(1)
        return scale * self.adjacency.multiply(scale * x)

    def _second_diagonal(self) -> Tensor:
        """`[num_nodes]`: the diagonal of `S^2`, what a node gets back of itself after two steps."""
        target, source, weight = self.adjacency.edges
        entry = self._scale[target] * weight * self._scale[source]
        return torch.zeros_like(self._scale).index_add_(0, target, entry.square())

    def _relation(self, edge_index: Tensor, weight: Tensor) -> _Relation:
        adjacency = Adjacency.from_edges(edge_index, weight, self.num_nodes)
        rows = torch.nonzero(adjacency.degree > 0).flatten()
        position = torch.full((self.num_nodes,), -1, dtype=torch.int64, device=self.x.device)
        position[rows] = torch.arange(rows.numel(), device=self.x.device)
        return _Relation(adjacency, position, adjacency.sum_into(rows, self.x), adjacency.degree[rows])

    def _relation_blocks(self, rows: Tensor, without: Tensor | None) -> list[RelationBlock]:
        blocks = []
        for key, relation in self._relations.items():
            place = relation.position[rows]
            chosen = torch.nonzero(place >= 0).flatten()
            total, weight = relation.total[place[chosen]], relation.weight[place[chosen]]
            if without is not None and chosen.numel():
                other = without[chosen]
                between = relation.adjacency.weight_between(rows[chosen], other)
                total, weight = total - between.unsqueeze(1) * self.x[other], weight - between
                kept = torch.nonzero(weight > 1e-6).flatten()
                chosen, total, weight = chosen[kept], total[kept], weight[kept]
            if chosen.numel():
                blocks.append(RelationBlock(key, chosen, total / weight.unsqueeze(1), weight))
        return blocks


def content_blocks(
    features: Mapping[str, ModalityFeatures],
    alignment: FeatureAlignment,
    num_nodes: int,
    *,
    num_levels: int,
    graph_name: str = "",
) -> NodeBlocks:
    """Blocks of content without a graph: what a query or a new item is.

    Args:
        features: Features by modality, of `num_nodes` nodes.
        alignment: Maps them to one space.
        num_nodes: Number of rows.
        num_levels: Levels above 0, all zero.
        graph_name: The graph that it is asked in, or would belong to.
    """
    like = next(alignment.buffers(), torch.zeros(0))
    content = {
        name: (torch.nonzero(features[name].present).flatten(), alignment(features[name])) for name in sorted(features)
    }
    own = fuse(content, num_nodes, alignment.dim, like)
    levels = [own] + [torch.zeros_like(own) for _ in range(num_levels)]
    return NodeBlocks(
        content, levels, [torch.zeros_like(own) for _ in range(num_levels)], [], own.new_zeros(num_nodes), graph_name
    )
