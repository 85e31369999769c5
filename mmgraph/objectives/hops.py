"""Distances in hops."""

from __future__ import annotations

import torch
from torch import Tensor


def hops_from(sources: Tensor, edge_index: Tensor, *, num_nodes: int, cutoff: int) -> Tensor:
    """Distance in hops of every node from the nearest source, by breadth-first search.

    Args:
        sources: `[num_sources]`: rows at distance 0. In a disjoint union one source per subgraph gives the distances
            inside each.
        edge_index: `[2, num_edges]`.
        num_nodes: Number of rows.
        cutoff: Hops to walk.

    Returns:
        `[num_nodes]`, int64; `cutoff + 1` beyond the cut-off or if unreachable.
    """
    hops = torch.full((num_nodes,), cutoff + 1, dtype=torch.int64, device=edge_index.device)
    hops[sources] = 0
    for hop in range(1, cutoff + 1):
        reached = edge_index[1, hops[edge_index[0]] == hop - 1]
        reached = reached[hops[reached] > hop]
        if reached.numel() == 0:
            break
        hops[reached] = hop
    return hops
