"""The graph that everything works on: ids, typed nodes, typed edges, features by modality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.notebook import counts_html

CHECKED_AT_ONCE = 2**20
"""Edges that `check_relations` looks at in one go."""


@dataclass(frozen=True, eq=False)
class MultimodalGraph:
    """A graph whose nodes carry features of any modalities. It holds no labels and no splits.

    All node types share one index space, `0 .. num_nodes - 1`.

    Attributes:
        name: Name of the graph; it also names its domain in pre-training.
        node_ids: External ids, unique strings or integers.
        node_types: Names of the node types.
        node_type: `[num_nodes]`, int64: index into `node_types`.
        relations: Edges by relation name.
        features: Features by modality; a node may lack any or all of them.
        columns: Optional table with one row per node: what people want to see beside a result (names, paths).
    """

    name: str
    node_ids: NodeIds
    node_types: tuple[str, ...]
    node_type: Tensor
    relations: Mapping[str, Relation] = field(default_factory=dict)
    features: Mapping[str, ModalityFeatures] = field(default_factory=dict)
    columns: pa.Table | None = None

    def __post_init__(self) -> None:
        where = f"graph {self.name!r}"
        if self.num_nodes == 0:
            raise InputError(f"{where}: expected at least one node, got none")
        check_nodes(where, self.num_nodes, self.node_types, self.node_type)
        check_relations(where, self.node_types, self.node_type, self.relations)
        for modality, features in self.features.items():
            if modality != features.spec.modality:
                raise InputError(f"{where}: features under {modality!r} are of modality {features.spec.modality!r}")
            if features.num_nodes != self.num_nodes:
                raise InputError(
                    f"{where}: {modality} features must have {self.num_nodes} rows, got {features.num_nodes}"
                )
            features.check_finite(where)
        if self.columns is not None and self.columns.num_rows != self.num_nodes:
            raise InputError(f"{where}: columns must have {self.num_nodes} rows, got {self.columns.num_rows}")

    @property
    def num_nodes(self) -> int:
        """Number of nodes of all types."""
        return len(self.node_ids)

    @property
    def num_edges(self) -> int:
        """Number of stored edges of all relations; reverse directions are not counted."""
        return sum(relation.num_edges for relation in self.relations.values())

    @property
    def device(self) -> torch.device:
        """Device of the node types and, by construction, of everything else."""
        return self.node_type.device

    def message_edges(self, relations: Iterable[str] | None = None) -> tuple[Tensor, Tensor]:
        """Edges along which messages flow: every stored edge in both directions.

        Args:
            relations: Names of the relations to use, all by default.

        Returns:
            `edge_index` `[2, num_messages]` and `edge_type` `[num_messages]`; relation number `r` (in the order
            of `self.relations`) has type `2r` forwards and `2r + 1` backwards, a symmetric one `2r` both ways.
        """
        names = list(self.relations)
        chosen = names if relations is None else list(relations)
        edges, types = [], []
        for name in chosen:
            if name not in self.relations:
                raise unknown_choice("relation", name, names)
            relation, code = self.relations[name], 2 * names.index(name)
            edges += [relation.edge_index, relation.edge_index.flip(0)]
            size = (relation.num_edges,)
            types += [
                torch.full(size, code, device=self.device),
                torch.full(size, code if relation.symmetric else code + 1, device=self.device),
            ]
        if not edges:
            return torch.empty(2, 0, dtype=torch.int64, device=self.device), torch.empty(
                0, dtype=torch.int64, device=self.device
            )
        return torch.cat(edges, dim=1), torch.cat(types)

    def nodes_of_type(self, node_type: str) -> Tensor:
        """Positions of the nodes of a type, ascending."""
        if node_type not in self.node_types:
            raise unknown_choice("node type", node_type, self.node_types)
        return torch.nonzero(self.node_type == self.node_types.index(node_type)).flatten()

    def subgraph(self, node_index: Tensor) -> MultimodalGraph:
        """Induced subgraph on these nodes, in this order.

        Args:
            node_index: `[k]`, int64, distinct positions.
        """
        position = torch.full((self.num_nodes,), -1, dtype=torch.int64, device=self.device)
        position[node_index] = torch.arange(node_index.numel(), device=self.device)
        relations = {}
        for name, relation in self.relations.items():
            local = position[relation.edge_index]
            kept = relation.take((local >= 0).all(dim=0))
            relations[name] = replace(kept, edge_index=position[kept.edge_index])
        return replace(
            self,
            node_ids=self.node_ids.take(node_index.numpy(force=True)),
            node_type=self.node_type[node_index],
            relations=relations,
            features={name: features.take(node_index) for name, features in self.features.items()},
            columns=None if self.columns is None else self.columns.take(pa.array(node_index.numpy(force=True))),
        )

    def to(self, device: torch.device | str) -> MultimodalGraph:
        """Copy all tensors to a device."""
        return replace(
            self,
            node_type=self.node_type.to(device),
            relations={name: relation.to(device) for name, relation in self.relations.items()},
            features={name: features.to(device) for name, features in self.features.items()},
        )

    def summary(self) -> dict[str, Any]:
        """Counts by node type, relation and modality, ready for JSON."""
        return {
            "name": self.name,
            "num_nodes": self.num_nodes,
            "num_edges": self.num_edges,
            "node_types": {t: int((self.node_type == i).sum()) for i, t in enumerate(self.node_types)},
            "relations": {
                name: {"source": r.source_type, "target": r.target_type, "num_edges": r.num_edges}
                for name, r in self.relations.items()
            },
            "modalities": {
                name: {"encoder": f.spec.encoder, "dim": f.spec.dim, "present": int(f.present.sum())}
                for name, f in self.features.items()
            },
        }

    def __repr__(self) -> str:
        parts = [f"{count:,} {kind}" for kind, count in self.summary()["node_types"].items()]
        parts += [f"{r.num_edges:,} x {name}" for name, r in self.relations.items()]
        parts += [f"{name}:{f.spec.encoder}[{f.spec.dim}]" for name, f in self.features.items()]
        return f"MultimodalGraph({self.name!r}: {', '.join(parts)})"

    def _repr_html_(self) -> str:
        summary = self.summary()
        modalities = {
            name: f"{item['present']:,} by {item['encoder']}, {item['dim']:,}-d"
            for name, item in summary["modalities"].items()
        }
        relations = {name: relation["num_edges"] for name, relation in summary["relations"].items()}
        return counts_html(f"MultimodalGraph {self.name}", summary["node_types"], relations, modalities)


def check_nodes(where: str, num_nodes: int, node_types: Sequence[str], node_type: Tensor) -> None:
    """Check the node types of a graph.

    Raises:
        InputError: On a wrong shape, dtype or code.
    """
    if node_type.shape != (num_nodes,) or node_type.dtype != torch.int64:
        raise InputError(
            f"{where}: node_type must be int64 [{num_nodes}], got {node_type.dtype} {list(node_type.shape)}"
        )
    if len(set(node_types)) != len(node_types) or not node_types:
        raise InputError(f"{where}: node_types must be distinct names, got {list(node_types)}")
    low, high = int(node_type.min()), int(node_type.max())
    if low < 0 or high >= len(node_types):
        raise InputError(f"{where}: node_type codes must lie in 0..{len(node_types) - 1}, got {low}..{high}")


def check_relations(
    where: str, node_types: Sequence[str], node_type: Tensor, relations: Mapping[str, Relation]
) -> None:
    """Check that edges point at nodes that exist and have the declared types.

    Raises:
        InputError: Names the relation and the first bad edge.
    """
    for name, relation in relations.items():
        for row, side, expected in ((0, "source", relation.source_type), (1, "target", relation.target_type)):
            if expected not in node_types:
                raise InputError(
                    f"{where}, relation {name!r}: unknown {side} type {expected!r}; types: {first_few(node_types)}"
                )
            ends = relation.edge_index[row]
            right = node_type == node_types.index(expected)  # a byte per node: it is read once for every edge
            all_right = bool(right.all())
            # In chunks: the edges may be a file that is larger than the memory.
            for start in range(0, ends.numel(), CHECKED_AT_ONCE):
                part = ends[start : start + CHECKED_AT_ONCE]
                low, high = (int(bound) for bound in part.aminmax())
                if low < 0 or high >= node_type.numel():
                    raise InputError(
                        f"{where}, relation {name!r}: {side} positions must lie in 0..{node_type.numel() - 1}, "
                        f"got {low}..{high}"
                    )
                if not all_right and not bool((fits := right[part]).all()):
                    edge = start + int(torch.nonzero(~fits)[0])
                    found = node_types[int(node_type[ends[edge]])]
                    raise InputError(
                        f"{where}, relation {name!r}, edge {edge}: {side} must be a {expected!r} node, got {found!r}"
                    )
    for name, relation in relations.items():
        _check_reverse(f"{where}, relation {name!r}", name, relation, relations)


def _check_reverse(where: str, name: str, relation: Relation, relations: Mapping[str, Relation]) -> None:
    if relation.reverse is None:
        return
    other = relations.get(relation.reverse)
    if other is None:
        raise InputError(f"{where}: {unknown_choice('reverse relation', relation.reverse, relations)}")
    if (other.source_type, other.target_type) != (relation.target_type, relation.source_type):
        raise InputError(
            f"{where}: its reverse {relation.reverse!r} must lead from {relation.target_type!r} to "
            f"{relation.source_type!r}, got {other.source_type!r} to {other.target_type!r}"
        )
    if other.reverse != name or relation.reverse == name:
        raise InputError(f"{where}: its reverse {relation.reverse!r} must name it in turn, got {other.reverse!r}")


def encode_node_types(names: Sequence[str]) -> tuple[tuple[str, ...], Tensor]:
    """Turn one type name per node into `(node_types, node_type)`, types in alphabetical order."""
    types, codes = np.unique(np.asarray(names, dtype=object), return_inverse=True)
    return tuple(types.tolist()), torch.from_numpy(codes.astype(np.int64))
