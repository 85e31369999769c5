"""What the nodes of a graph show of themselves, in one common space."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.nn.alignment import FeatureAlignment


class NodeContent:
    """Aligned features and random signs of all nodes of a graph; edges play no part.

    Args:
        graph: The graph.
        alignment: Maps its features to one space.

    Attributes:
        dim: Width of the common space.
        has_any: `[num_nodes]`, bool: which nodes have any modality.
        signs: `[num_nodes, dim]`: see `random_signs`.
    """

    def __init__(self, graph: MultimodalGraph, alignment: FeatureAlignment) -> None:
        self.dim = alignment.dim
        self._position: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}
        self.has_any = torch.zeros(graph.num_nodes, dtype=torch.bool, device=graph.device)
        for name in sorted(graph.features):
            item = graph.features[name]
            position = torch.full((graph.num_nodes,), -1, dtype=torch.int64, device=graph.device)
            rows = torch.nonzero(item.present).flatten()
            position[rows] = torch.arange(rows.numel(), device=graph.device)
            self._position[name], self._values[name] = position, alignment(item)
            self.has_any |= item.present
        self.signs = random_signs(graph.node_ids, self.dim).to(graph.device)

    def visible(self, rows: Tensor, shown: Mapping[str, Tensor] | None) -> dict[str, tuple[Tensor, Tensor]]:
        """By modality, which of the rows show it, and their aligned features `[num_visible, dim]`.

        Args:
            rows: `[num_rows]`: positions in the graph.
            shown: By modality, `[num_rows]` bool; everything that is present by default.
        """
        found = {}
        for name, position in self._position.items():
            place = position[rows]
            is_visible = place >= 0 if shown is None or name not in shown else (place >= 0) & shown[name]
            chosen = torch.nonzero(is_visible).flatten()
            found[name] = (chosen, self._values[name][place[chosen]])
        return found

    @cached_property
    def own(self) -> Tensor:
        """Unit mean of what each node has, zero where it has nothing: `[num_nodes, dim]`."""
        rows = torch.arange(self.signs.size(0), device=self.signs.device)
        return fuse(self.visible(rows, None), rows.numel(), self.dim, self.signs)


def fuse(content: Mapping[str, tuple[Tensor, Tensor]], num_nodes: int, dim: int, like: Tensor) -> Tensor:
    """Sum of the modalities that each row shows, scaled to unit length: `[num_nodes, dim]`."""
    total = torch.zeros(num_nodes, dim, device=like.device)
    for rows, values in content.values():
        total = total.index_add(0, rows, values.to(total.dtype))
    return torch.nn.functional.normalize(total, dim=1, eps=1e-6)


def random_signs(node_ids: NodeIds, dim: int) -> Tensor:
    """A row of length 1 per node with entries `+-1 / sqrt(dim)`, from a hash of its id: `[num_nodes, dim]`.

    The same id has the same row in every graph, however many other nodes there are and in whatever order.
    """
    size = -(-dim // 8)
    hashes = b"".join(hashlib.shake_128(str(node_id).encode()).digest(size) for node_id in node_ids.values.tolist())
    bits = np.unpackbits(np.frombuffer(hashes, dtype=np.uint8).reshape(len(node_ids), size), axis=1)[:, :dim]
    return torch.from_numpy((bits.astype(np.float32) * 2 - 1) / math.sqrt(dim))
