"""Blocks against their definition, and views of a node against a graph that was changed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.nn.adjacency import Adjacency, message_weights, relation_keys
from mmgraph.nn.alignment import FeatureAlignment, specs_of
from mmgraph.nn.blocks import GraphBlocks, NodeBlocks
from mmgraph.nn.content import NodeContent, random_signs
from mmgraph.testing.factories import make_graph

DIM = 12


def blocks_of(graph: MultimodalGraph) -> GraphBlocks:
    alignment = FeatureAlignment(DIM, specs_of([graph.features]))
    alignment.fit(graph.features.values())
    return GraphBlocks(graph, NodeContent(graph, alignment))


def dense(graph: MultimodalGraph) -> tuple[Tensor, Tensor]:
    """Weights of all messages without self-loops, and `S`, both `[num_nodes, num_nodes]`."""
    (source, target), weight = graph.message_edges()[0], message_weights(graph)
    matrix = torch.zeros(graph.num_nodes, graph.num_nodes)
    for s, t, w in zip(source.tolist(), target.tolist(), weight.tolist(), strict=True):
        matrix[t, s] += w * (s != t)
    scale = matrix.sum(dim=1).clamp(min=1e-12).rsqrt() * (matrix.sum(dim=1) > 0)
    return matrix, scale.unsqueeze(1) * matrix * scale


def without_edge(s: Tensor, u: int, v: int) -> Tensor:
    s = s.clone()
    s[u, v] = s[v, u] = 0
    return s


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=2e-5)


def test_levels_are_powers_of_the_normalised_adjacency() -> None:
    graph = make_graph()
    blocks, (_, s) = blocks_of(graph), dense(graph)
    assert close(blocks.levels[1], s @ blocks.x)
    assert close(blocks.levels[2], s @ s @ blocks.x)


def test_level_0_is_the_unit_mean_of_what_is_present() -> None:
    graph = make_graph(missing=0.3)
    blocks = blocks_of(graph)
    alignment = FeatureAlignment(DIM, specs_of([graph.features]))
    alignment.fit(graph.features.values())
    for row in range(graph.num_nodes):
        shown = [alignment(item.take(torch.tensor([row]))) for item in graph.features.values() if item.present[row]]
        if shown:
            assert close(blocks.x[row], torch.nn.functional.normalize(torch.cat(shown).sum(dim=0), dim=0))


def test_nodes_without_content_have_the_mean_of_their_neighbours() -> None:
    graph = make_graph(missing=0.6)
    blocks, (matrix, _) = blocks_of(graph), dense(graph)
    empty = torch.nonzero(~blocks.content.has_any).flatten()
    assert empty.numel() > 3
    known = torch.where(blocks.content.has_any.unsqueeze(1), blocks.x, 0.0)
    assert close(blocks.x[empty], torch.nn.functional.normalize((matrix @ known)[empty], dim=1))


def test_signs_belong_to_ids() -> None:
    ids = NodeIds(["b", "a", "c"])
    signs = random_signs(ids, 400)
    assert torch.equal(random_signs(NodeIds(["c", "b"]), 400), signs[[2, 0]])
    assert (signs @ signs.t() - torch.eye(3)).abs().max() < 0.2  # 4 standard deviations
    assert signs.abs().unique().numel() == 1


def test_relation_blocks_are_means_along_one_direction() -> None:
    graph = make_graph()
    blocks = blocks_of(graph)
    found = {block.key: block for block in blocks.gather(torch.arange(graph.num_nodes)).relations}
    assert set(found) == set(relation_keys(graph).values())
    source, target = graph.relations["likes"].edge_index
    block = found["user-likes-item (reverse)"]
    for row, mean, weight in zip(block.rows.tolist(), block.mean, block.weight.tolist(), strict=True):
        neighbours = target[source == row]
        assert weight == neighbours.numel()
        assert close(mean, blocks.x[neighbours].mean(dim=0))


def test_a_left_out_edge_is_gone_at_every_level_and_in_every_relation() -> None:
    graph = make_graph(missing=0.0)
    blocks, (_, s) = blocks_of(graph), dense(graph)
    edges = graph.message_edges()[0][:, ::7]
    seen = blocks.gather(edges[0], without=edges[1])
    for row, (u, v) in enumerate(edges.t().tolist()):
        changed = without_edge(s, u, v)
        assert close(seen.levels[1][row], (changed @ blocks.x)[u])
        assert close(seen.levels[2][row], (changed @ changed @ blocks.x)[u])
        assert close(seen.structure[0][row], (changed @ blocks.structure[0])[u])
        assert close(seen.structure[1][row], (changed @ changed @ blocks.structure[0])[u])
        kept = graph_without(graph, u, v)
        expected = blocks_of(kept).gather(torch.tensor([u]))
        assert close(seen.degree[row], expected.degree[0])
        for block in expected.relations:
            mine = next(found for found in seen.relations if found.key == block.key)
            assert close(mine.mean[mine.rows == row], block.mean)
        assert sum(int((found.rows == row).sum()) for found in seen.relations) == len(expected.relations)


def graph_without(graph: MultimodalGraph, u: int, v: int) -> MultimodalGraph:
    relations = {}
    for name, relation in graph.relations.items():
        source, target = relation.edge_index
        relations[name] = relation.take(~(((source == u) & (target == v)) | ((source == v) & (target == u))))
    return replace(graph, relations=relations)


def test_a_user_does_not_see_a_left_out_item_in_its_own_content() -> None:
    graph = make_graph(missing=0.0, num_edges=60)
    users = graph.nodes_of_type("user")
    features = {
        name: replace(item, present=item.present & (graph.node_type != 1)) for name, item in graph.features.items()
    }
    graph = replace(graph, features=features)
    blocks = blocks_of(graph)
    source, target = graph.relations["likes"].edge_index
    first = int(torch.nonzero(torch.isin(source, users) & (blocks.adjacency.degree[source] > 1)).flatten()[0])
    u, v = source[first : first + 1], target[first : first + 1]
    seen = blocks.gather(u, without=v).levels[0]
    other = blocks_of(graph_without(graph, int(u), int(v)))
    assert close(seen, other.x[u])
    assert not close(seen, blocks.x[u])


def test_hidden_content_does_not_come_back_from_the_neighbours() -> None:
    graph = make_graph(missing=0.0)
    blocks, (_, s) = blocks_of(graph), dense(graph)
    rows = torch.arange(graph.num_nodes)
    shown = {name: torch.zeros(graph.num_nodes, dtype=torch.bool) for name in graph.features}
    seen = blocks.gather(rows, shown=shown)
    assert not seen.levels[0].any()
    square = s @ s
    assert close(seen.levels[2], (square - torch.diag(square.diagonal())) @ blocks.x)


def test_alone_shows_content_and_nothing_else() -> None:
    blocks = blocks_of(make_graph(missing=0.0))
    seen: NodeBlocks = blocks.gather(torch.arange(10), alone=True)
    assert close(seen.levels[0], blocks.x[:10])
    assert not seen.levels[1].any()
    assert not seen.levels[2].any()
    assert not seen.relations
    assert not seen.degree.any()


def test_edge_weights_count() -> None:
    graph = make_graph()
    likes = graph.relations["likes"]
    weighted = {**graph.relations, "likes": replace(likes, attributes={"weight": torch.full((likes.num_edges,), 3.0)})}
    tripled = {**graph.relations, "likes": replace(likes, edge_index=likes.edge_index.repeat(1, 3), attributes={})}
    first, second = (blocks_of(replace(graph, relations=relations)) for relations in (weighted, tripled))
    assert close(first.levels[2], second.levels[2])
    assert not close(first.levels[2], blocks_of(graph).levels[2])


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_bad_edge_weights_are_refused(bad: float) -> None:
    graph = make_graph()
    likes = graph.relations["likes"]
    weight = torch.ones(likes.num_edges)
    weight[2] = bad
    relations = {**graph.relations, "likes": replace(likes, attributes={"weight": weight})}
    with pytest.raises(InputError, match="relation 'likes': expected one finite weight of 0 or more per edge"):
        message_weights(replace(graph, relations=relations))


def test_neighbours_among_candidates_with_repetitions() -> None:
    graph = make_graph()
    matrix, _ = dense(graph)
    adjacency = Adjacency.from_edges(graph.message_edges()[0], message_weights(graph), graph.num_nodes)
    nodes, candidates = torch.tensor([5, 0, 5]), torch.randint(graph.num_nodes, (90,))
    assert torch.equal(adjacency.neighbours_among(nodes, candidates), matrix[nodes][:, candidates] > 0)
    assert torch.equal(adjacency.weight_between(nodes, candidates[:3]), matrix[nodes, candidates[:3]])
