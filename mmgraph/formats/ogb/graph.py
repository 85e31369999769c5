"""Graphs of the Open Graph Benchmark (node and link property prediction)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.data.features import FeatureSpec
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, require, unknown_choice
from mmgraph.formats.arrays import EdgeArrays, NodeArrays, graph_from_arrays
from mmgraph.untrusted import reads

_NOT_COLUMNS = ("node_feat", "node_feat_dict")
_NOT_ATTRIBUTES = ("edge_index", "edge_feat")


def from_ogb(
    dataset: Any,
    *,
    name: str | None = None,
    specs: Mapping[str, FeatureSpec] | None = None,
    symmetric: bool | None = None,
    ids: Mapping[str, Iterable[Any]] | None = None,
) -> MultimodalGraph:
    """Turn an OGB dataset into a graph; labels and splits stay behind.

    Further facts about nodes (`node_year`) become columns, those about edges (`edge_weight`, `edge_year`,
    `edge_reltype`) attributes, where the graph has one node type.

    Args:
        dataset: A library-agnostic dataset of OGB, or the dictionary of its graph: `num_nodes`, `edge_index`,
            `node_feat`, `edge_feat`, or the same with `_dict` for several node types.
        name: Name of the graph; by default that of the dataset.
        specs: Feature space by node type ("node" if there is one type), see `graph_from_arrays`.
        symmetric: See `graph_from_arrays`. OGB stores some undirected graphs in both directions.
        ids: External ids by node type, in the order of the nodes; see `NodeArrays`.

    Raises:
        InputError: If the dataset has no name or not the expected keys.
    """
    graph = dataset
    if not isinstance(dataset, Mapping):
        item = dataset[0]
        graph = item[0] if isinstance(item, tuple) else item
        name = name or getattr(dataset, "name", None)
    if name is None:
        raise InputError("from_ogb needs a name for the graph: from_ogb(graph, name=...)")
    typed = "num_nodes_dict" in graph
    for key in ("num_nodes_dict", "edge_index_dict") if typed else ("num_nodes", "edge_index"):
        if key not in graph:
            raise InputError(f"OGB graph {name!r}: missing {key!r}; found: {', '.join(map(str, graph))}")
    known = ids or {}
    if typed:
        values, attributes = graph.get("node_feat_dict") or {}, graph.get("edge_feat_dict") or {}
        nodes = {
            kind: NodeArrays(int(count), values.get(kind), known.get(kind))
            for kind, count in graph["num_nodes_dict"].items()
        }
        edges = {
            kind: EdgeArrays(index, _attributes(attributes.get(kind)))
            for kind, index in graph["edge_index_dict"].items()
        }
        return graph_from_arrays(name, nodes, edges, specs=specs, symmetric=symmetric)
    return graph_from_arrays(
        name,
        {"node": NodeArrays(int(graph["num_nodes"]), graph.get("node_feat"), known.get("node"))},
        {
            ("node", "edge", "node"): EdgeArrays(
                graph["edge_index"], _attributes(graph.get("edge_feat")) | _edge_facts(graph)
            )
        },
        specs=specs,
        symmetric=symmetric,
        columns=_columns(graph),
    )


@reads("files of OGB")
def load_ogb(
    name: str, root: Path | str, *, specs: Mapping[str, FeatureSpec] | None = None, symmetric: bool | None = None
) -> MultimodalGraph:
    """Read the raw files of an OGB dataset from a local folder; nothing is downloaded.

    Args:
        name: Name of the dataset, for example `ogbn-arxiv`.
        root: Folder that holds the unpacked dataset, for example `root/ogbn_arxiv/raw/edge.csv.gz`.
        specs: See `from_ogb`.
        symmetric: See `from_ogb`; by default true for datasets that OGB declares undirected.

    Raises:
        InputError: If the name is unknown, or the files are not there.
        MissingExtraError: If `ogb` is not installed.
    """
    facts = ogb_facts(name)
    graph = read_raw(name, ogb_folder(name, root, facts), facts)
    declared = True if facts["add_inverse_edge"] == "True" else None
    return from_ogb(graph, name=name, specs=specs, symmetric=declared if symmetric is None else symmetric)


def ogb_facts(name: str) -> dict[str, str]:
    """What the package `ogb` says about a dataset: `task type`, `split`, `binary`, `is hetero` and so on.

    Raises:
        InputError: If the name is unknown.
        MissingExtraError: If `ogb` is not installed.
    """
    import pandas as pd

    known: list[str] = []
    for part in ("nodeproppred", "linkproppred"):
        package = require(f"ogb.{part}", extra="ogb")
        master = pd.read_csv(Path(str(package.__file__)).with_name("master.csv"), index_col=0, keep_default_na=False)
        if name in master:
            return {str(key): str(value) for key, value in master[name].items()}
        known += [str(column) for column in master]
    raise unknown_choice("OGB dataset", name, known)


def ogb_folder(name: str, root: Path | str, facts: Mapping[str, str]) -> Path:
    """Folder of a dataset: `root/ogbn_arxiv`, `root/arxiv` (as the archive is unpacked) or `root` itself."""
    root = Path(root)
    usual = root / name.replace("-", "_")
    places = (usual, root / facts["download_name"], root)
    return next((place for place in places if (place / "raw").is_dir()), usual)


def read_raw(name: str, folder: Path, facts: Mapping[str, str]) -> dict[str, Any]:
    """Read the graph of a dataset from its raw files, each edge as often as it is there.

    Raises:
        InputError: If the files are not there.
    """
    reader = require("ogb.io.read_graph_raw", extra="ogb")
    raw = folder / "raw"
    typed, binary = facts["is hetero"] == "True", facts["binary"] == "True"
    file = raw / (
        ("edge_index_dict.npz" if typed else "data.npz")
        if binary
        else ("triplet-type-list.csv.gz" if typed else "edge.csv.gz")
    )
    if not file.exists():
        raise InputError(f"{file}: file not found; download and unpack {name} there first")
    function = getattr(reader, f"read_{'binary' if binary else 'csv'}_{'hetero' if typed else ''}graph_raw")
    # Inverse edges are not added: they would be folded again. OGB prints; results own standard output.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            graphs = function(str(raw), add_inverse_edge=False, **({} if binary else _extra_files(facts)))
        except (FileNotFoundError, RuntimeError) as error:
            raise InputError(f"{raw}: not all files of {name} are there: {' '.join(str(error).split())}") from None
    return dict(graphs[0])


def _extra_files(facts: Mapping[str, str]) -> dict[str, list[str]]:
    lists = {key: facts[f"additional {key} files"] for key in ("node", "edge")}
    return {
        f"additional_{key}_files": [] if value in ("None", "", "nan") else value.split(",")
        for key, value in lists.items()
    }


def _attributes(values: Any) -> dict[str, Any]:
    return {} if values is None else {"edge_feat": values}


def _edge_facts(graph: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Further facts about edges, such as `edge_year` `[num_edges, 1]`."""
    count = np.size(graph["edge_index"]) // 2  # its shape is checked where the edges are read
    return {
        key: np.asarray(values).reshape(-1)
        for key, values in graph.items()
        if str(key).startswith("edge_") and key not in _NOT_ATTRIBUTES and np.size(values) == count
    }


def _columns(graph: Mapping[str, Any]) -> pa.Table | None:
    """Further facts about nodes, such as `node_year` `[num_nodes, 1]`."""
    columns = {
        key: pa.array(values.reshape(-1))
        for key, values in graph.items()
        if str(key).startswith("node_") and key not in _NOT_COLUMNS and getattr(values, "size", 0) == graph["num_nodes"]
    }
    return pa.table(columns) if columns else None
