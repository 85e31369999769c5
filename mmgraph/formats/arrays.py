"""Graphs from plain arrays by node type and relation: the common ground of PyG and OGB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, unknown_choice

EdgeType = tuple[str, str, str]
"""Source type, relation, target type."""


@dataclass(frozen=True, eq=False)
class NodeArrays:
    """The nodes of one type.

    Attributes:
        num_nodes: How many there are.
        values: `[num_nodes, dim]`: their features, if any.
        ids: External ids; by default numbers, and `type:number` where a graph has several types.
    """

    num_nodes: int
    values: Any = None
    ids: Iterable[Any] | None = None


@dataclass(frozen=True, eq=False)
class EdgeArrays:
    """The edges of one relation.

    Attributes:
        edge_index: `[2, num_edges]`: positions among the nodes of the source type and of the target type.
        attributes: Tensors `[num_edges]` or `[num_edges, width]`.
    """

    edge_index: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)


def graph_from_arrays(
    name: str,
    nodes: Mapping[str, NodeArrays],
    edges: Mapping[EdgeType, EdgeArrays],
    *,
    specs: Mapping[str, FeatureSpec] | None = None,
    symmetric: bool | None = None,
    columns: pa.Table | None = None,
) -> MultimodalGraph:
    """Build a graph with one index space from arrays with one index space per node type.

    Args:
        name: Name of the graph.
        nodes: Nodes by type, in the order that they get.
        edges: Edges by type.
        specs: Feature space of each node type that has features. By default the encoder is the name of the graph,
            so that graphs which happen to have the same width do not share a projection.
        symmetric: Whether relations between nodes of one type read the same both ways, so that each pair is stored
            once. By default those do that hold every edge in both directions.
        columns: Table with one row per node.

    Raises:
        InputError: On wrong shapes, or edges of an unknown type.
    """
    start = dict(zip(nodes, np.cumsum([0, *(n.num_nodes for n in nodes.values())]).tolist(), strict=False))
    total = sum(n.num_nodes for n in nodes.values())
    ids: list[Any] = []
    for kind, entry in nodes.items():
        default = range(entry.num_nodes) if len(nodes) == 1 else (f"{kind}:{i}" for i in range(entry.num_nodes))
        ids += list(entry.ids if entry.ids is not None else default)
    counts = torch.tensor([n.num_nodes for n in nodes.values()], dtype=torch.int64)
    return MultimodalGraph(
        name=name,
        node_ids=NodeIds(ids, where=f"graph {name!r}, node ids"),
        node_types=tuple(nodes),
        node_type=torch.arange(len(nodes)).repeat_interleave(counts),
        relations=_relations(name, nodes, edges, start, symmetric),
        features=_features(name, nodes, start, total, specs or {}),
        columns=columns,
    )


def _relations(
    name: str,
    nodes: Mapping[str, NodeArrays],
    edges: Mapping[EdgeType, EdgeArrays],
    start: Mapping[str, int],
    symmetric: bool | None,
) -> dict[str, Relation]:
    names = [relation for _, relation, _ in edges]
    relations = {}
    for (source, relation, target), entry in edges.items():
        for kind in (source, target):
            if kind not in nodes:
                raise InputError(f"graph {name!r}, relation {relation!r}: {unknown_choice('node type', kind, nodes)}")
        key = relation if names.count(relation) == 1 else f"{source}__{relation}__{target}"
        where = f"graph {name!r}, relation {key!r}"
        local = edge_positions(where, entry.edge_index)
        for row, side, kind in ((0, "source", source), (1, "target", target)):  # here, while positions are local
            if local.numel() and not 0 <= int(local[row].min()) <= int(local[row].max()) < nodes[kind].num_nodes:
                raise InputError(
                    f"{where}: {side} positions must lie in 0..{nodes[kind].num_nodes - 1}, "
                    f"got {int(local[row].min())}..{int(local[row].max())}"
                )
        built = Relation(
            edge_index=local + torch.tensor([[start[source]], [start[target]]]),
            source_type=source,
            target_type=target,
            attributes={k: torch.as_tensor(v).cpu() for k, v in entry.attributes.items()},
        )
        relations[key] = fold_symmetric(built, symmetric) if source == target else built
    return relations


def edge_positions(where: str, edge_index: Any) -> Tensor:
    """Positions of sources and targets, `[2, num_edges]`, int64, on the CPU.

    Args:
        where: What to call it in errors.
        edge_index: Tensor or array; floats are taken if they are whole.

    Raises:
        InputError: If it has another shape, or numbers that are not whole.
    """
    given = torch.as_tensor(edge_index).cpu()
    if given.dim() != 2 or given.size(0) != 2:
        raise InputError(f"{where}: edge_index must have shape [2, num_edges], got {list(given.shape)}")
    if given.dtype == torch.bool or given.is_complex():
        raise InputError(f"{where}: edge_index must hold whole numbers, got {given.dtype}")
    if given.is_floating_point():
        broken = given[~(torch.isfinite(given) & (given == given.round()))]
        if broken.numel():
            raise InputError(f"{where}: edge_index must hold whole numbers, got {float(broken[0]):g}")
    return given.to(torch.int64)


def fold_symmetric(relation: Relation, symmetric: bool | None = None) -> Relation:
    """Store each pair of a symmetric relation once, from the lower to the higher position.

    Edges between the same two nodes that differ in an attribute are different edges: each is kept.

    Args:
        relation: Edges between nodes of one type.
        symmetric: True folds whatever there is, False returns the relation as it is, `None` folds it if it holds
            every edge in both directions with equal attributes.
    """
    ends = relation.edge_index.numpy()
    if symmetric is False or (symmetric is None and not _both_ways(relation)):
        return relation
    low, high = np.sort(ends, axis=0)
    rows = [*_attribute_columns(relation), low * (int(high.max(initial=0)) + 1) + high]
    order = np.lexsort(rows)
    new = np.ones(len(order), dtype=bool)
    if len(order):
        new[1:] = np.logical_or.reduce([differs(row[order[1:]], row[order[:-1]]) for row in rows])
    first = order[new]
    folded = relation.take(torch.from_numpy(first))
    return Relation(
        edge_index=torch.from_numpy(np.stack([low, high])[:, first]),
        source_type=relation.source_type,
        target_type=relation.target_type,
        symmetric=True,
        attributes=folded.attributes,
    )


def _attribute_columns(relation: Relation) -> list[np.ndarray]:
    """Every column of every attribute, each `[num_edges]`."""
    values = [v.numpy() for v in relation.attributes.values()]
    return [column for v in values for column in (v[:, None] if v.ndim == 1 else v).T]


def differs(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Where values differ; NaN is the same as NaN, or an edge with an unknown attribute would never fold."""
    return np.asarray((left != right) & ((left == left) | (right == right)))


def _both_ways(relation: Relation) -> bool:
    source, target = relation.edge_index.numpy()
    values = _attribute_columns(relation)
    forwards = np.lexsort([*values, target, source])
    backwards = np.lexsort([*values, source, target])
    pairs = [(source, target), (target, source), *((row, row) for row in values)]
    return len(source) > 0 and not any(differs(a[forwards], b[backwards]).any() for a, b in pairs)


def _features(
    name: str, nodes: Mapping[str, NodeArrays], start: Mapping[str, int], total: int, specs: Mapping[str, FeatureSpec]
) -> dict[str, ModalityFeatures]:
    parts: dict[FeatureSpec, list[tuple[int, Tensor]]] = {}
    for kind, entry in nodes.items():
        if entry.values is None:
            continue
        values = torch.as_tensor(entry.values).cpu()
        values = values.to_dense() if values.layout != torch.strided else values
        values = values if values.is_floating_point() else values.float()
        if values.dim() != 2 or values.size(0) != entry.num_nodes:
            raise InputError(
                f"graph {name!r}, features of {kind!r} must have shape [{entry.num_nodes}, dim], "
                f"got {list(values.shape)}"
            )
        modality = "features" if len(nodes) == 1 else f"{kind}_features"
        spec = specs.get(kind, FeatureSpec(modality, name, values.size(1)))
        if spec.dim != values.size(1):
            raise InputError(f"graph {name!r}, features of {kind!r}: expected {spec.dim} columns, got {values.size(1)}")
        parts.setdefault(spec, []).append((start[kind], values))
    features = {}
    for spec, blocks in parts.items():
        values = torch.zeros(total, spec.dim, dtype=blocks[0][1].dtype)
        present = torch.zeros(total, dtype=torch.bool)
        for first, block in blocks:
            values[first : first + len(block)] = block
            present[first : first + len(block)] = True
        features[spec.modality] = ModalityFeatures(spec, values, present)
    return features
