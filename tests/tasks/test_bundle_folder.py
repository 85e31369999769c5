from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.errors import InputError
from mmgraph.formats.bundle import Bundle
from mmgraph.splits.base import Split
from mmgraph.splits.edges import split_edges_random
from mmgraph.splits.message import message_graph
from mmgraph.splits.nodes import split_nodes_random
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.bundle_folder import read_bundle, read_graph, write_bundle
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.factories import make_graph, make_raw_graph


def raw_graph(folder: Path) -> RawGraph:
    return make_raw_graph(num_nodes=40, seed=1, folder=folder / "pictures", num_edges=40)


def bundle_of(graph: RawGraph | MultimodalGraph) -> Bundle:
    links = split_edges_random(graph, shares={"train": 0.5, "valid": 0.2, "test": 0.3})
    ids = graph.node_ids.values
    labels = pa.table({"id": pa.array(ids), "label": [f"kind {i % 3}" for i in range(len(ids))]})
    nodes = split_nodes_random(labels)
    return Bundle(message_graph(graph, links), {"links": links, "kinds": nodes})


@pytest.mark.parametrize("kind", ["content", "features"])
def test_a_bundle_comes_back_with_its_tasks(tmp_path: Path, kind: str) -> None:
    bundle = bundle_of(raw_graph(tmp_path) if kind == "content" else make_graph(num_nodes=40, seed=1))
    written = write_bundle(bundle, tmp_path / "out")
    found = read_bundle(tmp_path / "out")
    assert_same_graph(found.graph, bundle.graph, by_id=True)
    assert {name: split.digest for name, split in found.splits.items()} == {
        name: split.digest for name, split in bundle.splits.items()
    }
    assert sorted(load_tasks(tmp_path / "out")) == sorted(task.name for task in written.tasks) == ["kinds", "links"]
    assert written.without_task == {}


def test_a_split_that_asks_nothing_makes_no_task(tmp_path: Path) -> None:
    graph = make_graph(num_nodes=10, num_edges=12, seed=0)
    ids = pa.array(graph.node_ids.values)
    splits = {
        "no-labels": Split("node", pa.table({"id": ids, "split": ["train"] * 5 + ["test"] * 5}), "official"),
        "no-test": Split("node", pa.table({"id": ids, "label": ["a"] * 10, "split": ["train"] * 10}), "official"),
        "no-label": Split(
            "node",
            pa.table({"id": ids, "label": pa.nulls(10, pa.string()), "split": ["train"] * 5 + ["test"] * 5}),
            "official",
        ),
    }
    written = write_bundle(Bundle(graph, splits), tmp_path / "out")
    assert written.without_task == {
        "no-labels": "it has no labels",
        "no-test": "it holds nothing out",
        "no-label": "it has no labels",
    }
    assert load_tasks(tmp_path / "out") == {}
    assert len(read_bundle(tmp_path / "out").splits) == 3


def test_the_wanted_kind_of_graph_or_an_error(tmp_path: Path) -> None:
    write_bundle(Bundle(raw_graph(tmp_path)), tmp_path / "content")
    write_bundle(Bundle(make_graph(num_nodes=10, num_edges=12, seed=0)), tmp_path / "features")
    assert isinstance(read_graph(tmp_path / "content"), RawGraph)
    assert isinstance(read_graph(tmp_path / "features", holds="features"), MultimodalGraph)
    with pytest.raises(InputError, match="holds tables but no encoded graph; run: mmgraph encode"):
        read_graph(tmp_path / "content", holds="features")
    with pytest.raises(InputError, match="expected tables of nodes and edges, found only an encoded graph"):
        read_graph(tmp_path / "features", holds="content")
    with pytest.raises(InputError, match="expected the folder of a graph, found nothing"):
        read_graph(tmp_path / "nowhere")


def test_nothing_strange_is_overwritten(tmp_path: Path) -> None:
    bundle = Bundle(make_graph(num_nodes=10, num_edges=12, seed=0))
    write_bundle(bundle, tmp_path / "out")
    with pytest.raises((InputError, FileExistsError), match="out"):
        write_bundle(bundle, tmp_path / "out")
    write_bundle(bundle, tmp_path / "out", overwrite=True)
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"also holds 'thesis\.tex'"):
        write_bundle(bundle, tmp_path / "out", overwrite=True)
