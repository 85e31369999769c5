from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mmgraph.data.features import FeatureSpec
from mmgraph.errors import InputError, MissingExtraError
from mmgraph.formats.ogb import from_ogb, load_ogb

EDGES = np.array([[0, 1, 1, 2], [1, 0, 2, 1]])
FEATURES = np.arange(6, dtype=np.float32).reshape(3, 2)


class Dataset:
    """What `ogb.nodeproppred.NodePropPredDataset` looks like from outside."""

    name = "ogbn-tiny"

    def __init__(self, graph: dict[str, Any], *, labels: bool = True) -> None:
        self.item = (graph, np.ones((3, 1))) if labels else graph

    def __getitem__(self, index: int) -> Any:
        assert index == 0
        return self.item


def plain(**other: Any) -> dict[str, Any]:
    return {"edge_index": EDGES, "edge_feat": None, "node_feat": FEATURES, "num_nodes": 3, **other}


@pytest.mark.parametrize("labels", [True, False])
def test_one_node_type(labels: bool) -> None:
    graph = from_ogb(Dataset(plain(node_year=np.array([[2001], [2002], [2003]])), labels=labels))
    assert graph.name == "ogbn-tiny"
    assert graph.relations["edge"].symmetric
    assert graph.relations["edge"].edge_index.tolist() == [[0, 1], [1, 2]]
    assert graph.features["features"].spec == FeatureSpec("features", "ogbn-tiny", 2)
    assert torch.equal(graph.features["features"].values, torch.from_numpy(FEATURES))
    assert graph.columns is not None
    assert graph.columns.to_pydict() == {"node_year": [2001, 2002, 2003]}


def test_edge_features_and_no_node_features() -> None:
    values = np.array([[1.0, 2], [3, 4], [5, 6], [7, 8]])
    graph = from_ogb(plain(node_feat=None, edge_feat=values), name="g")
    assert graph.features == {}
    assert not graph.relations["edge"].symmetric  # the two directions differ in their features
    assert graph.relations["edge"].attributes["edge_feat"].tolist() == values.tolist()


def test_several_node_types() -> None:
    graph = from_ogb(
        {
            "num_nodes_dict": {"author": 2, "paper": 3},
            "edge_index_dict": {
                ("author", "writes", "paper"): np.array([[0, 1], [2, 0]]),
                ("paper", "cites", "paper"): np.array([[0], [1]]),
            },
            "node_feat_dict": {"paper": FEATURES},
            "edge_feat_dict": {("author", "writes", "paper"): np.array([[1.0], [2.0]])},
        },
        name="mag",
        specs={"paper": FeatureSpec("text", "word2vec", 2)},
    )
    assert graph.summary()["node_types"] == {"author": 2, "paper": 3}
    assert graph.relations["writes"].edge_index.tolist() == [[0, 1], [4, 2]]
    assert graph.relations["writes"].attributes["edge_feat"].tolist() == [[1], [2]]
    assert graph.features["text"].present.tolist() == [False, False, True, True, True]
    assert graph.node_ids.values.tolist() == ["author:0", "author:1", "paper:0", "paper:1", "paper:2"]


@pytest.mark.parametrize(
    ("graph", "name", "message"),
    [
        ({"edge_index": EDGES}, "g", "OGB graph 'g': missing 'num_nodes'; found: edge_index"),
        (plain(), None, "from_ogb needs a name for the graph: from_ogb(graph, name=...)"),
        (
            plain(num_nodes=2, node_feat=None),
            "g",
            "graph 'g', relation 'edge': source positions must lie in 0..1, got 0..2",
        ),
        (
            {"num_nodes_dict": {"a": 1}, "edge_index_dict": {("a", "r", "b"): EDGES}},
            "g",
            "graph 'g', relation 'r': unknown node type 'b'; choose from: a",
        ),
    ],
)
def test_bad_input(graph: dict[str, Any], name: str | None, message: str) -> None:
    with pytest.raises(InputError) as error:
        from_ogb(graph, name=name)
    assert str(error.value) == message


def write_raw(folder: Path, edges: np.ndarray, extra: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True)
    tables = {"edge": edges.T, "num-node-list": [[3]], "num-edge-list": [[edges.shape[1]]], "node-feat": FEATURES}
    for name, values in {**tables, **extra}.items():
        pd.DataFrame(values).to_csv(folder / f"{name}.csv.gz", header=False, index=False, compression="gzip")


def test_files_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edges = np.array([[0, 1], [1, 2]])
    write_raw(tmp_path / "ogbn_arxiv" / "raw", edges, {"node_year": np.array([[2001], [2002], [2003]])})
    graph = load_ogb("ogbn-arxiv", tmp_path)
    assert capsys.readouterr().out == ""
    assert not graph.relations["edge"].symmetric
    assert graph.relations["edge"].edge_index.tolist() == edges.tolist()
    assert graph.columns is not None
    assert graph.columns["node_year"].to_pylist() == [2001, 2002, 2003]
    write_raw(tmp_path / "ogbn_products" / "raw", edges, {})
    products = load_ogb("ogbn-products", tmp_path)
    assert products.relations["edge"].symmetric  # declared by OGB, which stores each edge once on disk
    assert products.relations["edge"].edge_index.tolist() == edges.tolist()


def test_unknown_name_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown OGB dataset 'ogbn-arxive'; choose from: ogbn-arxiv, "):
        load_ogb("ogbn-arxive", tmp_path)
    with pytest.raises(InputError, match=r"ogbn_arxiv/raw/edge.csv.gz: file not found; download and unpack ogbn-arxiv"):
        load_ogb("ogbn-arxiv", tmp_path)


def test_missing_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ogb.nodeproppred", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mmgraph\[ogb\]"'):
        load_ogb("ogbn-arxiv", tmp_path)
