"""Two-dimensional maps of embeddings."""

from __future__ import annotations

import math

import numpy as np


def project(vectors: np.ndarray, *, seed: int, max_iter: int = 500) -> np.ndarray:
    """Place vectors on a plane so that neighbours stay neighbours: unit norm, PCA to 50 dimensions, then t-SNE.

    t-SNE keeps neighbourhoods; distances between far groups and the sizes of groups mean nothing [1].

    Args:
        vectors: `[n, dim]`.
        seed: Seed of PCA and t-SNE.
        max_iter: Steps of t-SNE.

    Returns:
        Coordinates `[n, 2]` in 0..1; vectors of equal direction in the same point.

    References:
        [1] van der Maaten and Hinton, 2008, Visualizing Data using t-SNE, JMLR 9.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    # Once each: scikit-learn's t-SNE crashes the process on many equal vectors.
    _, first, copies = np.unique(unit, axis=0, return_index=True, return_inverse=True)
    kept = np.sort(first)
    place = np.searchsorted(kept, first[copies.ravel()])
    unit = unit[kept]
    if len(unit) < 4:  # t-SNE needs a perplexity below n
        return np.linspace(0, 1, 2 * len(unit)).reshape(-1, 2)[place]
    reduced = PCA(min(50, *unit.shape), random_state=seed).fit_transform(unit)
    perplexity = min(30.0, (len(unit) - 1) / 3)
    placed = TSNE(perplexity=perplexity, max_iter=max_iter, random_state=seed, init="pca").fit_transform(reduced)
    low, high = placed.min(axis=0), placed.max(axis=0)
    return np.asarray((placed - low) / np.maximum(high - low, 1e-12), dtype=np.float64)[place]


def to_grid(points: np.ndarray, *, spare: float = 1.5, even: float = 0.5) -> np.ndarray:
    """Give each point its own cell of a square grid, near where it lies, so that pictures do not overlap.

    Points near the centre of their surroundings choose first: in order of the distance to their cell's centre, each
    takes the nearest free cell. Greedy, quadratic, and quick enough for some thousand points.

    Args:
        points: `[n, 2]` in 0..1.
        spare: Cells per point; more cells leave more of the shape, and smaller pictures.
        even: From 0 (as they lie) to 1 (by rank along each axis): keeps one far group from squeezing all others.

    Returns:
        Column and row of each point, `[n, 2]`, int64, all distinct.
    """
    side = max(1, math.ceil(math.sqrt(len(points) * spare)))
    target = ((1 - even) * points + even * np.stack([_rank(axis) for axis in points.T], axis=1)) * (side - 1)
    order = np.argsort(np.abs(target - np.rint(target)).sum(axis=1), kind="stable")
    columns, rows = (axis.ravel() for axis in np.meshgrid(np.arange(side), np.arange(side), indexing="ij"))
    free = np.ones(side * side, dtype=bool)
    cells = np.empty((len(points), 2), dtype=np.int64)
    for index in order.tolist():
        wish = np.rint(target[index]).astype(np.int64)
        chosen = int(wish[0]) * side + int(wish[1])
        if not free[chosen]:
            distance = (columns - target[index, 0]) ** 2 + (rows - target[index, 1]) ** 2
            chosen = int(np.argmin(np.where(free, distance, np.inf)))
        free[chosen] = False
        cells[index] = divmod(chosen, side)
    return cells


def _rank(values: np.ndarray) -> np.ndarray:
    """Rank of each value in 0..1, equal for equal values; a single value stays where it is."""
    distinct, rank = np.unique(values, return_inverse=True)
    return rank / (len(distinct) - 1) if len(distinct) > 1 else values
