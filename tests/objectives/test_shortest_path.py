"""Distances against networkx, and how pairs are drawn."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.batch import GraphBatch
from mmgraph.errors import InputError
from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
from mmgraph.nn.gnn import GNNConfig
from mmgraph.objectives.base import MaskConfig
from mmgraph.objectives.hops import hops_from
from mmgraph.objectives.shortest_path import ShortestPathConfig, stratify
from mmgraph.objectives.subgraph_views import SubgraphViews
from mmgraph.seeding import generator
from mmgraph.testing.factories import make_graph


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), cutoff=st.integers(1, 6), num_edges=st.integers(0, 60))
def test_hops_equal_networkx(seed: int, cutoff: int, num_edges: int) -> None:
    edges = torch.randint(30, (2, num_edges), generator=generator(seed))
    edge_index = torch.cat([edges, edges.flip(0)], dim=1)
    reference = nx.Graph()
    reference.add_nodes_from(range(30))
    reference.add_edges_from(edges.t().tolist())
    expected = nx.single_source_shortest_path_length(reference, 3, cutoff=cutoff)
    hops = hops_from(torch.tensor([3]), edge_index, num_nodes=30, cutoff=cutoff)
    assert hops.tolist() == [expected.get(node, cutoff + 1) for node in range(30)]


def distances(batch: GraphBatch, cutoff: int, num_sources: int) -> tuple[torch.Tensor, torch.Tensor]:
    config = EncoderConfig(dim=8, gnn=GNNConfig(conv="gat"))
    encoder = GraphEncoder(config, [item.spec for item in batch.features.values()])
    views = SubgraphViews(encoder, batch, mask=MaskConfig(), seed=0)
    return views.distances(cutoff, num_sources, generator(1))


def two_paths() -> GraphBatch:
    """Two disjoint paths of 12 nodes, rows of both interleaved."""
    order = torch.arange(24).view(12, 2)
    edges = torch.cat([torch.stack([order[:-1, k], order[1:, k]]) for k in range(2)], dim=1)
    edge_index = torch.cat([edges, edges.flip(0)], dim=1)
    whole = GraphBatch.whole(make_graph(num_nodes=24))
    return GraphBatch(
        graph_name="paths",
        node_index=whole.node_index,
        num_seeds=2,
        edge_index=edge_index,
        edge_type=torch.zeros(edge_index.size(1), dtype=torch.int64),
        subgraph=torch.arange(24) % 2,
        features=whole.features,
    )


def test_pairs_stay_inside_a_subgraph_and_distances_are_true() -> None:
    batch = two_paths()
    pairs, hops = distances(batch, 4, 3)
    assert hops.numel() == 3 * (24 - 2)
    assert torch.equal(batch.subgraph[pairs[0]], batch.subgraph[pairs[1]])
    position = torch.arange(24) // 2
    true = (position[pairs[0]] - position[pairs[1]]).abs().clamp(max=5)
    assert torch.equal(hops, true)


def test_pairs_are_spread_over_the_distances() -> None:
    batch = GraphBatch.whole(make_graph(num_nodes=600, num_edges=900))
    _, every = distances(batch, 5, 8)
    hops = every[stratify(every, 300, generator(1))]
    assert hops.numel() == 300
    counts = torch.bincount(hops, minlength=7)
    assert counts[0] == 0
    # Uniform pairs would have about 1 % at distance 1; stratified ones are limited only by how many exist.
    assert counts[2:6].min() > 30


@pytest.mark.parametrize("num_nodes", [1, 5])
def test_no_edges_gives_only_unreachable_pairs(num_nodes: int) -> None:
    batch = GraphBatch.whole(make_graph(num_nodes=num_nodes, num_edges=0))
    _, hops = distances(batch, 3, 2)
    assert hops.tolist() == [4] * (2 * (num_nodes - 1))


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="shortest_path.cutoff must be at least 1, got 0"):
        ShortestPathConfig(cutoff=0)
