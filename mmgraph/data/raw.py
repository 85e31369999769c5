"""A graph before encoding: ids, texts, image paths, typed edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.graph import check_nodes, check_relations
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.notebook import counts_html


@dataclass(frozen=True, eq=False)
class RawGraph:
    """Raw content of nodes and the edges between them.

    Attributes:
        name: Name of the graph.
        node_ids: External ids, unique strings or integers.
        node_types: Names of the node types.
        node_type: `[num_nodes]`, int64: index into `node_types`.
        relations: Edges by relation name.
        content: For each modality one item per node, `None` where the node lacks it. A text is a `str`, an image
            a path to a file.
        columns: Optional table with one row per node, carried along to every result.
    """

    name: str
    node_ids: NodeIds
    node_types: tuple[str, ...]
    node_type: Tensor
    relations: Mapping[str, Relation] = field(default_factory=dict)
    content: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    columns: pa.Table | None = None

    def __post_init__(self) -> None:
        where = f"graph {self.name!r}"
        if self.num_nodes == 0:
            raise InputError(f"{where}: expected at least one node, got none")
        check_nodes(where, self.num_nodes, self.node_types, self.node_type)
        check_relations(where, self.node_types, self.node_type, self.relations)
        for modality, items in self.content.items():
            if len(items) != self.num_nodes:
                raise InputError(f"{where}: {modality} must have {self.num_nodes} items, got {len(items)}")
        if self.columns is not None and self.columns.num_rows != self.num_nodes:
            raise InputError(f"{where}: columns must have {self.num_nodes} rows, got {self.columns.num_rows}")

    @property
    def num_nodes(self) -> int:
        """Number of nodes of all types."""
        return len(self.node_ids)

    def __repr__(self) -> str:
        counts = torch.bincount(self.node_type, minlength=len(self.node_types)).tolist()
        parts = [f"{count:,} {kind}" for kind, count in zip(self.node_types, counts, strict=True)]
        parts += [f"{relation.num_edges:,} x {name}" for name, relation in self.relations.items()]
        parts += [
            f"{sum(item is not None for item in items):,} with {modality}" for modality, items in self.content.items()
        ]
        return f"RawGraph({self.name!r}: {', '.join(parts)})"

    def _repr_html_(self) -> str:
        counts = torch.bincount(self.node_type, minlength=len(self.node_types)).tolist()
        relations = {name: relation.num_edges for name, relation in self.relations.items()}
        present = {name: f"{sum(item is not None for item in items):,}" for name, items in self.content.items()}
        return counts_html(f"RawGraph {self.name}", dict(zip(self.node_types, counts, strict=True)), relations, present)
