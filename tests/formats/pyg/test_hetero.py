from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import pyarrow as pa
import pytest
import torch
from torch_geometric.transforms import ToUndirected

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.formats.pyg import from_pyg
from mmgraph.formats.pyg.hetero import plain_names, to_hetero_pyg
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_graph


def odd_graph() -> MultimodalGraph:
    """Names that PyG warns of, types side by side in the order of nodes, NaN where a modality is absent."""
    values = torch.tensor([[1.0, 2], [torch.nan, torch.nan], [3, 4], [5, 6], [0, 0]], dtype=torch.float64)
    return MultimodalGraph(
        name="odd",
        node_ids=NodeIds(["e", "d", "c", "b", "a"]),
        node_types=("web page", "user", "web.page", "nobody"),
        node_type=torch.tensor([1, 0, 1, 0, 2]),
        relations={
            "links to": Relation(
                torch.tensor([[1, 3], [3, 3]]),
                "web page",
                "web page",
                attributes={"edge_index": torch.tensor([7, 8]), "weight": torch.tensor([[0.5], [1.5]])},
            ),
            "knows": Relation(torch.tensor([[0], [2]]), "user", "user", symmetric=True),
            "reads": Relation(torch.tensor([[2, 0], [1, 3]]), "user", "web page", reverse="read by"),
            "read by": Relation(torch.tensor([[1, 3], [2, 0]]), "web page", "user", reverse="reads"),
            "none": Relation(torch.empty(2, 0, dtype=torch.int64), "nobody", "user"),
        },
        features={
            "my text": ModalityFeatures(
                FeatureSpec("my text", "enc", 2), values, torch.tensor([True, False, True, True, False])
            ),
            "absent": ModalityFeatures(FeatureSpec("absent", "enc", 3), torch.zeros(5, 3), torch.zeros(5).bool()),
        },
        columns=pa.table({"price": [1, 2, None, 4, 5]}),
    )


@pytest.mark.parametrize(
    "graph",
    [
        make_graph(),
        make_graph(missing=1.0),
        make_graph(modalities=[]),
        make_graph(num_nodes=1, num_edges=0),
        dataclasses.replace(make_graph(), columns=None, relations={}),
        odd_graph(),
    ],
    ids=["toy", "nothing-present", "no-modality", "one-node", "bare", "odd"],
)
def test_round_trip(graph: MultimodalGraph) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PyG warns of names that it cannot hold
        data = to_hetero_pyg(graph)
        warnings.filterwarnings("ignore", ".*are isolated.*")  # a fact of the graph, not of its names
        data.validate()
    assert_same_graph(from_pyg(data), graph)
    assert from_pyg(data, name="other").name == "other"


def test_fields() -> None:
    data = to_hetero_pyg(odd_graph())
    assert set(data.node_types) == {"web_20_page", "user", "web_2e_page", "nobody"}
    pages, users = data["web_20_page"], data["user"]
    assert (pages.node_id, users.node_id) == (["d", "b"], ["e", "c"])
    assert users.node_index.tolist() == [0, 2]
    assert users.x_my_20_text.tolist() == [[1, 2], [3, 4]]
    assert pages.has_my_20_text.tolist() == [False, True]
    assert "x_my_20_text" not in data["web_2e_page"]
    assert data["nobody"].num_nodes == 0
    links = data["web_20_page", "links_20_to", "web_20_page"]
    assert links.edge_index.tolist() == [[0, 1], [1, 1]]
    assert links.edge_index_.tolist() == [7, 8]
    assert data["user", "reads", "web_20_page"].edge_index.tolist() == [[1, 0], [0, 1]]


def test_pyg_works_with_it() -> None:
    both = ToUndirected()(to_hetero_pyg(odd_graph()))
    assert both["user", "knows", "user"].edge_index.tolist() == [[0, 1], [1, 0]]


def test_names_stay_apart() -> None:
    names = plain_names(["a b", "a_20_b", "ä", "_x", "9", "", "num_nodes"])
    assert len(set(names.values())) == 7
    assert names["a_20_b"] == "a_20_b"  # names that may stay do
    assert list(names) == ["a b", "a_20_b", "ä", "_x", "9", "", "num_nodes"]
    assert all(value.isidentifier() and value.isascii() and value[0] != "_" for value in names.values())
    assert "num_nodes" not in names.values()


@pytest.mark.parametrize("change", ["fewer nodes", "other nodes"])
def test_nodes_that_left_are_told(change: str) -> None:
    data: Any = to_hetero_pyg(odd_graph())
    if change == "fewer nodes":
        data["user"].node_id = ["e"]
        message = (
            "node type 'user': expected one node_index and one node_id for each node, got 2 nodes, 2 node_index and 1"
        )
    else:
        data["user"].node_index = torch.tensor([0, 0])
        message = r"must hold all nodes of the graph, got node_index that is not 0\.\.4 over all types"
    with pytest.raises(InputError, match=message):
        from_pyg(data)
