from __future__ import annotations

import json

import networkx
import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data import statistics
from mmgraph.data.graph import encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.data.statistics import Spread, components, graph_statistics


def raw_graph() -> RawGraph:
    node_types, node_type = encode_node_types(["item", "item", "item", "user", "user"])
    likes = Relation(torch.tensor([[3, 3, 3], [0, 0, 1]]), "user", "item", attributes={"time": torch.tensor([1, 2, 3])})
    near = Relation(torch.tensor([[0, 1, 2], [1, 1, 2]]), "item", "item", symmetric=True)
    return RawGraph(
        "toy",
        NodeIds(["a", "b", "c", "u", "v"]),
        node_types,
        node_type,
        {"likes": likes, "near": near},
        {"text": ["one two", "one two", "three", None, None], "image": ["a.png", None, None, None, None]},
        pa.table({"price": [1.0, 2.0, 2.0, None, None], "tags": [["x"], [], None, None, None]}),
    )


def test_everything_that_is_counted() -> None:
    found = graph_statistics(raw_graph())
    assert (found.num_nodes, found.num_edges) == (5, 6)
    assert {kind: (row["nodes"], row["isolated"]) for kind, row in found.node_types.items()} == {
        "item": (3, 0),
        "user": (2, 1),
    }
    assert found.node_types["user"]["degree"]["maximum"] == 3
    assert found.degree_histogram == {0: 1, 1: 0, 2: 3, 4: 1}  # a and u 3, c 2 (its self-loop has two ends), b 4
    assert found.relations["likes"]["repeated"] == 1
    assert found.relations["near"]["self_loops"] == 2
    assert found.relations["likes"]["attributes"] == ["time"]
    assert found.components == {"count": 3, "largest": 3, "singletons": 2}
    assert found.modalities["text"] == {"present": 3, "missing": 2, "present_by_type": {"item": 3, "user": 0}}
    assert found.patterns == {"nothing": 2, "text": 2, "text + image": 1}
    assert found.text["text"]["repeated"] == 1
    assert found.text["text"]["words"]["median"] == 2
    assert found.columns == {
        "price": {"type": "double", "missing": 2, "distinct": 2},
        "tags": {"type": str(pa.list_(pa.string())), "missing": 3, "distinct": None},
    }
    json.dumps(found.to_dict())


def test_degrees_fall_into_bins_of_doubling_width() -> None:
    star = Relation(torch.tensor([[0] * 9, list(range(1, 10))]), "n", "n")
    node_types, node_type = encode_node_types(["n"] * 11)
    found = graph_statistics(RawGraph("star", NodeIds(range(11)), node_types, node_type, {"r": star}))
    assert found.degree_histogram == {0: 1, 1: 9, 2: 0, 4: 0, 8: 1}


@given(
    n=st.integers(1, 12),
    pairs=st.lists(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=10), max_size=3),
    chunk=st.sampled_from([1, 3, 100]),
)
@settings(max_examples=60, deadline=None)
def test_components_are_those_of_networkx_whatever_the_blocks(
    n: int, pairs: list[list[tuple[int, int]]], chunk: int
) -> None:
    pairs = [[(a % n, b % n) for a, b in part] for part in pairs]
    graph = networkx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(pair for part in pairs for pair in part)
    sizes = [len(part) for part in networkx.connected_components(graph)]
    edges = [torch.tensor(part, dtype=torch.int64).reshape(-1, 2).T for part in pairs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_CHUNK", chunk)
        found = components(edges, n)
    assert found == {"count": len(sizes), "largest": max(sizes), "singletons": sizes.count(1)}


def test_spread() -> None:
    assert Spread.of(np.arange(101)) == Spread(101, 50.0, 0.0, 50.0, 90.0, 99.0, 100.0)
    assert Spread.of(np.array([])).count == 0
