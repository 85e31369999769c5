"""Controls: what a model must beat, computed without training."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, unknown_choice
from mmgraph.inference.table import EmbeddingTable
from mmgraph.sparse import coo_matrix
from mmgraph.tasks.base import QueryFunction
from mmgraph.tasks.recommendation import RecommendationTask, ScoreFunction, user_item_edges

if TYPE_CHECKING:
    from mmgraph.encoders.base import ModalityEncoder

Combine = Literal["weighted", "concat"]
QUERY_BATCH = 64


def raw_features(graph: MultimodalGraph) -> EmbeddingTable:
    """Features without the graph: centred unit-norm modalities side by side, absent ones zero.

    A node without any content (a user) gets the mean of the raw vectors of its neighbours that have content, in
    whatever relation and direction; without such neighbours it stays zero. That is the one use of edges here.

    Returns:
        A table of width `sum of dims`, model `raw features`.

    Raises:
        InputError: If the graph has no features at all.
    """
    values = node_contents(graph)
    known = _has_content(graph)
    source, target = graph.message_edges()[0]
    use = known[source] & ~known[target]
    source, target = source[use], target[use]
    total = torch.zeros_like(values).index_add_(0, target, values[source])
    count = torch.bincount(target, minlength=graph.num_nodes).clamp(min=1).unsqueeze(1)
    return EmbeddingTable.for_graph(graph, values + total / count, model="raw features")


def smoothed_features(
    graph: MultimodalGraph,
    hops: Sequence[int] = (0, 1, 2),
    *,
    combine: Combine = "weighted",
    weights: Sequence[float] = (0.5, 1.0, 0.5),
) -> EmbeddingTable:
    """Raw features averaged over neighbours, without training: levels `A^k x` of chosen hops.

    `A` is the symmetrically normalised adjacency of all relations in both directions, `x` are the `raw_features`:
    users start from the mean of their items. Starting them from zero is a straw man: on a graph of users and items
    alone, odd and even levels then share nothing and all cosines of a concatenation are zero (MovieLens-100k,
    recall@10: weighted 0.050, concatenated 0; from the mean 0.091 and 0.085). This is SGC [1] without classifier.

    Args:
        graph: The graph.
        hops: Which `k` to use, ascending.
        combine: `weighted` adds the levels (same width as the raw features); `concat` puts levels of unit norm side
            by side.
        weights: One weight per hop; only for `weighted`.

    Returns:
        A table, model `smoothed features` or `smoothed features (concat)`.

    Raises:
        InputError: If the graph has no features, or hops and weights do not fit.

    References:
        [1] Wu et al., 2019, Simplifying Graph Convolutional Networks, arXiv:1902.07153.
    """
    if not hops or min(hops) < 0 or sorted(set(hops)) != list(hops):
        raise InputError(f"hops must be ascending numbers from 0, got {list(hops)}")
    if combine not in ("weighted", "concat"):
        raise unknown_choice("combine", combine, ("weighted", "concat"))
    if combine == "weighted" and len(weights) != len(hops):
        raise InputError(f"expected one weight per hop, got {len(weights)} weights for {len(hops)} hops")
    walk = itertools.islice(smoothed_levels(graph, raw_features(graph).vectors), max(hops) + 1)
    levels = [level for hop, level in enumerate(walk) if hop in hops]
    if combine == "concat":
        vectors = torch.cat([torch.nn.functional.normalize(level, dim=1) for level in levels], dim=1)
        return EmbeddingTable.for_graph(graph, vectors, model="smoothed features (concat)")
    vectors = torch.zeros_like(levels[0])
    for weight, level in zip(weights, levels, strict=True):
        vectors.add_(level, alpha=weight)
    return EmbeddingTable.for_graph(graph, vectors, model="smoothed features")


def smoothed_levels(graph: MultimodalGraph, vectors: Tensor) -> Iterator[Tensor]:
    """`x`, `A x`, `A^2 x`, ... without end, `[num_nodes, dim]` each; see `smoothed_features`."""
    adjacency = _normalised_adjacency(graph)
    while True:
        yield vectors
        vectors = torch.sparse.mm(adjacency, vectors)


def raw_query(
    graph: MultimodalGraph, encoders: Mapping[str, ModalityEncoder], *, modality: str = "text", copies: int = 1
) -> QueryFunction:
    """Make the query encoder that belongs to a control: a query is a node with one modality and no neighbours.

    Args:
        graph: The graph whose control is searched; its means centre the queries.
        encoders: The frozen encoders that encoded the graph, by modality.
        modality: What the queries are.
        copies: 1 for `raw_features` and weighted `smoothed_features`; the number of hops for concatenated ones.

    Raises:
        InputError: If the graph or the encoders lack the modality, or feature spaces differ.
    """
    if modality not in graph.features:
        raise unknown_choice("modality", modality, graph.features)
    if modality not in encoders:
        raise unknown_choice("encoder for modality", modality, encoders)
    features, encoder = graph.features[modality], encoders[modality]
    if encoder.spec != features.spec:
        raise InputError(
            f"queries would be encoded as {encoder.spec.key!r}, but graph {graph.name!r} has {features.spec.key!r}"
        )
    before = sum(
        item.spec.dim for item in itertools.takewhile(lambda item: item is not features, graph.features.values())
    )
    width = sum(item.spec.dim for item in graph.features.values())

    def encode(queries: Sequence[str]) -> Tensor:
        order = sorted(range(len(queries)), key=lambda i: (encoder.sort_key(queries[i]), queries[i]))
        vectors = torch.zeros(len(queries), width)
        for start in range(0, len(order), QUERY_BATCH):
            rows = order[start : start + QUERY_BATCH]
            encoded = encoder.encode([queries[i] for i in rows])
            if encoded.failed:
                place, reason = encoded.failed[0]
                raise InputError(f"cannot encode query {queries[rows[place]]!r}: {reason}")
            centred = encoded.vectors.float().cpu() - features.mean.float().cpu()
            vectors[rows, before : before + features.spec.dim] = torch.nn.functional.normalize(centred, dim=1)
        return vectors.repeat(1, copies)

    return encode


def popularity(graph: MultimodalGraph, task: RecommendationTask) -> ScoreFunction:
    """Score each item by its number of edges of the task's relation, the same for all users."""
    edges = user_item_edges(graph, task.relation, task.user_type, task.item_type)
    count = torch.bincount(edges[1], minlength=graph.num_nodes).float()

    def score(users: Tensor, items: Tensor) -> Tensor:
        return count[items.to(count.device)].expand(users.numel(), -1)

    return score


def item_knn(
    graph: MultimodalGraph, task: RecommendationTask, *, num_neighbors: int = 100, shrink: float = 10.0
) -> ScoreFunction:
    """Item-based nearest neighbours [1]: sum over a user's items of their similarity to the candidate.

    Similarity is the cosine between the sets of users of two items, `|A & B| / (sqrt(|A| |B|) + shrink)`; every item
    keeps its `num_neighbors` most similar ones.

    References:
        [1] Deshpande and Karypis, 2004, Item-based top-N recommendation algorithms, ACM TOIS 22(1).
    """
    from scipy import sparse

    edges = user_item_edges(graph, task.relation, task.user_type, task.item_type).numpy(force=True)
    n = graph.num_nodes
    matrix = sparse.csr_matrix((np.ones(edges.shape[1], dtype=np.float32), (edges[0], edges[1])), shape=(n, n))
    matrix.data[:] = 1.0  # repeated edges count once
    both = (matrix.T @ matrix).tocoo()
    size = np.sqrt(np.asarray(matrix.sum(axis=0)).ravel())
    off_diagonal = both.row != both.col
    row, column = both.row[off_diagonal], both.col[off_diagonal]
    similarity = both.data[off_diagonal] / (size[row] * size[column] + shrink)
    order = np.lexsort((column, -similarity, row))  # per item by similarity, ties by position
    row, column, similarity = row[order], column[order], similarity[order]
    first = np.searchsorted(row, np.arange(n))
    kept = np.arange(len(row)) - first[row] < num_neighbors
    neighbors = sparse.csr_matrix((similarity[kept], (row[kept], column[kept])), shape=(n, n))

    def score(users: Tensor, items: Tensor) -> Tensor:
        scores = (matrix[users.numpy(force=True)] @ neighbors).tocsc()[:, items.numpy(force=True)]
        return torch.from_numpy(scores.toarray(order="C").astype(np.float32))

    return score


def node_contents(graph: MultimodalGraph) -> Tensor:
    """Centred unit-norm modalities side by side, absent ones zero: `[num_nodes, sum of dims]`; no edge is read.

    Raises:
        InputError: If the graph has no features at all.
    """
    if not graph.features:
        raise InputError(f"graph {graph.name!r} has no features to make a control of")
    blocks = []
    for features in graph.features.values():
        block = torch.zeros(graph.num_nodes, features.spec.dim, device=graph.device)
        block[features.present] = features.centred()
        blocks.append(block)
    return torch.cat(blocks, dim=1)


def _has_content(graph: MultimodalGraph) -> Tensor:
    return torch.stack([features.present for features in graph.features.values()]).any(dim=0)


def _normalised_adjacency(graph: MultimodalGraph) -> Tensor:
    """`D^-1/2 A D^-1/2` over all relations in both directions, sparse `[num_nodes, num_nodes]`."""
    source, target = graph.message_edges()[0]
    degree = torch.bincount(target, minlength=graph.num_nodes).clamp(min=1).float()
    values = (degree[source] * degree[target]).rsqrt()
    size = (graph.num_nodes, graph.num_nodes)
    return coo_matrix(torch.stack([target, source]), values, size)
