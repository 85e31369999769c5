"""Graphs to and from PyTorch Geometric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.files import content_digest
from mmgraph.formats.arrays import EdgeArrays, EdgeType, NodeArrays, edge_positions, graph_from_arrays
from mmgraph.formats.pyg.hetero import SCHEMA, restore_hetero


def to_pyg(graph: MultimodalGraph) -> Any:
    """Turn a graph into a `torch_geometric.data.Data`.

    It holds `edge_index` `[2, num_edges]` (all relations one after the other, in the stored direction), `edge_type`
    `[num_edges]` (number of the relation), `node_type` `[num_nodes]`, and per modality `x_<modality>`
    `[num_nodes, dim]` with `has_<modality>` `[num_nodes]`. `node_id` is the list of ids. The dictionary `mmgraph` keeps
    the rest: names, means, attributes of edges and columns; `from_pyg` needs it to give an equal graph back. Its rows
    stay in this order whatever PyG does with the object, so that `from_pyg` refuses an object whose edges or nodes were
    changed since.
    """
    from torch_geometric.data import Data

    relations = list(graph.relations.values())
    sizes = torch.tensor([relation.num_edges for relation in relations], dtype=torch.int64)
    empty = torch.empty(2, 0, dtype=torch.int64, device=graph.device)
    data = Data(
        edge_index=torch.cat([relation.edge_index for relation in relations], dim=1) if relations else empty,
        edge_type=torch.arange(len(relations)).repeat_interleave(sizes).to(graph.device),
        node_type=graph.node_type,
        num_nodes=graph.num_nodes,
        node_id=graph.node_ids.values.tolist(),
    )
    for modality, features in graph.features.items():
        data[f"x_{modality}"], data[f"has_{modality}"] = features.rows(), features.present
    data[SCHEMA] = {
        "name": graph.name,
        "node_types": list(graph.node_types),
        "relations": {
            name: {
                "source_type": relation.source_type,
                "target_type": relation.target_type,
                "symmetric": relation.symmetric,
                "reverse": relation.reverse,
                "attributes": dict(relation.attributes),
            }
            for name, relation in graph.relations.items()
        },
        "features": {name: {"encoder": f.spec.encoder, "mean": f.mean} for name, f in graph.features.items()},
        "columns": graph.columns,
        "digests": _digests(data),
    }
    return data


def from_pyg(
    data: Any,
    *,
    name: str | None = None,
    specs: Mapping[str, FeatureSpec] | None = None,
    symmetric: bool | None = None,
) -> MultimodalGraph:
    """Turn a `Data` or `HeteroData` into a graph.

    Of objects that neither `to_pyg` nor `to_hetero_pyg` made, `x`, `edge_index`, `edge_type`, `edge_attr`, `edge_weight` and `node_id` are
    read. Labels and masks are left behind: a graph holds no labels and no splits.

    Args:
        data: `torch_geometric.data.Data` or `HeteroData`.
        name: Name of the graph; needed unless one of both made the object.
        specs: Feature space by node type ("node" in a `Data`), see `graph_from_arrays`.
        symmetric: See `graph_from_arrays`.

    Raises:
        InputError: If the object is none of both, lacks a name, its arrays do not fit together, or `to_pyg` made it
            and its edges or nodes were changed since.
    """
    from torch_geometric.data import Data, HeteroData

    if not isinstance(data, Data | HeteroData):
        raise InputError(f"expected a torch_geometric Data or HeteroData, got {type(data).__name__}")
    if SCHEMA in data:
        return restore_hetero(data, name) if isinstance(data, HeteroData) else _restore(data, data[SCHEMA], name)
    if name is None:
        raise InputError("from_pyg needs a name for the graph: from_pyg(data, name=...)")
    if isinstance(data, HeteroData):
        nodes = {kind: _node_arrays(data[kind]) for kind in data.node_types}
        edges: dict[EdgeType, EdgeArrays] = {kind: _edge_arrays(data[kind]) for kind in data.edge_types}
    else:
        nodes, edges = {"node": _node_arrays(data)}, _typed_edges(data)
    return graph_from_arrays(name, nodes, edges, specs=specs, symmetric=symmetric)


def _node_arrays(store: Any) -> NodeArrays:
    if store.num_nodes is None:
        raise InputError("a PyG object has nodes without features and without num_nodes; set num_nodes")
    return NodeArrays(store.num_nodes, store.get("x"), store.get("node_id"))


def _edge_arrays(store: Any, mask: Tensor | None = None) -> EdgeArrays:
    chosen = slice(None) if mask is None else mask
    attributes = {key: store[key][chosen] for key in ("edge_attr", "edge_weight") if isinstance(store.get(key), Tensor)}
    if store.get("edge_index") is None:
        raise InputError("a PyG object has no edge_index; sparse adjacency matrices are not read")
    edge_index = torch.as_tensor(store["edge_index"])
    if edge_index.dim() != 2:
        raise InputError(f"a PyG object: edge_index must have shape [2, num_edges], got {list(edge_index.shape)}")
    return EdgeArrays(edge_index[:, chosen], attributes)


def _typed_edges(data: Any) -> dict[EdgeType, EdgeArrays]:
    """Split the edges of a `Data` by `edge_type`, where it has one."""
    kinds = data.get("edge_type")
    if not isinstance(kinds, Tensor):
        return {("node", "edge", "node"): _edge_arrays(data)}
    edge_index = edge_positions("a PyG object", data["edge_index"]) if data.get("edge_index") is not None else None
    if edge_index is not None and list(kinds.shape) != [edge_index.size(1)]:
        raise InputError(
            f"a PyG object: edge_type must have shape [{edge_index.size(1)}], one number for each edge, "
            f"got {list(kinds.shape)}"
        )
    return {("node", f"edge_{k}", "node"): _edge_arrays(data, kinds == k) for k in torch.unique(kinds).tolist()}


def _digests(data: Any) -> dict[str, str]:
    """Digests of the edges and of the nodes, each in the order in which the object holds them."""
    tensors = [data.get(key) for key in ("edge_index", "edge_type")]
    parts: list[bytes | str] = []
    for tensor in tensors:
        known = isinstance(tensor, Tensor)
        parts += [f"{tensor.dtype} {list(tensor.shape)}", tensor.numpy(force=True).tobytes()] if known else ["none"]
    return {"edges": content_digest(*parts), "nodes": content_digest(repr(list(data.get("node_id") or ())))}


def _check_unchanged(data: Any, expected: Mapping[str, str]) -> None:
    found = _digests(data)
    changed = [part for part in found if found[part] != expected.get(part)]
    if not changed:
        return
    edges = "use to_hetero_pyg, whose attributes travel with sorted edges, or " if changed == ["edges"] else ""
    # coalesce of PyG moves edge_attr alone: edge_type and attributes under their own names stay where they were.
    limit = "; after coalesce neither is right, because it leaves edge_type and attributes behind" if edges else ""
    raise InputError(
        f"the PyG object was changed since to_pyg made it ({' and '.join(changed)}), and the attributes of edges and "
        f"columns in its entry {SCHEMA!r} keep the old order; {edges}read it without that entry, and so without "
        f"attributes, columns and x_<modality>: del data[{SCHEMA!r}]{limit}"
    )


def _restore(data: Any, schema: Mapping[str, Any], name: str | None) -> MultimodalGraph:
    _check_unchanged(data, schema.get("digests", {}))
    relations = {}
    for number, (relation, entry) in enumerate(schema["relations"].items()):
        relations[relation] = Relation(edge_index=data["edge_index"][:, data["edge_type"] == number], **entry)
    features = {}
    for modality, entry in schema["features"].items():
        values = data[f"x_{modality}"]
        spec = FeatureSpec(modality, entry["encoder"], values.size(1))
        features[modality] = ModalityFeatures(spec, values, data[f"has_{modality}"], entry["mean"])
    return MultimodalGraph(
        name=name or schema["name"],
        node_ids=NodeIds(data["node_id"]),
        node_types=tuple(schema["node_types"]),
        node_type=data["node_type"],
        relations=relations,
        features=features,
        columns=schema["columns"],
    )
