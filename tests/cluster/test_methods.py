from __future__ import annotations

import math
import sys
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch

from mmgraph.cluster import kmeans as kmeans_module
from mmgraph.cluster.clustering import Clustering
from mmgraph.cluster.kmeans import kmeans
from mmgraph.cluster.leiden import leiden
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, MissingExtraError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.metrics.clustering import clustering_metrics

NUM_NODES, NUM_GROUPS = 90, 3
GROUP = torch.arange(NUM_NODES) % NUM_GROUPS
IDS = NodeIds([f"n{i * 7 % NUM_NODES:02}" for i in range(NUM_NODES)])


def _table(noise: float = 0.2) -> EmbeddingTable:
    """Three directions; lengths differ a hundredfold, which must not matter."""
    random = torch.Generator().manual_seed(0)
    vectors = torch.eye(NUM_GROUPS)[GROUP] + noise * torch.randn(NUM_NODES, NUM_GROUPS, generator=random)
    vectors = vectors * 10 ** (2 * torch.rand(NUM_NODES, 1, generator=random))
    return EmbeddingTable(IDS, vectors, ("node",), torch.zeros(NUM_NODES, dtype=torch.int64), "g", "planted")


def _graph(*pairs: list[tuple[int, int]], num_nodes: int = NUM_NODES) -> MultimodalGraph:
    relations = {
        f"r{i}": Relation(torch.tensor(part, dtype=torch.int64).view(-1, 2).T, "node", "node")
        for i, part in enumerate(pairs)
    }
    ids = IDS if num_nodes == NUM_NODES else NodeIds([f"n{i:02}" for i in range(num_nodes)])
    return MultimodalGraph("g", ids, ("node",), torch.zeros(num_nodes, dtype=torch.int64), relations)


def _by_id(found: Clustering) -> dict[str, int]:
    return dict(zip(found.node_ids.values, found.cluster.tolist(), strict=True))


@pytest.mark.parametrize("mini_batch", [False, True])
def test_kmeans_finds_planted_directions(mini_batch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if mini_batch:
        monkeypatch.setattr(kmeans_module, "MINI_BATCH_FROM", NUM_NODES)
    found = kmeans(_table(), 3)
    assert clustering_metrics(found.cluster, GROUP)["ari"] > 0.9
    assert found.method == f"{'mini-batch ' * mini_batch}k-means, k=3, seed=0"
    assert found.node_ids == IDS


def test_kmeans_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    table = _table(noise=2.0)
    first = kmeans(table, 7)
    assert torch.equal(kmeans(table, 7).cluster, first.cluster)
    order = torch.randperm(NUM_NODES, generator=torch.Generator().manual_seed(1))
    assert _by_id(kmeans(table.take(order), 7)) == _by_id(first)
    others = [kmeans(table, 7, seed=seed).cluster for seed in (1, 2, 3)]
    assert any(not torch.equal(other, first.cluster) for other in others)


def test_kmeans_refuses_what_it_cannot_do() -> None:
    table = _table()
    with pytest.raises(InputError, match="at least 1, got 0"):
        kmeans(table, 0)
    same = replace(table, vectors=torch.eye(3)[GROUP] * torch.tensor([1.0, 2.0]).repeat(45).unsqueeze(1))
    assert kmeans(same, 3).num_clusters == 3
    with pytest.raises(InputError, match="at most the number of different directions, 3, got 4"):
        kmeans(same, 4)
    broken = table.vectors.clone()
    broken[2, 1] = math.nan
    with pytest.raises(InputError, match="1 nodes hold NaN"):
        kmeans(replace(table, vectors=broken), 3)


def test_leiden_finds_cliques_and_leaves_loners_alone() -> None:
    cliques = [[(a, b) for a in group for b in group if a < b] for group in (range(5), range(5, 9))]
    # A bridge, a loop and a repeat in another relation and direction change nothing.
    found = leiden(_graph(cliques[0] + cliques[1] + [(4, 5), (10, 10)], [(1, 0), (3, 2)], num_nodes=11))
    assert found.cluster.tolist() == [0] * 5 + [1] * 4 + [2, 3]
    assert found.method == "leiden, resolution=1, seed=0"


def test_leiden_reaches_the_best_known_modularity_of_the_karate_club() -> None:
    karate = nx.karate_club_graph()
    pairs = [(a, b) for a, b in karate.edges]
    found = leiden(_graph(pairs, num_nodes=34))
    parts = [set(np.flatnonzero(found.cluster.numpy() == i).tolist()) for i in range(found.num_clusters)]
    # 0.4198 is the optimum (Brandes et al., 2008), with four communities.
    assert nx.community.modularity(karate, parts, weight=None) == pytest.approx(0.4198, abs=1e-4)
    assert found.num_clusters == 4
    coarse, fine = (leiden(_graph(pairs, num_nodes=34), resolution=r).num_clusters for r in (0.3, 3.0))
    assert coarse < 4 < fine


def test_leiden_depends_neither_on_the_order_of_nodes_nor_on_the_call() -> None:
    random = torch.Generator().manual_seed(3)
    pairs = [tuple(pair) for pair in torch.randint(0, NUM_NODES, (200, 2), generator=random).tolist()]
    graph = _graph(pairs)
    first = leiden(graph)
    assert torch.equal(leiden(graph).cluster, first.cluster)
    order = torch.randperm(NUM_NODES, generator=random)
    assert _by_id(leiden(graph.subgraph(order))) == _by_id(first)
    # Loops and repeats, in another relation and the other direction, are no edges of their own.
    loops, repeats = [(i, i) for i in range(0, NUM_NODES, 2)], [(b, a) for a, b in pairs[::3]]
    assert torch.equal(leiden(_graph(pairs + loops, repeats)).cluster, first.cluster)


def test_leiden_without_edges_and_with_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leiden(_graph(num_nodes=3)).cluster.tolist() == [0, 1, 2]
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="resolution must be a positive number"):
            leiden(_graph(num_nodes=3), resolution=bad)
    with pytest.raises(InputError, match="iterations must be at least 1, got 0"):
        leiden(_graph(num_nodes=3), iterations=0)
    monkeypatch.setitem(sys.modules, "leidenalg", None)
    with pytest.raises(MissingExtraError, match=r"mmgraph\[cluster\]"):
        leiden(_graph(num_nodes=3))
