from __future__ import annotations

import torch

from mmgraph.baselines.augment import choose_nodes, drop_columns, drop_edges
from mmgraph.baselines.base import NetworkConfig
from mmgraph.baselines.loop import Subgraphs, rate, simple_edges
from mmgraph.testing.factories import make_graph


def test_edges_are_simple_and_go_both_ways() -> None:
    graph = make_graph(40, 120)
    edges = {(a, b) for a, b in simple_edges(graph).t().tolist()}
    assert len(edges) == simple_edges(graph).size(1)
    assert edges == {(b, a) for a, b in edges}
    assert edges == {(a, b) for a, b in graph.message_edges()[0].t().tolist() if a != b}


def test_subgraphs_have_the_right_rows_and_all_edges_among_them() -> None:
    graph = make_graph(200, 500)
    x = torch.arange(200.0).unsqueeze(1)
    config = NetworkConfig(full_batch_up_to=100, batch_size=10, fanouts=(3, 2))
    subgraphs = Subgraphs(graph, x, config, seed=0)
    rows, edges = subgraphs.draw(4)
    nodes = rows.flatten().long().tolist()
    assert 10 <= len(nodes) == len(set(nodes)) < 200
    whole = {(a, b) for a, b in simple_edges(graph).t().tolist()}
    drawn = {(nodes[a], nodes[b]) for a, b in edges.t().tolist()}
    assert drawn == {(a, b) for a, b in whole if a in set(nodes) and b in set(nodes)}
    assert torch.equal(subgraphs.draw(4)[0], rows)
    assert not torch.equal(subgraphs.draw(5)[0][:10], rows[:10])


def test_the_rate_warms_up_and_falls() -> None:
    config = NetworkConfig(steps=100, warmup=0.1, cosine=True)
    rates = [rate(config, step) for step in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == rates[10] == 1.0
    assert 0 < rates[0] < 0.1
    assert rates[-1] < 0.001
    assert rate(NetworkConfig(steps=0, warmup=0.1, cosine=True), 0) == 1.0
    assert {rate(NetworkConfig(steps=5), step) for step in range(5)} == {1.0}


def test_augmentations_drop_the_share_asked_for() -> None:
    torch.manual_seed(0)
    edges = torch.randint(50, (2, 4000))
    assert 0.65 < drop_edges(edges, 0.3).size(1) / 4000 < 0.75
    x = torch.ones(7, 2000)
    kept = drop_columns(x, 0.3)
    assert (kept == kept[0]).all()  # the same columns for all nodes
    assert 0.65 < kept.mean().item() < 0.75
    assert drop_columns(x.to_sparse(), 0.3).to_dense().mean().item() < 0.75
    chosen, rest = choose_nodes(10, 0.3, torch.device("cpu"))
    assert len(chosen) == 3
    assert sorted([*chosen.tolist(), *rest.tolist()]) == list(range(10))
