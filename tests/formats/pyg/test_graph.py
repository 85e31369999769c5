from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data, HeteroData

from mmgraph.data.features import FeatureSpec
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.formats.pyg import bundle_from_pyg, from_pyg, to_hetero_pyg, to_pyg
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_graph


@pytest.mark.parametrize(
    "arguments",
    [{}, {"missing": 1.0}, {"modalities": []}, {"num_nodes": 1, "num_edges": 0}, {"num_nodes": 30, "num_edges": 30}],
)
def test_round_trip(arguments: dict[str, Any]) -> None:
    graph = make_graph(**arguments)
    data = to_pyg(graph)
    data.validate()
    assert_same_graph(from_pyg(data), graph)
    bare = dataclasses.replace(graph, relations={}, columns=None)
    assert_same_graph(from_pyg(to_pyg(bare)), bare)
    assert from_pyg(data, name="other").name == "other"


def test_fields() -> None:
    graph = make_graph()
    data = to_pyg(graph)
    assert data.num_nodes == 40
    assert data.node_id == graph.node_ids.values.tolist()
    assert torch.equal(data.has_text, graph.features["text"].present)
    assert data.x_image.shape == (40, 24)
    for number, relation in enumerate(graph.relations.values()):
        assert torch.equal(data.edge_index[:, data.edge_type == number], relation.edge_index)


def rated(graph: MultimodalGraph) -> list[tuple[float, ...]]:
    relation = graph.relations["likes"]
    return sorted(zip(*relation.edge_index.tolist(), relation.attributes["rating"].tolist(), strict=True))


def test_edges_that_moved_are_refused_and_the_advice_holds() -> None:
    graph = make_graph()
    with pytest.raises(InputError, match=r"\(edges\).*after coalesce neither is right"):
        from_pyg(to_pyg(graph).coalesce())
    data = to_pyg(graph).sort()
    with pytest.raises(
        InputError, match=r"changed since to_pyg made it \(edges\).* use to_hetero_pyg.*del data"
    ) as error:
        from_pyg(data)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"\(edges\)"):
        bundle_from_pyg(data)
    assert rated(from_pyg(to_hetero_pyg(graph).sort())) == rated(graph)
    del data["mmgraph"]
    plain = from_pyg(data, name="plain", symmetric=False)
    likes = graph.relations["likes"].edge_index
    assert sorted(plain.relations["edge_0"].edge_index.T.tolist()) == sorted(likes.T.tolist())
    assert plain.node_ids.values.tolist() == graph.node_ids.values.tolist()


def test_nodes_that_moved_are_refused_and_the_advice_holds() -> None:
    graph = make_graph()
    order = torch.arange(graph.num_nodes).flip(0)
    data = to_pyg(graph).subgraph(order)
    with pytest.raises(InputError, match=r"changed since to_pyg made it \(edges and nodes\)") as error:
        from_pyg(data)
    assert "to_hetero_pyg" not in str(error.value)  # its subgraph stops at the list of ids
    del data["mmgraph"]
    plain = from_pyg(data, name="plain", symmetric=False)
    assert plain.node_ids.values.tolist() == graph.node_ids.values[::-1].tolist()
    for number, relation in enumerate(graph.relations.values()):
        ends = plain.relations[f"edge_{number}"].edge_index
        named, known = plain.node_ids.values[ends.numpy()], graph.node_ids.values[relation.edge_index.numpy()]
        assert sorted(named.T.tolist()) == sorted(known.T.tolist())
    renamed = to_pyg(graph)
    renamed.node_id = renamed.node_id[::-1]
    with pytest.raises(InputError, match=r"\(nodes\)"):
        from_pyg(renamed)


def test_a_copy_and_further_keys_are_no_change() -> None:
    graph = make_graph()
    data = to_pyg(graph).clone()
    data.y = torch.zeros(graph.num_nodes, dtype=torch.int64)
    assert_same_graph(from_pyg(data), graph)


def test_undirected_data_is_folded() -> None:
    edge_index = torch.tensor([[0, 1, 1, 2, 2], [1, 0, 2, 1, 2]])
    data = Data(x=torch.rand(3, 4), edge_index=edge_index, edge_attr=torch.tensor([5.0, 5, 6, 6, 7]), y=torch.ones(3))
    graph = from_pyg(data, name="small")
    relation = graph.relations["edge"]
    assert relation.symmetric
    assert relation.edge_index.tolist() == [[0, 1, 2], [1, 2, 2]]
    assert relation.attributes["edge_attr"].tolist() == [5, 6, 7]
    assert graph.node_ids.values.tolist() == [0, 1, 2]
    assert graph.features["features"].spec == FeatureSpec("features", "small", 4)
    as_is = from_pyg(data, name="small", symmetric=False).relations["edge"]
    assert not as_is.symmetric
    assert torch.equal(as_is.edge_index, edge_index)


@pytest.mark.parametrize("symmetric", [None, True])
def test_parallel_edges_that_differ_are_kept(symmetric: bool | None) -> None:
    edge_index = torch.tensor([[0, 1, 0, 1, 1, 2, 1, 2], [1, 0, 1, 0, 2, 1, 2, 1]])
    weight = torch.tensor([9.0, 1, 1, 9, torch.nan, torch.nan, 3, 3])
    attributes = torch.tensor([[1], [1], [1], [1], [2], [2], [2], [2]])
    data = Data(edge_index=edge_index, edge_weight=weight, edge_attr=attributes, num_nodes=3)
    relation = from_pyg(data, name="parallel", symmetric=symmetric).relations["edge"]
    assert relation.symmetric
    rows = zip(*relation.edge_index.tolist(), relation.attributes["edge_weight"].tolist(), strict=True)
    assert sorted(str(row) for row in rows) == ["(0, 1, 1.0)", "(0, 1, 9.0)", "(1, 2, 3.0)", "(1, 2, nan)"]
    assert sorted(relation.attributes["edge_attr"].flatten().tolist()) == [1, 1, 2, 2]


def test_a_fold_that_is_asked_for_keeps_both_values_of_a_pair_and_one_of_repeats() -> None:
    edge_index = torch.tensor([[1, 0, 0, 2], [0, 1, 1, 2]])
    data = Data(edge_index=edge_index, edge_weight=torch.tensor([2.0, 1, 1, 1]), num_nodes=3)
    relation = from_pyg(data, name="both", symmetric=True).relations["edge"]
    assert relation.edge_index.tolist() == [[0, 0, 2], [1, 1, 2]]
    assert relation.attributes["edge_weight"].tolist() == [1, 2, 1]


@pytest.mark.parametrize("symmetric", [None, True])
def test_no_edges_with_an_attribute(symmetric: bool | None) -> None:
    data = Data(edge_index=torch.empty(2, 0, dtype=torch.int64), edge_weight=torch.empty(0), num_nodes=3)
    assert from_pyg(data, name="empty", symmetric=symmetric).relations["edge"].num_edges == 0


@pytest.mark.parametrize("change", ["edge", "attribute"])
def test_directed_data_is_not_folded(change: str) -> None:
    edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 0 if change == "edge" else 1]])
    weight = torch.tensor([1.0, 2.0 if change == "attribute" else 1.0, 1, 1])
    data = Data(x=torch.rand(3, 4), edge_index=edge_index, edge_weight=weight)
    relation = from_pyg(data, name="small").relations["edge"]
    assert not relation.symmetric
    assert torch.equal(relation.edge_index, edge_index)


def test_edge_types_become_relations() -> None:
    data = Data(edge_index=torch.tensor([[0, 1, 0], [1, 2, 2]]), edge_type=torch.tensor([4, 0, 4]), num_nodes=3)
    graph = from_pyg(data, name="typed")
    assert {k: r.edge_index.tolist() for k, r in graph.relations.items()} == {
        "edge_0": [[1], [2]],
        "edge_4": [[0, 0], [1, 2]],
    }


def hetero() -> HeteroData:
    data = HeteroData()
    data["paper"].x = torch.arange(6.0).reshape(3, 2)
    data["author"].num_nodes = 2
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1, 1], [0, 1, 2]])
    data["paper", "rev_writes", "author"].edge_index = torch.tensor([[0, 1, 2], [0, 1, 1]])
    data["paper", "cites", "paper"].edge_index = torch.tensor([[0], [2]])
    return data


def test_hetero_data() -> None:
    graph = from_pyg(hetero(), name="mag")
    assert graph.node_types == ("paper", "author")
    assert graph.node_ids.values.tolist() == ["paper:0", "paper:1", "paper:2", "author:0", "author:1"]
    assert graph.relations["writes"].edge_index.tolist() == [[3, 4, 4], [0, 1, 2]]
    assert graph.relations["rev_writes"].edge_index.tolist() == [[0, 1, 2], [3, 4, 4]]
    assert graph.relations["cites"].edge_index.tolist() == [[0], [2]]
    features = graph.features["paper_features"]
    assert features.present.tolist() == [True, True, True, False, False]
    assert torch.equal(features.values[:3], hetero()["paper"].x)


def test_types_may_share_a_feature_space_and_a_relation_name() -> None:
    data = hetero()
    data["author"].x = torch.ones(2, 2)
    data["author", "cites", "author"].edge_index = torch.tensor([[0], [1]])
    spec = FeatureSpec("text", "word2vec", 2)
    graph = from_pyg(data, name="mag", specs={"paper": spec, "author": spec})
    assert list(graph.features) == ["text"]
    assert graph.features["text"].present.all()
    assert {"paper__cites__paper", "author__cites__author"} <= set(graph.relations)


def test_own_ids_and_integer_or_sparse_features() -> None:
    data = Data(x=torch.tensor([[1, 0], [0, 2]]), edge_index=torch.tensor([[0], [1]]), node_id=["b", "a"])
    graph = from_pyg(data, name="g")
    assert graph.node_ids.values.tolist() == ["b", "a"]
    assert graph.features["features"].values.dtype == torch.float32
    data.x = data.x.float().to_sparse()
    assert np.array_equal(from_pyg(data, name="g").features["features"].values, [[1, 0], [0, 2]])


EDGE = torch.tensor([[0], [1]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"edge_index": torch.tensor([[0.0], [1.5]])}, "relation 'edge': edge_index must hold whole numbers, got 1.5"),
        ({"edge_index": torch.tensor([[0.0], [torch.nan]])}, "edge_index must hold whole numbers, got nan"),
        ({"edge_index": EDGE.bool()}, "edge_index must hold whole numbers, got torch.bool"),
        ({"edge_index": torch.tensor([[0, 1, 2]])}, "edge_index must have shape [2, num_edges], got [1, 3]"),
        ({"edge_index": torch.tensor([0, 1])}, "edge_index must have shape [2, num_edges], got [2]"),
        ({"edge_index": EDGE, "edge_type": torch.tensor([0, 0])}, "edge_type must have shape [1], one number"),
        ({"edge_index": EDGE, "edge_type": torch.tensor([[0]])}, "for each edge, got [1, 1]"),
        ({"edge_index": torch.tensor([[0, 1, 2]]), "edge_type": torch.zeros(3)}, "[2, num_edges], got [1, 3]"),
    ],
)
def test_malformed_edges(fields: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(InputError) as error:
        from_pyg(Data(num_nodes=3, **fields), name="g")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_whole_floats_are_positions() -> None:
    relation = from_pyg(Data(num_nodes=3, edge_index=EDGE.double()), name="g").relations["edge"]
    assert torch.equal(relation.edge_index, EDGE)


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        ({"x": 1}, {"name": "g"}, "expected a torch_geometric Data or HeteroData, got dict"),
        (Data(x=torch.rand(2, 3), edge_index=EDGE), {}, "from_pyg needs a name for the graph"),
        (Data(x=torch.rand(2, 3)), {"name": "g"}, "a PyG object has no edge_index"),
        (Data(x=torch.rand(2, 3), edge_index=EDGE + 1), {"name": "g"}, "target positions must lie in 0..1, got 2..2"),
        (Data(x=torch.rand(2), edge_index=EDGE), {"name": "g"}, "features of 'node' must have shape [2, dim], got [2]"),
        (
            Data(x=torch.full((2, 1), torch.nan), edge_index=EDGE),
            {"name": "g"},
            "graph 'g': features features of 2 nodes hold NaN or infinity, first at row 0",
        ),
        (
            Data(x=torch.rand(2, 3), edge_index=EDGE),
            {"name": "g", "specs": {"node": FeatureSpec("text", "e", 4)}},
            "graph 'g', features of 'node': expected 4 columns, got 3",
        ),
        (
            Data(x=torch.rand(2, 3), edge_index=EDGE, node_id=[7, 7]),
            {"name": "g"},
            "graph 'g', node ids: 1 duplicate ids: 7",
        ),
    ],
)
def test_bad_input(data: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        from_pyg(data, **arguments)
    assert message in str(error.value)
