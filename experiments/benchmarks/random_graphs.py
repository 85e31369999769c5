"""Random edges for benchmarks: degrees as skewed as in real graphs, no locality, so caches help as little as they can."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def random_edges(num_nodes: int, num_edges: int, *, seed: int = 0) -> Tensor:
    """Both directions of distinct random pairs without loops, in random order.

    One end is uniform, the other is drawn by the square of a uniform number: node `v` gets a share that falls with the
    square root of its number. Node numbers are then shuffled.

    Returns:
        `[2, about num_edges]`, int64; a few pairs are drawn twice and count once.
    """
    random = np.random.default_rng(seed)
    wanted = num_edges // 2
    first = (random.random(wanted + wanted // 8) ** 2 * num_nodes).astype(np.int64)
    second = random.integers(num_nodes, size=first.size)
    low, high = np.minimum(first, second), np.maximum(first, second)
    pairs = np.unique((low * num_nodes + high)[low != high])
    pairs = random.permutation(pairs)[:wanted]
    order = random.permutation(num_nodes)
    edges = order[np.stack([pairs // num_nodes, pairs % num_nodes])]
    both = np.concatenate([edges, edges[::-1]], axis=1)
    return torch.from_numpy(both[:, random.permutation(both.shape[1])].copy())
