from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
import torch

from mmgraph.compression.rotation import random_rotation
from mmgraph.data.ids import NodeIds
from mmgraph.inference.table import EmbeddingTable


def _table(vectors: torch.Tensor, ids: list[object] | None = None) -> EmbeddingTable:
    count = len(vectors)
    return EmbeddingTable(
        node_ids=NodeIds([f"n{i:05d}" for i in range(count)] if ids is None else ids),
        vectors=vectors.float(),
        node_types=("item", "user"),
        node_type=(torch.arange(count) % 4 == 0).long(),
        graph="toy",
        model="0123abcd",
        columns=pa.table({"title": [f"title {i}" for i in range(count)]}),
    )


@pytest.fixture
def make_table() -> Callable[..., EmbeddingTable]:
    """A table of the given vectors; of 300 vectors that differ along few directions without any."""

    def make(vectors: torch.Tensor | None = None, ids: list[object] | None = None, count: int = 300) -> EmbeddingTable:
        if vectors is None:
            random = torch.Generator().manual_seed(0)
            vectors = 5 * (torch.randn(count, 16, generator=random) * 0.8 ** torch.arange(16)) @ random_rotation(16, 0)
        return _table(vectors, ids)

    return make
