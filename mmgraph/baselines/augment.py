"""Random changes of a graph, drawn from torch's global generator."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.sparse import coo_matrix


def drop_edges(edge_index: Tensor, share: float) -> Tensor:
    """Leave out each column of `edge_index` `[2, num_edges]` with probability `share`; directions fall apart."""
    if share == 0:
        return edge_index
    return edge_index[:, torch.rand(edge_index.size(1), device=edge_index.device) >= share]


def drop_columns(x: Tensor, share: float) -> Tensor:
    """Set each feature, a column of `x` `[num_nodes, dim]`, to zero for all nodes with probability `share`.

    A sparse `x` (COO) stays sparse.
    """
    if share == 0:
        return x
    kept = torch.rand(x.size(1), device=x.device) >= share
    if not x.is_sparse:
        return x * kept
    x = x.coalesce()
    index, values = x.indices(), x.values()
    return coo_matrix(index, values * kept[index[1]], (x.size(0), x.size(1)), is_coalesced=True)


def choose_nodes(num_nodes: int, share: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Split the nodes at random into `share` of them, at least one, and the rest: two tensors of positions."""
    order = torch.randperm(num_nodes, device=device)
    count = max(1, int(share * num_nodes))
    return order[:count], order[count:]
