"""Writing folders of the MM-Graph benchmark."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import unknown_choice
from mmgraph.files import atomic_folder
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.limits import Limits
from mmgraph.formats.mm_graph.contents import FEATURES, LABELS, LP_SPLITS, MAPPING, NC_EDGES, NC_SPLIT
from mmgraph.formats.mm_graph.features import MODALITIES
from mmgraph.formats.mm_graph.splits import NEGATIVES, NODE_KEYS
from mmgraph.formats.zero_rows import with_zero_rows
from mmgraph.splits.base import TEST, TRAIN, VALID, Split
from mmgraph.splits.edge_rows import pair_keys


def write_mm_graph(
    bundle: Bundle,
    folder: Path | str,
    *,
    split: str | None = None,
    features: str | None = None,
    widths: tuple[int, int] | None = None,
    split_file: str | None = None,
    without: Collection[str] = (),
    overwrite: bool = False,
) -> None:
    """Write a folder of MM-Graph, whole or not at all; see `read_mm_graph` for the files.

    A split of nodes gives a folder for node classification, one of edges a folder for link prediction whose training
    edges are those of the split. Names of graph, node type and relation are not in the format; give them again when
    reading. Nodes that lack a modality get rows of zeros, nodes without a label the label -1. The mean of features is
    not written: it is computed anew.

    Args:
        bundle: A graph with one node type, one symmetric relation, text and image, and its splits.
        folder: The folder to create.
        split: Name of the split, if there are several.
        features: Name of the feature file without `_feat.pt`, by default the encoder.
        widths: Columns of text and of image; must be given if they differ, and again when reading.
        split_file: Name of the file of an edge split; by default the one that it was read from, or `lp-edge-split.pt`.
        without: What may be lost: `columns` of nodes, `attributes` of edges, other `modalities`, further
            `split_columns`, `unused` edges.
        overwrite: Replace an existing folder.

    Raises:
        InputError: If the format cannot hold something, or the folder exists.
    """
    limits = Limits("MM-Graph", without)
    graph = limits.graph(bundle)
    if len(graph.node_types) != 1:
        raise limits.refuse(graph.name, f"expected one node type, got {len(graph.node_types)}")
    chosen = limits.split(bundle, ("node", "edge"), split)
    limits.rows(graph.name, chosen, ("label", "negatives"), unused=chosen.kind == "node")
    name, relation = limits.relation(graph)
    if not relation.symmetric:
        raise limits.refuse(graph.name, f"relation {name!r} has a direction, which readers of the format ignore")
    files: dict[str, Any] = {MAPPING: {item: row for row, item in enumerate(graph.node_ids.values.tolist())}}
    if held := limits.modalities(graph, MODALITIES):
        encoder, matrix = _features(limits, graph, held, features, widths)
        files[f"{encoder}{FEATURES}"] = matrix
    if chosen.kind == "node":
        files |= {NC_EDGES: relation.edge_index.cpu().T.contiguous(), **_node_split(limits, graph, chosen)}
    else:
        split_file = split_file or str(chosen.settings.get("file", LP_SPLITS[0]))
        if split_file not in LP_SPLITS:
            raise unknown_choice("file of an edge split", split_file, LP_SPLITS)
        files[split_file] = _edge_split(limits, graph, chosen, name, relation)
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        for file, content in files.items():
            torch.save(content, temporary / file)


def _features(
    limits: Limits,
    graph: MultimodalGraph,
    held: Mapping[str, ModalityFeatures],
    name: str | None,
    widths: tuple[int, int] | None,
) -> tuple[str, Tensor]:
    parts = [held[modality] for modality in MODALITIES if modality in held]
    found = tuple(held[m].spec.dim if m in held else 0 for m in MODALITIES)
    if widths is None and found[0] != found[1]:
        raise limits.refuse(
            graph.name,
            f"text and image have {found[0]} and {found[1]} columns, but readers halve the matrix; pass "
            f"widths={found} here and when reading",
        )
    if widths is not None and tuple(widths) != found:
        raise limits.refuse(graph.name, f"expected widths={found}, got {tuple(widths)}")
    encoders, kinds = {part.spec.encoder for part in parts}, {part.dtype for part in parts}
    if name is None and len(encoders) > 1:
        raise limits.refuse(graph.name, f"its encoders are {sorted(encoders)}; name the file with features=...")
    name = limits.file_name(graph.name, encoders.pop() if name is None else name, "features")
    if len(kinds) > 1:
        raise limits.refuse(graph.name, f"text and image must have one dtype, got {sorted(map(str, kinds))}")
    return name, torch.cat([with_zero_rows(f"graph {graph.name!r}", part, graph.node_ids) for part in parts], dim=1)


def _node_split(limits: Limits, graph: MultimodalGraph, split: Split) -> dict[str, Any]:
    table = split.table
    if "label" not in table.column_names:
        raise limits.refuse(graph.name, f"the {split.where} has no column 'label'")
    if not pa.types.is_integer(table["label"].type):
        raise limits.refuse(graph.name, f"labels must be whole numbers, got {table['label'].type}; number them first")
    values = table["label"].cast(pa.int64())
    if pc.min(values).as_py() is not None and pc.min(values).as_py() < 0:
        raise limits.refuse(graph.name, f"labels must not be negative, got {pc.min(values).as_py()}")
    rows = graph.node_ids.positions(table["id"], where=split.where)
    labels = np.full(graph.num_nodes, -1, dtype=np.int64)
    labels[rows] = values.fill_null(-1).to_numpy()
    parts = np.asarray(table["split"].to_numpy(zero_copy_only=False), dtype=object)
    indices = {key: torch.from_numpy(np.sort(rows[parts == part])) for part, key in NODE_KEYS.items()}
    return {LABELS: torch.from_numpy(labels), NC_SPLIT: indices}


def _edge_split(limits: Limits, graph: MultimodalGraph, split: Split, name: str, relation: Relation) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for part in (TRAIN, VALID, TEST):
        table = split.part(part)
        others = sorted(set(table["relation"].unique().to_pylist()) - {name})
        if others:
            raise limits.refuse(
                graph.name, f"the {split.where} holds out edges of {others[0]!r}, the graph has {name!r}"
            )
        source, target = (
            torch.from_numpy(graph.node_ids.positions(table[side], where=f"{split.where}, column {side!r}"))
            for side in ("source", "target")
        )
        content[part] = {"source_node": source, "target_node": target}
        if "negatives" in table.column_names and table.num_rows and part != TRAIN:
            content[part][NEGATIVES] = _negatives(limits, graph, split, table["negatives"])
    if "negatives" in split.table.column_names and split.part(TRAIN)["negatives"].null_count != split.counts[TRAIN]:
        raise limits.refuse(graph.name, "negatives of training edges have no place in it")
    train = content[TRAIN]
    listed = pair_keys(train["source_node"].numpy(), train["target_node"].numpy(), graph.num_nodes)
    ends = relation.edge_index.numpy(force=True)
    extra = ~np.isin(pair_keys(ends[0], ends[1], graph.num_nodes), listed)
    if extra.any():
        raise limits.refuse(
            graph.name,
            f"{int(extra.sum()):,} of its edges are no training edges of the {split.where}; the format has no others",
        )
    return content


def _negatives(limits: Limits, graph: MultimodalGraph, split: Split, column: pa.ChunkedArray) -> Tensor:
    lengths = pc.unique(pc.fill_null(pc.list_value_length(column), 0)).to_pylist()
    if len(lengths) != 1 or lengths[0] == 0:
        raise limits.refuse(graph.name, f"edges of a part need equally many negatives, got {sorted(lengths)}")
    flat = pc.list_flatten(column)
    found = graph.node_ids.positions(flat, where=f"{split.where}, column 'negatives'")
    return torch.from_numpy(found.reshape(-1, lengths[0]))
