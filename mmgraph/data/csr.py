"""Compressed sparse rows: for every node, where its messages come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmgraph.errors import InputError

COUNTED_FROM = 2**20
"""Edges from which rows are filled by counting, on a CPU; with fewer, Numba would take longer to be imported."""


@dataclass(frozen=True, eq=False)
class CSR:
    """Messages grouped by target; the sources of node `v` are `indices[indptr[v]:indptr[v + 1]]`.

    Rows are sorted by source and then by type, so two graphs that differ only in the order of their edges have the
    same CSR, and whatever is sampled from it does not depend on that order.

    Attributes:
        indptr: `[num_nodes + 1]`, int64.
        indices: `[num_edges]`, int64 (int32 if they are on disk): sources, ascending within a row.
        edge_type: `[num_edges]`, int64 (int8 or int16 if they are on disk): as in `MultimodalGraph.message_edges`.
    """

    indptr: Tensor
    indices: Tensor
    edge_type: Tensor

    @classmethod
    def from_edges(cls, edge_index: Tensor, num_nodes: int, edge_type: Tensor | None = None) -> CSR:
        """Group edges by target.

        Args:
            edge_index: `[2, num_edges]`, int64: source (row 0) and target (row 1).
            num_nodes: Number of nodes, isolated ones included.
            edge_type: `[num_edges]`, int64; all zero if not given.

        Raises:
            InputError: On a wrong shape or an edge to a node that does not exist.
        """
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise InputError(f"edge_index must have shape [2, num_edges], got {list(edge_index.shape)}")
        source, target = edge_index
        if edge_type is None:
            edge_type = torch.zeros_like(source)
        if edge_type.shape != source.shape:
            raise InputError(f"edge_type must have shape [{source.numel()}], got {list(edge_type.shape)}")
        if source.numel() and (int(edge_index.min()) < 0 or int(edge_index.max()) >= num_nodes):
            raise InputError(
                f"edges must join nodes 0..{num_nodes - 1}, got {int(edge_index.min())}..{int(edge_index.max())}"
            )
        indptr = torch.zeros(num_nodes + 1, dtype=torch.int64, device=edge_index.device)
        torch.cumsum(torch.bincount(target, minlength=num_nodes), dim=0, out=indptr[1:])
        if edge_index.device.type == "cpu" and source.numel() >= COUNTED_FROM:
            return cls(indptr, *_count_rows(indptr, source, target, edge_type))
        order = torch.argsort(edge_type, stable=True)
        order = order[torch.argsort(target[order] * num_nodes + source[order], stable=True)]
        return cls(indptr, source[order], edge_type[order])

    @property
    def num_nodes(self) -> int:
        """Number of rows."""
        return self.indptr.numel() - 1

    @property
    def num_edges(self) -> int:
        """Number of messages."""
        return self.indices.numel()

    @property
    def degrees(self) -> Tensor:
        """Number of incoming messages of each node, `[num_nodes]`."""
        return self.indptr.diff()

    def digest(self) -> str:
        """SHA-256 of the adjacency; edge types do not count, nor does the order in which edges were given."""
        digest = hashlib.sha256()  # what `content_digest` of both arrays as int64 would be, in pieces
        for array in (self.indptr.numpy(force=True), self.indices.numpy(force=True)):
            digest.update((8 * len(array)).to_bytes(8, "little"))
            for start in range(0, len(array), 2**22):
                digest.update(array[start : start + 2**22].astype("<i8").data)
        return digest.hexdigest()


def _count_rows(indptr: Tensor, source: Tensor, target: Tensor, edge_type: Tensor) -> tuple[Tensor, Tensor]:
    """Sources and types by row, each row sorted by source and then by type: `[num_edges]` each."""
    from mmgraph.data import csr_kernels

    starts = indptr.numpy()
    indices, kinds = np.empty(source.numel(), np.int64), np.empty(source.numel(), np.int64)
    place = starts[:-1].copy()
    codes, number = torch.unique(edge_type, return_inverse=True)
    for code in range(codes.numel()):
        chosen = slice(None) if codes.numel() == 1 else number == code
        ends = source[chosen].numpy(), target[chosen].numpy()
        csr_kernels.fill_rows(*ends, code, 0, len(place), place, indices, kinds)
    csr_kernels.sort_rows(starts, indices, kinds, max(codes.numel(), 1))
    return torch.from_numpy(indices), codes[torch.from_numpy(kinds)]
