"""What every exchange of graphs with another library's objects must keep. A new one is one line in `LIBRARIES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import networkx
import pyarrow as pa
import pytest
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.formats.networkx import from_networkx, raw_from_networkx, split_from_networkx, to_networkx
from mmgraph.formats.pyg import bundle_from_pyg, from_pyg, to_hetero_pyg, to_pyg
from mmgraph.testing.asserts import assert_same_graph

IDS: dict[str, list[Any]] = {
    "integers": [7, -1, 3, 10**12, 0, 5],
    "numbers as strings": ["007", "1.0", "1", "-0", "1e3", " 1"],
    "odd": ["", " ", "NA", "a\tb", "line\nbreak", "漢 ü😀"],
}
TYPES = ("nobody", "user", "web page")
"""The first has no nodes; the others take turns, beginning with a web page."""


def relations() -> dict[str, Relation]:
    """Directed and symmetric, with a reverse, with several edges for a pair, with a loop, without edges."""
    reads = torch.tensor([[1, 1, 3, 5], [0, 0, 2, 4]])
    facts = {"stars": torch.tensor([5, 1, 2, 3]), "vector": torch.arange(8.0).reshape(4, 2) / 3}
    return {
        "reads": Relation(reads, "user", "web page", attributes=facts, reverse="read by"),
        "knows": Relation(torch.tensor([[1, 3], [3, 5]]), "user", "user", symmetric=True),
        "links to": Relation(
            torch.tensor([[0, 4, 2], [4, 0, 2]]),
            "web page",
            "web page",
            attributes={"weight": torch.arange(3).double() / 7},
        ),
        "read by": Relation(reads.flip(0), "web page", "user", attributes=facts, reverse="reads"),
        "none": Relation(torch.empty(2, 0, dtype=torch.int64), "nobody", "user", attributes={"w": torch.empty(0)}),
    }


def features(dtype: torch.dtype) -> dict[str, ModalityFeatures]:
    """Rows of absent nodes are NaN, which must go nowhere; one modality nobody has; one mean is not that of the rows."""
    some = torch.tensor([True, False, True, False, False, True])
    text = torch.where(some[:, None], torch.arange(12.0).reshape(6, 2), torch.nan).to(dtype)
    return {
        "text": ModalityFeatures(FeatureSpec("text", "enc", 2), text, some, torch.tensor([0.25, 0.5])),
        "image": ModalityFeatures(
            FeatureSpec("image", "enc", 3), torch.zeros(6, 3, dtype=dtype), torch.zeros(6).bool()
        ),
        "my sound": ModalityFeatures(
            FeatureSpec("my sound", "e", 1), torch.ones(6, 1, dtype=dtype), torch.ones(6).bool()
        ),
    }


def make(ids: list[Any], dtype: torch.dtype = torch.float32) -> MultimodalGraph:
    return MultimodalGraph(
        name="odd",
        node_ids=NodeIds(ids),
        node_types=TYPES,
        node_type=torch.tensor([2, 1, 2, 1, 2, 1]),
        relations=relations(),
        features=features(dtype),
        columns=pa.table({"price": [1, None, 3, 4, 5, 6], "tags": [["a"], [], None, ["b", "c"], [], []]}),
    )


@dataclass(frozen=True)
class Library:
    """Objects of another library.

    Attributes:
        write: Makes one from a graph.
        read: Makes a graph from one.
        keeps_order: Whether nodes, edges and relations come back in the same order.
    """

    write: Callable[[MultimodalGraph], Any]
    read: Callable[..., MultimodalGraph]
    keeps_order: bool = True


LIBRARIES = {
    "PyG Data": Library(to_pyg, from_pyg),
    "PyG HeteroData": Library(to_hetero_pyg, from_pyg),
    "NetworkX": Library(to_networkx, from_networkx, keeps_order=False),
}


@pytest.fixture(params=LIBRARIES.values(), ids=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Library:
    found: Library = request.param
    return found


GRAPHS: dict[str, Callable[[], MultimodalGraph]] = {
    **{name: lambda ids=ids: make(ids) for name, ids in IDS.items()},  # type: ignore[misc]
    "double": lambda: make(IDS["integers"], torch.float64),
    "half": lambda: make(IDS["integers"], torch.float16),
    "bfloat16": lambda: make(IDS["integers"], torch.bfloat16),
    "no columns": lambda: replace(make(IDS["odd"]), columns=None),
    "no features": lambda: replace(make(IDS["odd"]), features={}),
    "no relations": lambda: replace(make(IDS["odd"]), relations={}),
    "one node": lambda: MultimodalGraph("one", NodeIds(["a"]), ("node",), torch.zeros(1, dtype=torch.int64), {}, {}),
}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_there_and_back(library: Library, graph: Callable[[], MultimodalGraph]) -> None:
    expected = graph()
    written = library.write(expected)
    actual = library.read(written)
    assert_same_graph(actual, expected, by_id=not library.keeps_order)
    assert actual.node_types == expected.node_types
    assert (actual.columns is None) == (expected.columns is None)
    if actual.columns is not None and expected.columns is not None:
        assert actual.columns.schema == expected.columns.schema
    assert library.read(library.write(actual), name="other").name == "other"


def test_the_graph_is_not_changed(library: Library) -> None:
    graph = make(IDS["odd"])
    library.read(library.write(graph))
    assert_same_graph(graph, make(IDS["odd"]))


@pytest.mark.parametrize("write", [to_pyg, to_hetero_pyg])
def test_labels_and_masks_of_pyg_belong_to_ids(write: Callable[[MultimodalGraph], Any]) -> None:
    graph = make(IDS["odd"])
    data = write(graph)
    label = dict(zip(IDS["odd"], [3, 1, 4, 1, 5, 9], strict=True))
    part = dict(zip(IDS["odd"], ["train", "test", "valid", "unused", "train", "test"], strict=True))
    for store in data.node_stores:
        if not store["num_nodes"]:
            continue
        nodes = store["node_id"]
        store["y"] = torch.tensor([label[node] for node in nodes])
        for name, key in (("train", "train_mask"), ("valid", "val_mask"), ("test", "test_mask")):
            store[key] = torch.tensor([part[node] == name for node in nodes])
    bundle = bundle_from_pyg(data)
    assert_same_graph(bundle.graph, graph)
    rows = [row for split in bundle.splits.values() for row in split.table.to_pylist()]
    assert sorted((row["id"], row["label"], row["split"]) for row in rows) == sorted(
        (node, label[node], part[node]) for node in IDS["odd"]
    )


def test_labels_of_networkx_belong_to_ids_and_stay_out() -> None:
    graph = make(IDS["odd"])
    written: networkx.MultiDiGraph = to_networkx(graph)
    for i, node in enumerate(reversed(IDS["odd"])):
        written.nodes[node].update(label=i, split="test" if i % 2 else "train", title=f"no. {i}")
    rows = split_from_networkx(written).table.to_pylist()
    assert {row["id"]: (row["label"], row["split"]) for row in rows} == {
        node: (5 - i, "train" if i % 2 else "test") for i, node in enumerate(IDS["odd"])
    }
    raw = raw_from_networkx(written, text="title", columns=["price"])
    assert raw.content["text"] == [f"no. {5 - i}" for i in range(6)]
    plain = replace(graph, features={}, columns=graph.columns.select(["price"]) if graph.columns else None)
    fields = (raw.name, raw.node_ids, raw.node_types, raw.node_type, raw.relations)
    assert_same_graph(MultimodalGraph(*fields, {}, raw.columns), plain, by_id=True)


def test_no_name_is_told(library: Library) -> None:
    written = library.write(make(IDS["odd"]))
    if isinstance(written, networkx.Graph):
        written.graph.clear()
    else:
        del written["mmgraph"]
    with pytest.raises(InputError, match=r"needs a name for the graph: from_\w+\(\w+, name="):
        library.read(written)
