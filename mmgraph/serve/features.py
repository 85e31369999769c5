"""Frozen features of nodes as they are compared."""

from __future__ import annotations

import numpy as np
import torch

from mmgraph.data.graph import MultimodalGraph


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: np.ndarray = vectors / np.where(norms > 0, norms, 1.0)
    return found


def centred_unit(graph: MultimodalGraph, modality: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centred unit-norm features of rows of a graph `[n, dim]`, and whether they are there `[n]`; row -1 is not."""
    features = graph.features[modality]
    index = torch.from_numpy(np.maximum(rows, 0))
    present = features.present[index].numpy() & (rows >= 0)
    values = np.zeros((len(rows), features.spec.dim), dtype=np.float32)
    if present.any():
        mean = features.mean.float().numpy()
        values[present] = unit(features.rows(index[torch.from_numpy(present)]).float().numpy() - mean)
    return values, present
