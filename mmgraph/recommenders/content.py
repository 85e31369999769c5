"""What items are made of, side by side: raw features by modality, or vectors of a pre-trained model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.recommenders.interactions import Interactions
from mmgraph.tasks.controls import node_contents

EMBEDDING = "embedding"
"""Name of the part that a pre-trained table gives."""


@dataclass(frozen=True, eq=False)
class ItemContent:
    """Content of all items.

    Attributes:
        values: `[num_items, in_dim]`; zero where an item has no content.
        parts: Columns `[start, stop)` of each modality.
    """

    values: Tensor
    parts: dict[str, tuple[int, int]]


def item_content(data: Interactions, table: EmbeddingTable | None = None) -> ItemContent:
    """Content of the items, from a table if there is one; joined by id.

    Raw modalities are centred and have unit norm. Vectors of a table are centred over the items and scaled to a
    root mean square norm of 1.

    Raises:
        InputError: If items are missing from the table, its vectors are not finite, or there is no table and the graph
            has no features.
    """
    graph = data.graph
    if table is None:
        values, parts, start = node_contents(graph)[data.items], {}, 0
        for modality, features in graph.features.items():
            parts[modality] = (start, start + features.spec.dim)
            start += features.spec.dim
        return ItemContent(values, parts)
    table.check_finite()
    if table.graph != graph.name:
        raise InputError(
            f"{data.task.where}: expected embeddings of graph {graph.name!r}, got those of {table.graph!r}"
        )
    vectors = table.vectors_of(graph.node_ids.values[data.items.numpy(force=True)]).to(data.device)
    vectors = vectors - vectors.mean(dim=0)
    scale = vectors.square().sum(dim=1).mean().sqrt().clamp(min=torch.finfo(vectors.dtype).tiny)
    return ItemContent(vectors / scale, {EMBEDDING: (0, vectors.size(1))})
