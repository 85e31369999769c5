"""Graphs as `HeteroData` of PyTorch Geometric, and back without loss."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError

SCHEMA = "mmgraph"
RESERVED = ("edge_index", "num_nodes", "num_edges", "node_id", "node_index", SCHEMA)
"""Keys of stores that mean something else."""


def to_hetero_pyg(graph: MultimodalGraph) -> Any:
    """Turn a graph into a `torch_geometric.data.HeteroData`.

    Per node type it holds `num_nodes`, `node_id` (list of ids), `node_index` `[num_nodes_of_type]` (position in the
    graph), and for each modality that some node of the type has `x_<modality>` `[num_nodes_of_type, dim]` and
    `has_<modality>` `[num_nodes_of_type]`. Per relation it holds `edge_index` `[2, num_edges]` with positions within the
    types, in the stored direction (edges of symmetric relations once; `torch_geometric.transforms.ToUndirected` adds the
    other direction), and the attributes. Names that PyG warns of or uses itself are spelled differently: every character
    other than an ASCII letter, digit or underscore as its code between underscores ("a b" becomes "a_20_b").

    The dictionary `mmgraph` keeps the rest: names as they were, symmetry, reverses, means and columns. With it
    `from_pyg` gives an equal graph back.
    """
    from torch_geometric.data import HeteroData

    kinds = plain_names(graph.node_types)
    relations = plain_names(graph.relations)
    modalities = plain_names(graph.features)
    local = torch.empty(graph.num_nodes, dtype=torch.int64, device=graph.device)
    data = HeteroData()
    for code, kind in enumerate(graph.node_types):
        index = torch.nonzero(graph.node_type == code).flatten()
        local[index] = torch.arange(index.numel(), device=graph.device)
        store = data.get_node_store(kinds[kind])
        store["num_nodes"] = index.numel()
        store["node_id"] = graph.node_ids.values[index.numpy(force=True)].tolist()
        store["node_index"] = index
        for modality, features in graph.features.items():
            if bool(features.present[index].any()):
                store[f"x_{modalities[modality]}"] = features.rows(index)
                store[f"has_{modalities[modality]}"] = features.present[index]
    entries: dict[str, dict[str, Any]] = {}
    for name, relation in graph.relations.items():
        attributes = plain_names(relation.attributes)
        key = (kinds[relation.source_type], relations[name], kinds[relation.target_type])
        store = data.get_edge_store(*key)
        store["edge_index"] = local[relation.edge_index]
        for attribute, values in relation.attributes.items():
            store[attributes[attribute]] = values
        entries[name] = {
            "key": list(key),
            "source_type": relation.source_type,
            "target_type": relation.target_type,
            "symmetric": relation.symmetric,
            "reverse": relation.reverse,
            "attributes": attributes,
        }
    data[SCHEMA] = {
        "name": graph.name,
        "node_types": kinds,
        "relations": entries,
        "features": {
            name: {"key": modalities[name], "encoder": f.spec.encoder, "dtype": f.dtype, "mean": f.mean}
            for name, f in graph.features.items()
        },
        "columns": graph.columns,
    }
    return data


def restore_hetero(data: Any, name: str | None) -> MultimodalGraph:
    """Turn what `to_hetero_pyg` made into an equal graph.

    Raises:
        InputError: If nodes were removed or added since.
    """
    schema = data[SCHEMA]
    stores = {kind: data.get_node_store(key) for kind, key in schema["node_types"].items()}
    places = [store["node_index"] for store in stores.values()]
    position = torch.cat(places)
    total = position.numel()
    for kind, store in stores.items():
        if not len(store["node_id"]) == store["node_index"].numel() == store["num_nodes"]:
            raise _changed(kind, store["num_nodes"], store["node_index"].numel(), len(store["node_id"]))
    if not torch.equal(position.sort().values, torch.arange(total, device=position.device)):
        raise InputError(
            "a HeteroData of to_hetero_pyg must hold all nodes of the graph, got node_index that is not 0.."
            f"{total - 1} over all types; remove the entry {SCHEMA!r} to read it as any other HeteroData"
        )
    ids: list[Any] = [None] * total
    for store in stores.values():
        for place, node in zip(store["node_index"].tolist(), store["node_id"], strict=True):
            ids[place] = node
    node_type = torch.empty_like(position)
    for code, place in enumerate(places):
        node_type[place] = code
    return MultimodalGraph(
        name=name or schema["name"],
        node_ids=NodeIds(ids),
        node_types=tuple(stores),
        node_type=node_type,
        relations={key: _relation(data, stores, entry) for key, entry in schema["relations"].items()},
        features={key: _features(stores, total, key, entry) for key, entry in schema["features"].items()},
        columns=schema["columns"],
    )


def _changed(kind: str, *found: int) -> InputError:
    nodes, places, ids = found
    return InputError(
        f"a HeteroData of to_hetero_pyg, node type {kind!r}: expected one node_index and one node_id for each node, "
        f"got {nodes} nodes, {places} node_index and {ids} node_id"
    )


def _relation(data: Any, stores: Mapping[str, Any], entry: Mapping[str, Any]) -> Relation:
    store = data.get_edge_store(*entry["key"])
    source, target = store["edge_index"]
    ends = [
        stores[entry["source_type"]]["node_index"][source],
        stores[entry["target_type"]]["node_index"][target],
    ]
    return Relation(
        edge_index=torch.stack(ends),
        source_type=entry["source_type"],
        target_type=entry["target_type"],
        symmetric=entry["symmetric"],
        reverse=entry["reverse"],
        attributes={name: store[key] for name, key in entry["attributes"].items()},
    )


def _features(stores: Mapping[str, Any], total: int, modality: str, entry: Mapping[str, Any]) -> ModalityFeatures:
    mean: Tensor = entry["mean"]
    values = torch.zeros(total, mean.numel(), dtype=entry["dtype"], device=mean.device)
    present = torch.zeros(total, dtype=torch.bool, device=mean.device)
    for store in stores.values():
        if f"x_{entry['key']}" in store:
            values[store["node_index"]] = store[f"x_{entry['key']}"]
            present[store["node_index"]] = store[f"has_{entry['key']}"]
    return ModalityFeatures(FeatureSpec(modality, entry["encoder"], mean.numel()), values, present, mean)


def plain_names(names: Iterable[str], reserved: Collection[str] = RESERVED) -> dict[str, str]:
    """Names that PyG can hold, by name: distinct, of ASCII letters, digits and underscores, none of them reserved."""
    result: dict[str, str] = {}
    taken = set(reserved)
    # Names that may stay as they are come first, so that no other takes theirs.
    for name in sorted(names, key=lambda name: (_plain(name) != name, name)):
        plain = _plain(name)
        while plain in taken:
            plain += "_"
        taken.add(plain)
        result[name] = plain
    return {name: result[name] for name in names}


def _plain(name: str) -> str:
    plain = re.sub(r"[^0-9A-Za-z_]", lambda match: f"_{ord(match.group()):x}_", name)
    return plain if plain[:1].isalpha() else f"t{plain}"  # stores hide keys that start with an underscore
