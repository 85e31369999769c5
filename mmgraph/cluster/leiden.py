"""Communities of a graph's edges by the Leiden algorithm."""

from __future__ import annotations

import numpy as np

from mmgraph.cluster.clustering import Clustering
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, require
from mmgraph.seeding import derive_seed


def leiden(graph: MultimodalGraph, *, resolution: float = 1.0, seed: int = 0, iterations: int = 10) -> Clustering:
    """Find communities of high modularity [1] in the edges alone; features are not read.

    Each pair of nodes that any relation links, in whatever direction, is one undirected edge of weight 1; loops are left
    out. Modularity has a resolution [2]: higher gives more and smaller communities. A node without edges is a community
    of its own. Nodes are taken in order of their ids, so the order of rows does not matter. Held-out edges are not in
    the graph, so they cannot shape communities.

    Args:
        graph: The graph.
        resolution: `gamma` of [2], above 0; 1 is plain modularity.
        seed: Seed of the algorithm.
        iterations: Passes at most; it ends before if one improves nothing. On debian (63,436 nodes, 306,058 pairs) two
            passes reach a modularity of 0.712 in 7 s, ten 0.713 in 26 s.

    Raises:
        InputError: If the resolution is not a positive number, or iterations are below 1.
        MissingExtraError: Without the packages `leidenalg` and `igraph` (extra `cluster`).

    References:
        [1] Traag et al., 2019, From Louvain to Leiden: guaranteeing well-connected communities, arXiv:1810.08473.
        [2] Reichardt and Bornholdt, 2006, Statistical mechanics of community detection, arXiv:cond-mat/0603718.
    """
    if not 0 < resolution < float("inf"):
        raise InputError(f"leiden: resolution must be a positive number, got {resolution}")
    if iterations < 1:
        raise InputError(f"leiden: iterations must be at least 1, got {iterations}")
    igraph, leidenalg = require("igraph", extra="cluster"), require("leidenalg", extra="cluster")
    by_id = np.argsort(graph.node_ids.values, kind="stable")
    place: np.ndarray = np.empty(len(by_id), dtype=np.int64)
    place[by_id] = np.arange(len(by_id))
    source, target = place[graph.message_edges()[0].numpy(force=True)]
    # Both directions are there, so those with source < target are all pairs.
    pairs = np.unique(np.stack([source, target], axis=1)[source < target], axis=0)
    partition = leidenalg.RBConfigurationVertexPartition(
        igraph.Graph(n=graph.num_nodes, edges=pairs.tolist()), resolution_parameter=float(resolution)
    )
    optimiser = leidenalg.Optimiser()
    optimiser.set_rng_seed(derive_seed(seed, "leiden") % 2**31)
    for _ in range(iterations):
        if optimiser.optimise_partition(partition, n_iterations=1) <= 0:
            break
    code: np.ndarray = np.empty(graph.num_nodes, dtype=np.int64)
    code[by_id] = partition.membership
    return Clustering.from_codes(graph.node_ids, code, method=f"leiden, resolution={resolution:g}, seed={seed}")
