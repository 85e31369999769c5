"""What a search finds, and a top-k selection that does not depend on how ties happen to fall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.notebook import html_table
from mmgraph.seeding import generator

if TYPE_CHECKING:
    from mmgraph.inference.table import EmbeddingTable

SCORES_PER_CHUNK = 2**23
"""Scores held at once by an exact search (32 MiB in float32)."""
ROWS_PER_CHUNK = 65_536
"""Rows brought to unit length at once."""


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` highest scores per row, descending; equal scores in order of column.

    `torch.topk` picks and orders ties arbitrarily, and a stable sort of whole rows is many times slower. Here
    `topk` finds the threshold, ties at the threshold are filled from the left, and only `k` columns are sorted.

    Args:
        scores: `[num_rows, num_columns]`, without NaN.
        k: At most `num_columns`.

    Returns:
        Scores and columns, both `[num_rows, k]`.
    """
    width = min(k + 1, scores.size(1))
    values, columns = torch.topk(scores, width, dim=1)
    columns = columns[:, :k]
    if width > k:
        tied = torch.nonzero(values[:, k - 1] == values[:, k]).flatten()
        if tied.numel():
            columns = columns.index_copy(0, tied, _fill_ties(scores[tied], values[tied, k - 1 : k], k))
    columns = columns.sort(dim=1).values
    values, order = scores.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)


def _fill_ties(scores: Tensor, threshold: Tensor, k: int) -> Tensor:
    """Columns above the threshold and, from the left, as many at the threshold as fit: `[num_rows, k]`."""
    above = scores > threshold
    equal = scores == threshold
    room = k - above.sum(dim=1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(dim=1) <= room))
    return torch.nonzero(chosen)[:, 1].view(-1, k)


def first_identical(rows: Tensor) -> Tensor:
    """For each row the position of the first row with the same values, `[num_rows]`, int64.

    Rows are compared by a 64-bit linear hash of their bits; a collision is noticed and then rows are sorted instead.

    Args:
        rows: `[num_rows, dim]`, float32.
    """
    weights = torch.randint(-(2**62), 2**62, (rows.size(1),), generator=generator(0, "row hash")).to(rows.device)
    hashes = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    step = max(1, SCORES_PER_CHUNK // max(1, rows.size(1)))
    for start in range(0, len(rows), step):
        # Adding zero turns -0.0 into 0.0, which has other bits and the same value.
        bits = (rows[start : start + step] + 0.0).view(torch.int32)
        hashes[start : start + step] = (bits * (2 * weights + 1)).sum(dim=1)
    first = _first_of_group(torch.unique(hashes, return_inverse=True)[1])
    copies = torch.nonzero(first != torch.arange(len(rows), device=rows.device)).flatten()
    if not torch.equal(rows[copies], rows[first[copies]]):
        first = _first_of_group(torch.unique(rows, dim=0, return_inverse=True)[1])
    return first


def _first_of_group(group: Tensor) -> Tensor:
    """Position of the first member of each member's group; `group` `[num_rows]` holds `0 .. num_groups - 1`."""
    position = torch.arange(group.numel(), device=group.device)
    first = torch.full_like(group, group.numel()).scatter_reduce(0, group, position, "amin")
    return first[group]


def unit_rows(vectors: Tensor) -> Tensor:
    """Rows divided by their length, float32; rows of zeros stay zero.

    Lengths are taken in double precision, because the square of a large float32 overflows, chunk by chunk.
    """
    unit = torch.empty_like(vectors, dtype=torch.float32)
    for start in range(0, len(vectors), ROWS_PER_CHUNK):
        rows = vectors[start : start + ROWS_PER_CHUNK]
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=torch.float64)
        unit[start : start + ROWS_PER_CHUNK] = rows / torch.where(norms > 0, norms, 1.0)
    return unit


def unit_queries(query: Tensor, dim: int, device: torch.device | str = "cpu") -> Tensor:
    """Check queries and bring them to unit length: `[num_queries, dim]`, float32.

    Args:
        query: `[num_queries, dim]` or `[dim]`.
        dim: Width of the vectors that are searched.
        device: Where the result lies.

    Raises:
        InputError: If the width differs, or a query is zero, NaN or infinite.
    """
    query = query.unsqueeze(0) if query.dim() == 1 else query
    if query.dim() != 2 or query.size(1) != dim:
        raise InputError(f"search: query must have shape [num_queries, {dim}] or [{dim}], got {list(query.shape)}")
    query = query.detach().to(device, torch.float32)
    norm: Tensor = torch.linalg.vector_norm(query, dim=1, keepdim=True)
    bad = ~(torch.isfinite(norm) & (norm > 0)).flatten()
    if bool(bad.any()):
        row = int(torch.nonzero(bad)[0])
        found = "a zero vector" if float(norm[row]) == 0 else "NaN or infinity"
        raise InputError(f"search: query {row} must be a finite vector other than zero, got {found}")
    return query / norm


@dataclass(frozen=True, eq=False)
class SearchResult:
    """Nodes found for each query, best first.

    Attributes:
        positions: `[num_queries, k]`: rows of the table; -1 where exclusions left fewer than `k` nodes.
        scores: `[num_queries, k]`: cosines, descending; minus infinity where the position is -1.
        table: The table that was searched.
    """

    positions: Tensor
    scores: Tensor
    table: EmbeddingTable

    def __len__(self) -> int:
        return self.positions.size(0)

    def __repr__(self) -> str:
        return f"SearchResult({len(self)} queries, {self.positions.size(1)} each)"

    def _repr_html_(self) -> str:
        frame = self.to_pandas()
        return html_table(repr(self), list(frame.columns), frame.itertuples(index=False), total=len(frame))

    def ids(self) -> list[list[Any]]:
        """External ids per query, best first."""
        rows = self.positions.numpy(force=True)
        return [self.table.node_ids[row[row >= 0]].tolist() for row in rows]

    def to_pandas(self) -> pd.DataFrame:
        """One row per hit: `query` (number), `rank` (from 1), `id`, `type`, `score`, and the table's columns."""
        positions = self.positions.numpy(force=True)
        query, rank = np.nonzero(positions >= 0)
        rows = positions[query, rank]
        codes = self.table.node_type.numpy(force=True)[rows]
        frame = pd.DataFrame(
            {
                "query": query,
                "rank": rank + 1,
                "id": self.table.node_ids[rows],
                "type": [self.table.node_types[code] for code in codes],
                "score": self.scores.numpy(force=True)[query, rank],
            }
        )
        if self.table.columns is not None:
            shown = [name for name in self.table.columns.column_names if name not in frame.columns]
            extra = self.table.columns.select(shown).take(pa.array(rows)).to_pandas()
            frame = pd.concat([frame, extra], axis=1)
        return frame
