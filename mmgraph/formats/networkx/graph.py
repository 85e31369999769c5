"""Graphs to and from NetworkX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph, encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few
from mmgraph.formats.tables.relations import EdgeRows, build_relations

SCHEMA = "mmgraph"


def to_networkx(graph: MultimodalGraph) -> Any:
    """Turn a graph into a `networkx.MultiDiGraph` whose nodes are the external ids.

    A node has the attributes `node_type`, its columns, and `x_<modality>` (a numpy array) where the modality is
    present. An edge has the attributes `relation` and those of the relation; symmetric edges are there once. The graph
    attribute `mmgraph` keeps the rest, so that `from_networkx` gives an equal graph back; only the order of edges is
    lost.

    Raises:
        InputError: If a column or an edge attribute has the name of another attribute.
    """
    import networkx

    columns = graph.columns if graph.columns is not None else pa.table({})
    taken = {"node_type", *(f"x_{modality}" for modality in graph.features)}
    attributes = {key for relation in graph.relations.values() for key in relation.attributes}
    clash = sorted((taken & set(columns.column_names)) | ({"relation"} & attributes))
    if clash:
        raise InputError(f"graph {graph.name!r}: NetworkX attributes of the same name: {first_few(clash)}")
    result = networkx.MultiDiGraph(name=graph.name)
    result.graph[SCHEMA] = {
        "node_types": list(graph.node_types),
        "columns": None if graph.columns is None else graph.columns.schema,
        "relations": {
            name: relation.take(torch.empty(0, dtype=torch.int64)) for name, relation in graph.relations.items()
        },
        "features": {name: (f.spec, f.dtype, f.mean) for name, f in graph.features.items()},
    }
    ids, kinds = graph.node_ids.values.tolist(), graph.node_type.tolist()
    rows = columns.to_pylist() if columns.num_columns else [{} for _ in ids]
    for node, kind, row in zip(ids, kinds, rows, strict=True):
        result.add_node(node, node_type=graph.node_types[kind], **row)
    for modality, features in graph.features.items():
        values = features.rows().float().numpy(force=True)
        for i in torch.nonzero(features.present).flatten().tolist():
            result.nodes[ids[i]][f"x_{modality}"] = values[i]
    for name, relation in graph.relations.items():
        lists = [values.tolist() for values in relation.attributes.values()]
        for source, target, *items in zip(*relation.edge_index.tolist(), *lists, strict=True):
            result.add_edge(
                ids[source], ids[target], relation=name, **dict(zip(relation.attributes, items, strict=True))
            )
    return result


def from_networkx(
    graph: Any, *, name: str | None = None, specs: Mapping[str, FeatureSpec] | None = None
) -> MultimodalGraph:
    """Turn any NetworkX graph into a graph.

    Nodes keep their order; their attribute `node_type` (else "node") gives the type, the attributes in `specs` the
    features, all others become columns. The attribute `relation` of an edge (else "edge") gives the relation, its
    numeric attributes become attributes of the relation. Undirected graphs give symmetric relations.

    Args:
        graph: Any graph class of NetworkX; all nodes are strings, or all are integers.
        name: Name of the graph; by default that of the NetworkX graph.
        specs: Feature space by node attribute.

    Raises:
        InputError: On mixed ids, features of a wrong width, or attributes that fit no column.
    """
    schema = graph.graph.get(SCHEMA, {})
    name = name or graph.graph.get("name") or ""
    if not name:
        raise InputError("from_networkx needs a name for the graph: from_networkx(graph, name=...)")
    where = f"NetworkX graph {name!r}"
    if graph.number_of_nodes() == 0:
        raise InputError(f"{where}: expected at least one node, got none")
    node_ids = NodeIds(graph.nodes, where=f"{where}, nodes")
    rows = [dict(row) for _, row in graph.nodes(data=True)]
    types = [str(row.pop("node_type", "node")) for row in rows]
    node_types, node_type = encode_node_types(types)
    if set(node_types) <= set(schema.get("node_types", [])):
        node_types = tuple(schema["node_types"])
        node_type = torch.tensor([node_types.index(kind) for kind in types])

    wanted = {f"x_{modality}": entry for modality, entry in schema.get("features", {}).items()}
    wanted |= {key: (spec, torch.float32, None) for key, spec in (specs or {}).items()}
    features = {}
    for key, (spec, dtype, mean) in wanted.items():
        vectors = [row.pop(key, None) for row in rows]
        features[spec.modality] = _features(f"{where}, node attribute {key!r}", vectors, spec, dtype, mean)
    return MultimodalGraph(
        name=name,
        node_ids=node_ids,
        node_types=node_types,
        node_type=node_type,
        relations=_relations(graph, where, node_ids, node_types, node_type, schema.get("relations", {})),
        features=features,
        columns=_columns(where, rows, schema.get("columns")),
    )


def _features(
    where: str, vectors: list[Any], spec: FeatureSpec, dtype: torch.dtype, mean: torch.Tensor | None
) -> ModalityFeatures:
    values = np.zeros((len(vectors), spec.dim), dtype=np.float32 if dtype != torch.float64 else np.float64)
    for i, vector in enumerate(vectors):
        if vector is None:
            continue
        if np.shape(vector) != (spec.dim,):
            raise InputError(f"{where}: expected [{spec.dim}], got {list(np.shape(vector))} (node {i})")
        values[i] = vector
    present = torch.tensor([vector is not None for vector in vectors])
    tensor = torch.from_numpy(values).to(dtype)
    return ModalityFeatures(spec, tensor, present) if mean is None else ModalityFeatures(spec, tensor, present, mean)


def _columns(where: str, rows: list[dict[str, Any]], schema: pa.Schema | None) -> pa.Table | None:
    if schema is not None:
        return pa.Table.from_pylist(rows, schema=schema)
    names = list(dict.fromkeys(key for row in rows for key in row))
    columns = {}
    for name in names:
        try:
            columns[str(name)] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise InputError(
                f"{where}, node attribute {name!r}: fits no column: {' '.join(str(error).split())}"
            ) from None
    return pa.table(columns) if columns else None


def _is_vector(value: Any) -> bool:
    """Whether a value is a list of numbers."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        return False
    return all(isinstance(item, (int, float, np.number)) for item in value)


def _relations(
    graph: Any,
    where: str,
    node_ids: NodeIds,
    node_types: tuple[str, ...],
    node_type: torch.Tensor,
    known: Mapping[str, Relation],
) -> dict[str, Relation]:
    edges = list(graph.edges(data=True))
    names = [str(row.get("relation", "edge")) for _, _, row in edges]
    ends = np.stack([node_ids.positions([edge[side] for edge in edges]) for side in (0, 1)])
    if not graph.is_directed():  # the ends come in any order: sort them by type, so that a relation has one pair
        kinds = node_type.numpy()[ends]
        ends = np.where(kinds[0] > kinds[1], ends[::-1], ends)
    keys = list(dict.fromkeys(key for _, _, row in edges for key in row if key != "relation"))
    columns: dict[str, pa.Array] = {"relation": pa.array(names, pa.string())}
    for key in keys:
        values = [row.get(key) for _, _, row in edges]
        try:
            if all(v is None or isinstance(v, (bool, int, float, np.number)) for v in values):
                columns[str(key)] = pa.array(values)
            elif all(v is None or _is_vector(v) for v in values):
                width = max(len(v) for v in values if v is not None)
                columns[str(key)] = pa.array(
                    [None if v is None else list(v) for v in values], pa.list_(pa.float64(), width)
                )
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            detail = " ".join(str(error).split())
            raise InputError(f"{where}, edge attribute {key!r}: fits no column of numbers: {detail}") from None
    symmetric = {name for name, relation in known.items() if relation.symmetric} if graph.is_directed() else set(names)
    rows = EdgeRows.from_table(where, pa.table(columns), ends)
    built = build_relations([rows], node_types, node_type, symmetric=symmetric)
    for name, model in known.items():
        relation = built.pop(name, None)
        attributes = (
            {}
            if relation is None
            else {
                k: v.to(model.attributes[k].dtype) if k in model.attributes else v
                for k, v in relation.attributes.items()
            }
        )
        built[name] = model if relation is None else replace(relation, attributes=attributes, reverse=model.reverse)
    return built
