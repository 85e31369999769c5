"""Reading folders of the MM-Graph benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, unknown_choice
from mmgraph.formats.arrays import fold_symmetric
from mmgraph.formats.bundle import OFFICIAL, Bundle, held_out
from mmgraph.formats.choice import choose_one
from mmgraph.formats.mm_graph.contents import (
    FEATURES,
    IDS,
    LABELS,
    LP_SPLITS,
    MAPPING,
    NC_EDGES,
    NC_SPLIT,
    positions,
    read_ids,
    read_labels,
)
from mmgraph.formats.mm_graph.features import choose_features, read_features
from mmgraph.formats.mm_graph.splits import read_edge_split, read_node_split
from mmgraph.formats.safe_pickle import load_pt
from mmgraph.formats.zero_rows import Absent
from mmgraph.untrusted import reads


def looks_like_mm_graph(folder: Path) -> bool:
    """Whether the names of files are those of an MM-Graph folder."""
    return any((folder / name).is_file() for name in (NC_EDGES, *LP_SPLITS))


@reads("files of MM-Graph")
def read_mm_graph(
    folder: Path | str,
    *,
    name: str | None = None,
    features: str | None = None,
    widths: tuple[int, int] | None = None,
    encoders: Mapping[str, str] | None = None,
    split_file: str | None = None,
    absent: Absent = "zero",
    ids: str = "mapping",
    relation: str = "edge",
) -> Bundle:
    """Read a folder of MM-Graph [1]: a graph of one node type, and the official split.

    A folder for node classification holds `nc_edges-nodeid.pt`, `labels-w-missing.pt` and `split.pt`; one for link
    prediction `lp-edge-split.pt` or one of its variants, whose training edges are the graph. Both hold `<x>_feat.pt`
    and perhaps `node_mapping.pt`.

    The relation is symmetric, each pair is there once. Labels outside of the split stay in the table, in no part. The
    split's settings hold name and SHA-256 of its file, because variants of one dataset differ in their negatives.

    Args:
        folder: The folder.
        name: Name of the graph, by default that of the folder.
        features: Which `<x>_feat.pt`; it also names the encoder. Needed if there are several.
        widths: Columns of text and of image, by default half each; of width 0 if there is no such modality.
        encoders: Encoder by modality, to share a projection with other graphs: {"text": "t5", "image": "vit"}.
        split_file: Which file holds the split. Needed if there are several; `split.pt` asks for node classification.
        absent: `zero`: rows of zeros are nodes that lack the modality (the format has no mask); `none`: no row is.
        ids: `mapping`: ids from `node_mapping.pt`, or numbers of rows if it is not there; `rows`: numbers of rows.
        relation: Name of the relation.

    Returns:
        The graph, the split `official`, and notes.

    Raises:
        InputError: If files are missing, hold anything but data, or do not fit together.

    References:
        [1] Zhu et al., 2025, Mosaic of Modalities: A Comprehensive Benchmark for Multimodal Graph Learning, CVPR.
    """
    folder = Path(folder)
    path = _choose_split(folder, split_file)
    chosen = choose_features(folder, features)
    found: dict[str, ModalityFeatures] = {}
    num_nodes = None
    if chosen is not None:
        found, num_nodes = read_features(
            folder / f"{chosen}{FEATURES}", chosen, widths=widths, encoders=encoders, absent=absent
        )
    labels = None
    more: list[str] = []
    if path.name == NC_SPLIT:
        labels, told = read_labels(folder / LABELS, num_nodes)
        num_nodes = len(labels)
        more += told
    node_ids, notes = _node_ids(folder, num_nodes, ids)
    if chosen is None:
        notes.append(f"no file *{FEATURES}: the graph has no features")
    for modality, entry in found.items():
        if missing := int((~entry.present).sum()):
            notes.append(f"{chosen}{FEATURES}: {missing:,} of {len(node_ids):,} nodes lack {modality} (rows of zeros)")

    if labels is not None:
        file = folder / NC_EDGES
        ends = positions(str(file), load_pt(file), len(node_ids), (None, 2)).T
        split = read_node_split(path, node_ids, labels)
        edge_file = file.name
    else:
        split, ends, more = read_edge_split(path, node_ids, relation)
        edge_file = f"{path.name}, train"
    edges = fold_symmetric(Relation(torch.from_numpy(np.ascontiguousarray(ends)), "node", "node"), True)
    if edges.num_edges < ends.shape[1]:
        notes.append(f"{edge_file}: {ends.shape[1]:,} rows make {edges.num_edges:,} pairs, each kept once")
    graph = MultimodalGraph(
        name=name or folder.resolve().name,
        node_ids=node_ids,
        node_types=("node",),
        node_type=torch.zeros(len(node_ids), dtype=torch.int64),
        relations={relation: edges},
        features=found,
    )
    allowed, asked = held_out(graph, split)
    if asked:
        more.append(f"{edge_file}: {asked:,} pairs are not in the graph, because valid or test ask them the other way")
    return Bundle(allowed, {OFFICIAL: split}, (*notes, *more))


def _choose_split(folder: Path, split_file: str | None) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder}: folder not found")
    found = [file for file in LP_SPLITS if (folder / file).is_file()]
    if (folder / NC_EDGES).is_file():
        found.append(NC_SPLIT)
    chosen = choose_one(folder, split_file, found, kind="file of a split", option="split_file")
    if chosen is None:
        raise InputError(f"{folder}: expected {NC_EDGES} or one of {', '.join(LP_SPLITS)}, found none of them")
    return folder / chosen


def _node_ids(folder: Path, num_nodes: int | None, ids: str) -> tuple[NodeIds, list[str]]:
    if ids not in IDS:
        raise unknown_choice("source of ids", ids, IDS)
    path = folder / MAPPING
    if ids == "mapping" and path.is_file():
        return read_ids(path, num_nodes), []
    if num_nodes is None:
        raise InputError(
            f"{folder}: expected *{FEATURES} or {MAPPING}; without them nobody knows how many nodes there are"
        )
    why = f"{MAPPING} was not read" if path.is_file() else f"there is no {MAPPING}"
    return NodeIds(np.arange(num_nodes), where=f"{folder}, rows"), [f"{why}: ids are the numbers of rows"]
