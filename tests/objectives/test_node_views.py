"""What is drawn to learn links from, and what may not be seen then."""

from __future__ import annotations

from dataclasses import replace

import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.nn.build import build_encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.sign import SignEncoder
from mmgraph.objectives.base import LinkView, MaskConfig
from mmgraph.objectives.node_views import GraphEdges, NodeViews, hold_out
from mmgraph.seeding import generator
from mmgraph.testing.factories import make_graph, randomise

NOTHING = torch.empty(0, dtype=torch.int64)


def views_of(graph: MultimodalGraph, seeds: torch.Tensor, share: float = 0.0) -> tuple[NodeViews, MultimodalGraph]:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(dim=16, gnn=GNNConfig(conv="sign")), [graph])
    assert isinstance(encoder, SignEncoder)
    rest, held = hold_out(graph, share, generator(3)) if share else (graph, graph)
    edges = GraphEdges(graph)
    targets = GraphEdges(held) if share else edges
    blocks = randomise(encoder).graph_blocks(rest)
    return NodeViews(encoder, graph, blocks, edges, targets, seeds, mask=MaskConfig(), seed=0), rest


def links(views: NodeViews, count: int = 50, cold: float = 0.0) -> LinkView:
    view = views.links(count, 0.5, cold=cold, more=NOTHING)
    assert view is not None
    return view


def pairs_of(graph: MultimodalGraph) -> set[tuple[int, int]]:
    return {(min(u, v), max(u, v)) for r in graph.relations.values() for u, v in r.edge_index.t().tolist()}


def test_held_out_pairs_leave_in_all_relations_and_both_directions() -> None:
    graph = make_graph(num_edges=200)
    source, target = graph.relations["likes"].edge_index
    twice = replace(
        graph.relations["likes"],
        edge_index=torch.stack([target, source]),
        source_type="item",
        target_type="user",
        attributes={},
    )
    graph = replace(graph, relations={**graph.relations, "liked_by": twice})
    rest, held = hold_out(graph, 0.3, generator(0))
    assert pairs_of(rest) | pairs_of(held) == pairs_of(graph)
    assert not pairs_of(rest) & pairs_of(held)
    assert 0.2 < len(pairs_of(held)) / len(pairs_of(graph)) < 0.4
    assert rest.num_edges + held.num_edges == graph.num_edges


def test_negatives_have_the_right_type_and_no_edge_with_the_query() -> None:
    graph = make_graph(num_nodes=60, num_edges=300)
    seeds = torch.randperm(60, generator=generator(1))[:30]
    view = links(views_of(graph, seeds)[0])
    known = pairs_of(graph)
    for i in (0, 1):
        for row in range(view.nodes.size(1)):
            query, positive = int(view.nodes[i, row]), int(view.nodes[1 - i, row])
            for column, candidate in enumerate(seeds.tolist()):
                is_edge = (min(query, candidate), max(query, candidate)) in known
                right_type = graph.node_type[candidate] == graph.node_type[positive]
                assert bool(view.is_negative[i][row, column]) == (right_type and not is_edge and candidate != query)


def test_links_are_learnt_from_pairs_that_the_blocks_lack() -> None:
    graph = make_graph(num_nodes=60, num_edges=300)
    views, rest = views_of(graph, torch.arange(60), share=0.4)
    view = links(views)
    drawn = {(min(u, v), max(u, v)) for u, v in view.nodes.t().tolist()}
    assert drawn
    assert not drawn & pairs_of(rest)


def test_without_held_out_pairs_each_edge_is_hidden_from_its_own_ends() -> None:
    graph = make_graph(num_nodes=60, num_edges=200)
    views, _ = views_of(graph, torch.arange(60))
    view = links(views)
    expected = views.encoder(views.blocks.gather(view.nodes[0], without=view.nodes[1])).embedding
    seen = views.encoder(views.blocks.gather(view.nodes[0])).embedding
    torch.testing.assert_close(view.source, expected)
    assert not torch.allclose(view.source, seen)


def test_cold_sources_have_no_neighbours() -> None:
    graph = make_graph(num_nodes=60, num_edges=200, missing=0.0)
    views, _ = views_of(graph, torch.arange(60))
    view = links(views, cold=1.0)
    torch.testing.assert_close(view.source, views.encoder(views.blocks.gather(view.nodes[0], alone=True)).embedding)


def test_relations_are_drawn_by_a_power_of_their_size() -> None:
    graph = make_graph(num_nodes=60, num_edges=300)
    edges = GraphEdges(graph)
    is_like = {tuple(pair) for pair in graph.relations["likes"].edge_index.t().tolist()}
    shares = []
    for exponent in (0.0, 1.0, 4.0):
        drawn, _ = edges.draw(4000, exponent, generator(0))
        shares.append(sum((u, v) in is_like or (v, u) in is_like for u, v in drawn.t().tolist()) / 4000)
    # A third of the edges are likes. They have two directions, `similar` reads the same both ways.
    assert abs(shares[0] - 2 / 3) < 0.05
    assert abs(shares[1] - 1 / 3) < 0.05
    assert shares[2] < 0.05


def test_distances_are_those_of_the_whole_graph() -> None:
    graph = make_graph(num_nodes=60, num_edges=90)
    seeds = torch.randperm(60, generator=generator(1))[:20]
    views, _ = views_of(graph, seeds)
    pairs, hops = views.distances(3, 4, generator(0))
    adjacency = torch.eye(60, dtype=torch.bool)
    for u, v in pairs_of(graph):
        adjacency[u, v] = adjacency[v, u] = True
    within = [torch.eye(60, dtype=torch.bool)]
    for _ in range(3):
        within.append((within[-1].float() @ adjacency.float()) > 0)
    assert hops.numel() == 4 * 19
    for (i, j), hop in zip(pairs.t().tolist(), hops.tolist(), strict=True):
        u, v = int(seeds[i]), int(seeds[j])
        assert hop == next((k for k in range(4) if within[k][u, v]), 4)
