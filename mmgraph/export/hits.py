"""What a store finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Hits:
    """Nodes that a store found for each query, best first.

    Attributes:
        positions: `[num_queries, k]`, int64: rows of `rows`; -1 where fewer than `k` nodes were found.
        scores: `[num_queries, k]`, float32: cosines, descending; minus infinity where the position is -1.
        rows: Columns `id`, `type` and those of the table.
    """

    positions: Tensor
    scores: Tensor
    rows: pa.Table

    def __len__(self) -> int:
        return self.positions.size(0)

    def ids(self) -> list[list[Any]]:
        """External ids per query, best first."""
        return [self.rows["id"].take(pa.array(row[row >= 0])).to_pylist() for row in self.positions.numpy()]

    def to_pandas(self) -> pd.DataFrame:
        """One row per hit: `query` (number), `rank` (from 1), `score`, `id`, `type`, and the table's columns."""
        query, rank = np.nonzero(self.positions.numpy() >= 0)
        frame = pd.DataFrame({"query": query, "rank": rank + 1, "score": self.scores.numpy()[query, rank]})
        found = self.rows.take(pa.array(self.positions.numpy()[query, rank])).to_pandas()
        whole: pd.DataFrame = pd.concat([frame, found[[name for name in found if name not in frame]]], axis=1)
        return whole
