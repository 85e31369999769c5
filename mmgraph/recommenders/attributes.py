"""Categorical attributes of users and items: neighbours of other types, in one table of hashed rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.data.graph import MultimodalGraph
from mmgraph.recommenders.interactions import Interactions
from mmgraph.seeding import derive_seed
from mmgraph.sparse import coo_matrix


def attribute_edges(graph: MultimodalGraph, node_type: str, others: tuple[str, ...]) -> dict[str, Tensor]:
    """Edges from nodes of a type to nodes that are neither users nor items, by relation.

    Args:
        graph: The graph.
        node_type: Whose attributes.
        others: Types that are no attributes: users and items.

    Returns:
        `[2, num_edges]` each: node and attribute; a relation and its declared reverse both count, each pair once.
    """
    found = {}
    for name, relation in graph.relations.items():
        for source, target, edges in (
            (relation.source_type, relation.target_type, relation.edge_index),
            (relation.target_type, relation.source_type, relation.edge_index.flip(0)),
        ):
            if source == node_type and target not in others and edges.size(1):
                found[name] = torch.unique(edges, dim=1)
    return found


class HashedAttributes(nn.Module):
    """Sum over relations of the mean row of a node's attributes; nodes without attributes get zero.

    All relations share one table: the row of an attribute is a hash of relation and id, so every relation has a hash
    function of its own. This is feature multiplexing [1] with one row per value.

    Args:
        data: Gives the graph and its users and items.
        dim: Width.
        num_rows: Rows of the table.

    References:
        [1] Coleman et al., 2023, Unified Embedding: Battle-Tested Feature Representations for Web-Scale ML Systems,
            arXiv:2305.12102.
    """

    def __init__(self, data: Interactions, dim: int, num_rows: int) -> None:
        super().__init__()
        task, nodes = data.task, data.graph.num_nodes
        both = (task.user_type, task.item_type)
        self.table = nn.Parameter(torch.zeros(num_rows, dim))
        self.user_rows, self.item_rows = (
            _mean_of_rows(data.graph, attribute_edges(data.graph, node_type, both), order, nodes, num_rows)
            for node_type, order in ((both[0], data.users), (both[1], data.items))
        )

    def users(self) -> Tensor:
        """`[num_users, dim]`."""
        out: Tensor = torch.sparse.mm(self.user_rows, self.table)
        return out

    def items(self) -> Tensor:
        """`[num_items, dim]`."""
        out: Tensor = torch.sparse.mm(self.item_rows, self.table)
        return out


def _mean_of_rows(
    graph: MultimodalGraph, relations: dict[str, Tensor], order: Tensor, num_nodes: int, num_rows: int
) -> Tensor:
    """Sparse `[len(order), num_rows]`: which rows of the table each node reads, with their weights."""
    number = torch.full((num_nodes,), -1, dtype=torch.int64, device=order.device)
    number[order] = torch.arange(order.numel(), device=order.device)
    index = [torch.empty(2, 0, dtype=torch.int64, device=order.device)]
    weight = [torch.empty(0, device=order.device)]
    for name, edges in relations.items():
        node = number[edges[0]]
        attributes, place = torch.unique(edges[1], return_inverse=True)
        ids = graph.node_ids.values[attributes.numpy(force=True)].tolist()
        rows = torch.tensor([derive_seed(0, name, one) % num_rows for one in ids], device=order.device)
        index.append(torch.stack([node, rows[place]]))
        weight.append(torch.bincount(node, minlength=order.numel()).float().reciprocal()[node])
    size = (order.numel(), num_rows)
    return coo_matrix(torch.cat(index, dim=1), torch.cat(weight), size)
