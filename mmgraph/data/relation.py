"""Typed edges between nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mmgraph.errors import InputError


@dataclass(frozen=True, eq=False)
class Relation:
    """The edges of one relation.

    Attributes:
        edge_index: `[2, num_edges]`, int64: positions of source (row 0) and target (row 1) in the graph's nodes.
        source_type: Node type of all sources.
        target_type: Node type of all targets.
        symmetric: The relation reads the same both ways ("looks like"); each pair is stored once.
        attributes: Named tensors `[num_edges]` or `[num_edges, width]`, for example a rating or a time.
        reverse: Name of another relation of the graph that states the same facts the other way round ("directed" and
            "directed by"). Splits move both together, and the audit looks for held-out edges in both.
    """

    edge_index: Tensor
    source_type: str
    target_type: str
    symmetric: bool = False
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    reverse: str | None = None

    def __post_init__(self) -> None:
        if self.edge_index.dim() != 2 or self.edge_index.size(0) != 2:
            raise InputError(f"edge_index must have shape [2, num_edges], got {list(self.edge_index.shape)}")
        if self.edge_index.dtype != torch.int64:
            raise InputError(f"edge_index must be int64, got {self.edge_index.dtype}")
        if self.symmetric and self.reverse is not None:
            raise InputError(f"a symmetric relation is its own reverse, got reverse {self.reverse!r}")
        for name, values in self.attributes.items():
            if values.dim() not in (1, 2) or values.size(0) != self.num_edges:
                raise InputError(
                    f"edge attribute {name!r} must have {self.num_edges} rows, got shape {list(values.shape)}"
                )

    @property
    def num_edges(self) -> int:
        """Number of stored edges."""
        return self.edge_index.size(1)

    def take(self, index: Tensor) -> Relation:
        """Edges at these positions, or where a boolean mask is true."""
        return replace(
            self,
            edge_index=self.edge_index[:, index],
            attributes={name: values[index] for name, values in self.attributes.items()},
        )

    def to(self, device: torch.device | str) -> Relation:
        """Copy to a device."""
        attributes = {name: values.to(device) for name, values in self.attributes.items()}
        return replace(self, edge_index=self.edge_index.to(device), attributes=attributes)
