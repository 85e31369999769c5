from __future__ import annotations

import dataclasses
from typing import Any

import networkx
import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.data.features import FeatureSpec
from mmgraph.errors import InputError
from mmgraph.formats.networkx import from_networkx, to_networkx
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_graph

SPEC = FeatureSpec("text", "e", 2)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"missing": 1.0}, {"modalities": []}, {"num_nodes": 1, "num_edges": 0}, {"num_nodes": 9, "num_edges": 0}],
)
def test_round_trip(arguments: dict[str, Any]) -> None:
    graph = make_graph(**arguments)
    again = from_networkx(to_networkx(graph))
    assert_same_graph(again, graph, by_id=True)
    assert again.node_types == graph.node_types
    assert list(again.relations) == list(graph.relations)
    assert again.node_ids == graph.node_ids
    bare = dataclasses.replace(graph, columns=None)
    assert_same_graph(from_networkx(to_networkx(bare)), bare, by_id=True)


def test_attributes() -> None:
    graph = make_graph()
    result = to_networkx(graph)
    assert result.name == "toy"
    text = graph.features["text"]
    for i, node in enumerate(graph.node_ids.values):
        attributes = result.nodes[node]
        assert attributes["node_type"] == graph.node_types[int(graph.node_type[i])]
        assert ("x_text" in attributes) == bool(text.present[i])
        if text.present[i]:
            assert np.array_equal(attributes["x_text"], text.values[i].numpy())
    source, target = graph.relations["likes"].edge_index[:, 0].tolist()
    edge = result.get_edge_data(graph.node_ids[source], graph.node_ids[target])[0]
    assert edge["relation"] == "likes"
    assert edge["rating"] == float(graph.relations["likes"].attributes["rating"][0])


def test_any_undirected_graph() -> None:
    source = networkx.karate_club_graph()
    graph = from_networkx(source)
    assert graph.name == "Zachary's Karate Club"
    relation = graph.relations["edge"]
    assert relation.symmetric
    assert {tuple(sorted(pair)) for pair in relation.edge_index.T.tolist()} == {tuple(sorted(e)) for e in source.edges}
    weight = {tuple(sorted((a, b))): row["weight"] for a, b, row in source.edges(data=True)}
    for (a, b), value in zip(relation.edge_index.T.tolist(), relation.attributes["weight"].tolist(), strict=True):
        assert weight[a, b] == value
    assert graph.columns is not None
    assert graph.columns["club"].to_pylist() == [source.nodes[i]["club"] for i in range(34)]


def test_any_directed_multigraph() -> None:
    source = networkx.MultiDiGraph()
    source.add_node("u", node_type="user")
    source.add_node("p", node_type="product", text=[1.0, 2.0], price=3)
    source.add_node("q", node_type="product")
    source.add_edge("u", "p", relation="likes", stars=5, note="fine")
    source.add_edge("u", "p", relation="likes", stars=4)
    source.add_edge("q", "p", relation="near", vector=[0.5, 1.5])
    graph = from_networkx(source, name="shop", specs={"text": SPEC})
    assert graph.node_types == ("product", "user")
    assert graph.relations["likes"].edge_index.tolist() == [[0, 0], [1, 1]]
    assert graph.relations["likes"].attributes["stars"].tolist() == [4, 5]
    assert list(graph.relations["likes"].attributes) == ["stars"]
    assert graph.relations["near"].attributes["vector"].tolist() == [[0.5, 1.5]]
    assert not graph.relations["near"].symmetric
    assert graph.features["text"].present.tolist() == [False, True, False]
    assert graph.features["text"].values[1].tolist() == [1, 2]
    assert graph.columns is not None
    assert graph.columns.to_pydict() == {"price": [None, 3, None]}


def test_undirected_edges_between_types_get_one_direction() -> None:
    source = networkx.Graph()
    for i in range(3):
        source.add_node(f"u{i}", node_type="user")
        source.add_node(f"p{i}", node_type="product")
    source.add_edges_from([("u0", "p0"), ("p1", "u1"), ("p0", "u1")])
    relation = from_networkx(source, name="g").relations["edge"]
    assert (relation.source_type, relation.target_type, relation.num_edges) == ("product", "user", 3)


def graph_of(*nodes: Any, **attributes: Any) -> networkx.Graph:
    graph = networkx.Graph(name="g")
    graph.add_nodes_from(nodes, **attributes)
    return graph


@pytest.mark.parametrize(
    ("graph", "specs", "message"),
    [
        (
            graph_of(1, "a"),
            {},
            "NetworkX graph 'g', nodes: expected all strings or all integers, got int, str (row 1: 'a')",
        ),
        (
            graph_of((1, 2)),
            {},
            "NetworkX graph 'g', nodes: expected all strings or all integers, got tuple (row 0: (1, 2))",
        ),
        (graph_of(), {}, "NetworkX graph 'g': expected at least one node, got none"),
        (networkx.path_graph(2), {}, "from_networkx needs a name for the graph: from_networkx(graph, name=...)"),
        (graph_of(1, x=[1.0]), {"x": SPEC}, "NetworkX graph 'g', node attribute 'x': expected [2], got [1] (node 0)"),
    ],
)
def test_bad_input(graph: Any, specs: dict[str, FeatureSpec], message: str) -> None:
    with pytest.raises(InputError) as error:
        from_networkx(graph, specs=specs)
    assert str(error.value) == message


def test_attributes_that_fit_no_column() -> None:
    graph = networkx.Graph(name="g")
    graph.add_node(1, a="text")
    graph.add_node(2, a=[1])
    with pytest.raises(InputError, match="^NetworkX graph 'g', node attribute 'a': fits no column: "):
        from_networkx(graph)


def test_clashing_names_are_refused() -> None:
    graph = make_graph(3, 2, modalities=[("text", 2)])
    columns = pa.table({"node_type": [1] * 3, "x_text": [1] * 3})
    with pytest.raises(InputError, match="attributes of the same name: 'node_type', 'x_text'"):
        to_networkx(dataclasses.replace(graph, columns=columns))
    relation = dataclasses.replace(graph.relations["similar"], attributes={"relation": torch.ones(2)})
    with pytest.raises(InputError, match="attributes of the same name: 'relation'"):
        to_networkx(dataclasses.replace(graph, relations={"similar": relation}))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (([1, 2], [1]), "edge attribute 'w': fits no column of numbers"),
        ((1, True), "edge attribute 'w': fits no column of numbers"),
        ((2**70, 1), "edge attribute 'w': fits no column of numbers"),
    ],
)
def test_edge_attributes_that_fit_no_column_are_named(values: tuple[Any, Any], told: str) -> None:
    graph = networkx.MultiGraph(name="toy")
    graph.add_edge("a", "b", w=values[0])
    graph.add_edge("b", "c", w=values[1])
    with pytest.raises(InputError, match=told) as error:
        from_networkx(graph)
    assert len(str(error.value).splitlines()) == 1


def test_lists_of_words_are_left_out_and_parallel_edges_stay() -> None:
    graph = networkx.MultiGraph(name="toy")
    graph.add_edge("a", "b", tags=["x", "y"], time=1)
    graph.add_edge("a", "b", tags=["z"], time=9)
    edge = from_networkx(graph).relations["edge"]
    assert edge.edge_index.tolist() == [[0, 0], [1, 1]]
    assert {name: values.tolist() for name, values in edge.attributes.items()} == {"time": [1, 9]}
