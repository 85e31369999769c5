from __future__ import annotations

import dataclasses
import math
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.batch import GraphBatch
from mmgraph.data.graph import MultimodalGraph, check_relations, encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_graph


def edges_by_id(graph: MultimodalGraph, name: str) -> list[tuple[Any, ...]]:
    relation = graph.relations[name]
    pairs = [tuple(graph.node_ids.values[pair]) for pair in relation.edge_index.T.numpy()]
    values = [v.tolist() for v in relation.attributes.values()]
    return sorted(zip(pairs, *values, strict=True))


def test_messages_flow_both_ways_with_types() -> None:
    graph = make_graph(8, 10)
    edge_index, edge_type = graph.message_edges()
    assert edge_index.size(1) == 2 * graph.num_edges
    expected = []
    for number, relation in enumerate(graph.relations.values()):
        back = 2 * number + (0 if relation.symmetric else 1)
        expected += [(a, b, 2 * number) for a, b in relation.edge_index.T.tolist()]
        expected += [(b, a, back) for a, b in relation.edge_index.T.tolist()]
    assert sorted(zip(*edge_index.tolist(), edge_type.tolist(), strict=True)) == sorted(expected)


def test_messages_of_chosen_relations_keep_their_type() -> None:
    graph = make_graph(12, 20)
    number = list(graph.relations).index("similar")
    edge_index, edge_type = graph.message_edges(["similar"])
    assert edge_index.size(1) == 2 * graph.relations["similar"].num_edges
    assert set(edge_type.tolist()) == {2 * number}
    assert graph.message_edges([])[0].shape == (2, 0)
    with pytest.raises(InputError, match="unknown relation 'simlar'; choose from: similar, likes"):
        graph.message_edges(["simlar"])


@given(st.permutations(range(12)), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_subgraph_is_induced_and_keeps_everything_by_id(order: list[int], count: int) -> None:
    graph = make_graph(12, 20, seed=1)
    nodes = torch.tensor(order[:count])
    part = graph.subgraph(nodes)
    kept = set(graph.node_ids.values[nodes.numpy()])
    assert part.node_ids.values.tolist() == graph.node_ids.values[nodes.numpy()].tolist()
    for name in graph.relations:
        expected = [edge for edge in edges_by_id(graph, name) if set(edge[0]) <= kept]
        assert edges_by_id(part, name) == expected
    for modality, features in part.features.items():
        whole = graph.features[modality]
        assert torch.equal(features.present, whole.present[nodes])
        assert torch.equal(features.values[features.present], whole.values[nodes][features.present])
        assert torch.equal(features.mean, whole.mean)
    assert part.columns is not None
    assert graph.columns is not None
    assert part.columns["title"].to_pylist() == [graph.columns["title"][i].as_py() for i in nodes.tolist()]


def test_subgraph_of_all_nodes_is_the_graph() -> None:
    graph = make_graph(10, 12)
    assert_same_graph(graph.subgraph(torch.arange(10)), graph)
    shuffled = graph.subgraph(torch.arange(9, -1, -1))
    assert_same_graph(shuffled, graph, by_id=True)
    with pytest.raises(AssertionError):
        assert_same_graph(shuffled, graph)


def test_summary_and_repr() -> None:
    graph = make_graph(8, 6, modalities=[("text", 4)], missing=0.0)
    assert graph.summary() == {
        "name": "toy",
        "num_nodes": 8,
        "num_edges": 6,
        "node_types": {"item": 6, "user": 2},
        "relations": {
            "likes": {"source": "user", "target": "item", "num_edges": 2},
            "similar": {"source": "item", "target": "item", "num_edges": 4},
        },
        "modalities": {"text": {"encoder": "fake", "dim": 4, "present": 8}},
    }
    assert repr(graph) == "MultimodalGraph('toy': 6 item, 2 user, 2 x likes, 4 x similar, text:fake[4])"


def test_nodes_of_type() -> None:
    graph = make_graph(8, 6)
    assert graph.nodes_of_type("user").tolist() == [3, 7]
    with pytest.raises(InputError, match="unknown node type 'usr'; choose from: user, item"):
        graph.nodes_of_type("usr")


def test_whole_graph_as_a_batch() -> None:
    graph = make_graph(8, 6)
    batch = GraphBatch.whole(graph)
    assert (batch.num_nodes, batch.num_seeds, batch.graph_name) == (8, 8, "toy")
    assert torch.equal(batch.edge_index, graph.message_edges()[0])


def test_node_types_are_sorted() -> None:
    types, codes = encode_node_types(["b", "a", "b"])
    assert types == ("a", "b")
    assert codes.tolist() == [1, 0, 1]


def _break(graph: MultimodalGraph, what: str) -> dict[str, Any]:
    relation, text = graph.relations["likes"], graph.features["text"]
    wrong_end = dataclasses.replace(relation, edge_index=relation.edge_index.flip(0))
    outside = dataclasses.replace(relation, edge_index=relation.edge_index + 8)
    nan = torch.where(text.present[:, None], math.nan, text.values)
    return {
        "empty": {"node_ids": NodeIds([]), "node_type": torch.empty(0, dtype=torch.int64)},
        "type dtype": {"node_type": graph.node_type.float()},
        "type code": {"node_type": graph.node_type + 1},
        "type names": {"node_types": ("item", "item")},
        "relation type": {"relations": {"likes": dataclasses.replace(relation, source_type="usr")}},
        "wrong end": {"relations": {"likes": wrong_end}},
        "outside": {"relations": {"likes": outside}},
        "modality": {"features": {"image": text}},
        "rows": {"features": {"text": text.take(torch.arange(3))}},
        "nan": {"features": {"text": dataclasses.replace(text, values=nan)}},
        "columns": {"columns": pa.table({"a": [1]})},
    }[what]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("empty", "graph 'toy': expected at least one node, got none"),
        ("type dtype", "graph 'toy': node_type must be int64 [8], got torch.float32 [8]"),
        ("type code", "graph 'toy': node_type codes must lie in 0..1, got 1..2"),
        ("type names", "graph 'toy': node_types must be distinct names, got ['item', 'item']"),
        ("relation type", "graph 'toy', relation 'likes': unknown source type 'usr'; types: 'item', 'user'"),
        ("wrong end", "graph 'toy', relation 'likes', edge 0: source must be a 'user' node, got 'item'"),
        ("outside", "graph 'toy', relation 'likes': source positions must lie in 0..7, got 11..15"),
        ("modality", "graph 'toy': features under 'image' are of modality 'text'"),
        ("rows", "graph 'toy': text features must have 8 rows, got 3"),
        ("nan", "graph 'toy': text features of 8 nodes hold NaN or infinity, first at row 0"),
        ("columns", "graph 'toy': columns must have 8 rows, got 1"),
    ],
)
def test_invalid_graphs_are_refused(what: str, message: str) -> None:
    graph = make_graph(8, 12, missing=0.0)
    with pytest.raises(InputError) as error:
        dataclasses.replace(graph, **_break(graph, what))
    assert str(error.value) == message


@pytest.mark.parametrize("num_nodes", [1, 2, 5])
def test_graph_without_edges_or_modalities(num_nodes: int) -> None:
    graph = make_graph(num_nodes, 0, modalities=[])
    edge_index, edge_type = graph.message_edges()
    assert edge_index.shape == (2, 0)
    assert edge_type.shape == (0,)
    bare = MultimodalGraph("bare", graph.node_ids, graph.node_types, graph.node_type)
    assert bare.message_edges()[0].shape == (2, 0)
    assert bare.subgraph(torch.tensor([0])).num_nodes == 1


def test_self_loops_are_kept() -> None:
    loop = Relation(torch.tensor([[0], [0]]), "item", "item")
    graph = MultimodalGraph("g", NodeIds(["a"]), ("item",), torch.tensor([0]), {"r": loop})
    assert graph.subgraph(torch.tensor([0])).num_edges == 1


@pytest.mark.parametrize(
    ("reverse", "types", "message"),
    [
        ("has_part", ("item", "user"), None),
        (
            "has_prat",
            ("item", "user"),
            r"relation 'part_of': unknown reverse relation 'has_prat'; choose from: has_part",
        ),
        ("part_of", ("item", "user"), "its reverse 'part_of' must lead from 'item' to 'user'"),
        ("has_part", ("user", "item"), "its reverse 'has_part' must lead from 'item' to 'user', got 'user' to 'item'"),
    ],
)
def test_reverse_relations_name_each_other(reverse: str, types: tuple[str, str], message: str | None) -> None:
    node_types, node_type = encode_node_types(["item", "user"])
    none = torch.empty(2, 0, dtype=torch.int64)
    relations = {
        "part_of": Relation(none, "user", "item", reverse=reverse),
        "has_part": Relation(none, *types, reverse="part_of"),
    }

    def make() -> MultimodalGraph:
        return MultimodalGraph("g", NodeIds(["a", "b"]), node_types, node_type, relations)

    if message is None:
        assert make().relations["part_of"].reverse == "has_part"
        relations["has_part"] = Relation(none, *types)
        with pytest.raises(InputError, match="its reverse 'has_part' must name it in turn, got None"):
            make()
    else:
        with pytest.raises(InputError, match=message):
            make()


@pytest.mark.parametrize("edge", [0, 1, 4, 6])
@pytest.mark.parametrize("side", [0, 1])
def test_bad_edges_are_found_in_every_chunk(monkeypatch: pytest.MonkeyPatch, edge: int, side: int) -> None:
    monkeypatch.setattr("mmgraph.data.graph.CHECKED_AT_ONCE", 3)
    node_type, ends = torch.tensor([0, 0, 1]), torch.zeros(2, 7, dtype=torch.int64)
    ends[side, edge] = 2
    name = ("source", "target")[side]
    with pytest.raises(InputError, match=rf"'r', edge {edge}: {name} must be a 'a' node, got 'b'$"):
        check_relations("graph 'g'", ("a", "b"), node_type, {"r": Relation(ends, "a", "a")})
    ends[side, edge] = 3
    with pytest.raises(InputError, match=rf"{name} positions must lie in 0..2, got [03]..3$"):
        check_relations("graph 'g'", ("a", "b"), node_type, {"r": Relation(ends, "a", "a")})
