"""Benchmarks of OGB from their files: the graph with its own ids, and apart from it labels and official splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmgraph.data.features import FeatureSpec
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.formats.bundle import OFFICIAL, Bundle, held_out
from mmgraph.formats.labels import label_column, official_split
from mmgraph.formats.ogb.files import labelled_types, read_csv, read_ids, read_npz, read_parts
from mmgraph.formats.ogb.graph import from_ogb, ogb_facts, ogb_folder, read_raw
from mmgraph.formats.ogb.links import RELATION, edge_split, fold_repeats, read_edge_parts
from mmgraph.splits.base import Split
from mmgraph.untrusted import reads


@reads("files of OGB")
def bundle_from_ogb(
    dataset: Any,
    root: Path | str | None = None,
    *,
    specs: Mapping[str, FeatureSpec] | None = None,
    symmetric: bool | None = None,
    own_ids: bool = True,
) -> Bundle:
    """Read a dataset of OGB with labels and its official split; nothing is downloaded.

    Node property prediction gives a split of nodes with the column `label`: a number, or for several binary labels the
    list of those that are 1. Link property prediction gives a split of edges of the relation `edge`; ogbl-citation2 has
    the column `negatives`. Files of arrays are read without running what they hold. Notes say what the split does not
    hold.

    Args:
        dataset: Name of a dataset, for example `ogbn-arxiv`; or a library-agnostic dataset of the package `ogb`
            (`NodePropPredDataset`, `LinkPropPredDataset`), whose graph is taken and whose folder is read for the rest.
        root: Folder of the files, with a name: it holds `ogbn_arxiv/raw/edge.csv.gz`, or is that folder.
        specs: Feature space by node type, see `from_ogb`.
        symmetric: See `from_ogb`; by default true for datasets that OGB declares undirected.
        own_ids: Take the ids of `mapping/nodeidx2*.csv.gz` (or `mapping/<type>_entidx2name.csv.gz`) where there are
            any, rather than positions.

    Raises:
        InputError: If the dataset is unknown or no OGB dataset, files are missing or do not fit together, or it asks
            for completion of a knowledge graph.
        MissingExtraError: If `ogb` is not installed.
    """
    if isinstance(dataset, str):
        if root is None:
            raise InputError(f"bundle_from_ogb needs the folder of {dataset}: bundle_from_ogb({dataset!r}, root)")
        name, facts = dataset, ogb_facts(dataset)
        folder = ogb_folder(name, root, facts)
        graph = None
    else:
        name, facts, folder, graph = _of_object(dataset)
    task = facts["task type"]
    if task == "KG completion":
        raise InputError(
            f"{name}: its split asks for heads and tails of typed facts (knowledge graph completion); "
            "only links and citations are read; load_ogb reads the graph"
        )
    graph = read_raw(name, folder, facts) if graph is None else graph
    ids = read_ids(folder, graph) if own_ids else {}
    undirected = symmetric if symmetric is not None else facts["add_inverse_edge"] == "True" or None
    if task == "link prediction":
        return _links(name, folder, facts, graph, ids, specs, undirected)
    built = from_ogb(graph, name=name, specs=specs, symmetric=undirected, ids=ids)
    splits, notes = _nodes(name, folder, facts, built)
    return Bundle(built, splits, notes)


def _of_object(dataset: Any) -> tuple[str, dict[str, str], Path, dict[str, Any]]:
    """Name, facts, folder and graph of a dataset object; inverse edges that OGB added are taken out again."""
    absent = [key for key in ("name", "root", "meta_info") if not hasattr(dataset, key)]
    item = None if absent else dataset[0]
    graph = item[0] if isinstance(item, tuple) else item
    if not isinstance(graph, Mapping):
        raise InputError(
            f"expected the name of an OGB dataset, a NodePropPredDataset or a LinkPropPredDataset, "
            f"got {type(dataset).__name__}"
        )
    facts = {str(key): str(value) for key, value in dict(dataset.meta_info).items()}
    plain = dict(graph)
    if facts["add_inverse_edge"] == "True" and "edge_index" in plain:
        edges = np.asarray(plain["edge_index"])
        if edges.shape[1] % 2 or not np.array_equal(edges[:, ::2], edges[::-1, 1::2]):
            raise InputError(f"{dataset.name}: expected every second edge to be the inverse of the one before")
        for key, value in graph.items():
            if key == "edge_index":
                plain[key] = edges[:, ::2]
            elif str(key).startswith("edge_") and value is not None:
                plain[key] = value[::2]
    return str(dataset.name), facts, Path(dataset.root), plain


def _nodes(
    name: str, folder: Path, facts: Mapping[str, str], graph: MultimodalGraph
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Splits by name and notes."""
    raw, parts = folder / "raw", folder / "split" / facts["split"]
    typed, binary = facts["is hetero"] == "True", facts["binary"] == "True"
    settings = {"source": "ogb", "name": name, "split": facts["split"]}
    labels: dict[str, Any]
    if not typed:
        labels = {
            "node": read_npz(raw / "node-label.npz", "node_label")["node_label"]
            if binary
            else read_csv(raw / "node-label.csv.gz")
        }
    elif binary:
        labels = dict(read_npz(raw / "node-label.npz"))
    else:
        kinds = labelled_types(raw / "nodetype-has-label.csv.gz")
        labels = {kind: read_csv(raw / "node-label" / kind / "node-label.csv.gz") for kind in kinds}
    splits: dict[str, Split] = {}
    notes: list[str] = []
    for kind, values in labels.items():
        ids = graph.node_ids.values[graph.nodes_of_type(kind).numpy()]
        where = f"{name}, {kind}" if typed else name
        column, told = label_column(f"{where}, labels", values, len(ids))
        positions = read_parts(parts, kind if typed else None)
        key = OFFICIAL if len(labels) == 1 else f"{OFFICIAL}-{kind}"
        splits[key] = official_split(where, ids, column, positions, settings)
        notes += told
        if values.ndim == 2 and values.shape[1] > 1:
            notes.append(f"{where}: {values.shape[1]} binary labels; a node has the list of those that are 1")
    return splits, tuple(notes)


def _links(
    name: str,
    folder: Path,
    facts: Mapping[str, str],
    graph: Mapping[str, Any],
    ids: Mapping[str, Any],
    specs: Mapping[str, FeatureSpec] | None,
    symmetric: bool | None,
) -> Bundle:
    parts = read_edge_parts(name, folder / "split" / facts["split"])
    built = from_ogb(graph, name=name, specs=specs, symmetric=False if symmetric else symmetric, ids=ids)
    notes = []
    if symmetric:
        relation, repeats = fold_repeats(built.relations[RELATION])
        built = replace(built, relations={RELATION: relation})
        if repeats:
            notes.append(
                f"{name}: {repeats:,} edges repeat a pair; each pair is there once, with the sum of edge_weight and the "
                "latest edge_year where it has them"
            )
    settings = {"source": "ogb", "name": name, "split": facts["split"]}
    is_symmetric = built.relations[RELATION].symmetric
    split, told = edge_split(name, built.node_ids, parts, settings, symmetric=is_symmetric)
    rest, removed = held_out(built, split)
    if removed:
        notes.append(f"{name}: {removed:,} edges of the graph tell what is held out and were taken out")
    return Bundle(rest, {OFFICIAL: split}, (*notes, *told))
