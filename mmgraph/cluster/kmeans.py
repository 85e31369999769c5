"""k-means over the directions of embeddings."""

from __future__ import annotations

import numpy as np
import torch

from mmgraph.cluster.clustering import Clustering
from mmgraph.errors import InputError
from mmgraph.inference.search import first_identical
from mmgraph.inference.table import EmbeddingTable
from mmgraph.seeding import derive_seed

MINI_BATCH_FROM = 50_000
"""Nodes from which on mini-batches are used: they need a pass over the vectors where k-means needs dozens."""


def kmeans(table: EmbeddingTable, k: int, *, seed: int = 0) -> Clustering:
    """Cluster nodes by k-means [1] on unit vectors, so that near means a high cosine, as in search.

    Best of ten starts (k-means++) by scikit-learn's `KMeans`; of three by `MiniBatchKMeans` [2] from `MINI_BATCH_FROM` nodes
    on. Nodes are taken in order of their ids, so the order of rows does not matter. Nodes whose vector is zero stay at
    the origin and go to whichever centre is nearest to it. The work is done on the CPU.

    Args:
        table: Embeddings; `table.take(table.nodes_of_type(...))` clusters one type only.
        k: Number of clusters, at least 1.
        seed: Seed of the starts.

    Raises:
        InputError: If there are fewer than `k` different directions, `k` is below 1, or vectors are not finite.

    References:
        [1] Lloyd, 1982, Least squares quantization in PCM, IEEE Transactions on Information Theory 28(2).
        [2] Sculley, 2010, Web-scale k-means clustering, WWW.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    if k < 1:
        raise InputError(f"k-means: k must be at least 1, got {k}")
    table.check_finite()
    by_id = np.argsort(table.node_ids.values, kind="stable")
    unit = torch.nn.functional.normalize(table.vectors.detach().float().cpu()[torch.from_numpy(by_id)], dim=1)
    distinct = torch.unique(first_identical(unit)).numel()
    if distinct < k:
        raise InputError(f"k-means: k must be at most the number of different directions, {distinct:,}, got {k:,}")
    state = derive_seed(seed, "k-means", k) % 2**32
    large = len(table) >= MINI_BATCH_FROM
    model = MiniBatchKMeans(k, n_init=3, random_state=state) if large else KMeans(k, n_init=10, random_state=state)
    code: np.ndarray = np.empty(len(table), dtype=np.int64)
    code[by_id] = model.fit_predict(unit.numpy())
    return Clustering.from_codes(
        table.node_ids, code, method=f"{'mini-batch ' if large else ''}k-means, k={k}, seed={seed}"
    )
