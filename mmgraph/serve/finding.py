"""Queries are composed and searched, many at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.inference.compose import compose_vectors
from mmgraph.serve.encoding import Encoded
from mmgraph.serve.failures import Refusal
from mmgraph.serve.features import centred_unit, unit
from mmgraph.serve.index import Index

_logger = logging.getLogger(__name__)

NEAR = 16
"""Neighbours of a hit, at most, whose mean is compared with the query."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is looked for.

    Attributes:
        index: What is searched.
        k: Number of hits.
        like: Positions of nodes to be like; they are not found.
        content: Text and image to be like.
        without: Text to stay away from.
        node_type: Find nodes of this type only.
        where: Filter.
        shares: Say how much each node of `like` has in a score.
    """

    index: Index
    k: int
    like: tuple[int, ...] = ()
    content: Encoded | None = None
    without: Encoded | None = None
    node_type: str | None = None
    where: str | None = None
    shares: bool = False


@dataclass(frozen=True, eq=False)
class Found:
    """Hits of a question, best first.

    Attributes:
        positions: Rows of the nodes.
        scores: Cosines.
        parts: Per hit, cosines by modality and of the neighbours.
        shares: Per hit `[num_like]`, if asked for.
    """

    positions: list[int]
    scores: list[float]
    parts: list[dict[str, float]]
    shares: list[np.ndarray] = field(default_factory=list)


def find_batch(questions: Sequence[Question]) -> list[Found | Exception]:
    """Answer all questions; those about the same nodes are searched as one matrix."""
    results: list[Found | Exception] = [RuntimeError("not searched")] * len(questions)
    groups: dict[tuple[Index, str | None, str | None], list[int]] = {}
    for row, question in enumerate(questions):
        groups.setdefault((question.index, question.node_type, question.where), []).append(row)
    for (index, _, _), rows in groups.items():
        try:
            with index.lock:
                answers = _find(index, [questions[row] for row in rows])
        except Exception as error:  # one index must not fail the questions to another
            _logger.exception("a search in %s failed", index.store.path)
            answers = [error] * len(rows)
        for row, result in zip(rows, answers, strict=True):
            results[row] = result
    return results


def _find(index: Index, questions: Sequence[Question]) -> list[Found | Exception]:
    results: list[Found | Exception] = [RuntimeError("not searched")] * len(questions)
    flat = np.asarray([position for question in questions for position in question.like], dtype=np.int64)
    nodes = index.store.vectors_at(flat)
    composed, good, start = [], [], 0
    for row, question in enumerate(questions):
        own = nodes[start : start + len(question.like)]
        start += len(question.like)
        try:
            composed.append(_compose(question, own))
            good.append((row, own))
        except InputError as error:
            results[row] = Refusal(400, str(error))
    if not composed:
        return results
    vectors = torch.cat(composed)
    asked = [questions[row] for row, _ in good]
    try:
        # As many more as are left out again.
        k = max(item.k + len(item.like) for item in asked)
        hits = index.store.search(vectors, k, node_type=asked[0].node_type, where=asked[0].where, graph=index.graph)
    except InputError as error:
        if str(index.store.path) in str(error):  # nothing that the caller did, or should read
            raise
        for row, _ in good:
            results[row] = Refusal(400, str(error))
        return results
    found = []
    for item, positions, scores in zip(asked, hits.positions.tolist(), hits.scores.tolist(), strict=True):
        left_out = {-1, *item.like}
        pairs = [pair for pair in zip(positions, scores, strict=True) if pair[0] not in left_out][: item.k]
        found.append(([position for position, _ in pairs], [score for _, score in pairs]))
    parts = explain_parts(index, asked, vectors.numpy(), [positions for positions, _ in found])
    for (row, own), item, (positions, scores), part in zip(good, asked, found, parts, strict=True):
        shares = _shares(index, own, positions) if item.shares else []
        results[row] = Found(positions, scores, part, shares)
    return results


def _compose(question: Question, nodes: Tensor) -> Tensor:
    ids = [question.index.store.node_ids[position] for position in question.like]
    return compose_vectors(
        nodes,
        ids,
        content=None if question.content is None else question.content.vector,
        without=None if question.without is None else question.without.vector,
        without_weight=0.5,
    )


def _shares(index: Index, nodes: Tensor, positions: list[int]) -> list[np.ndarray]:
    """Share of each node in the cosine of each hit with their mean: that cosine is a sum over the nodes."""
    hits = unit(index.store.vectors_at(np.asarray(positions, dtype=np.int64)).numpy())
    products = np.maximum(hits @ unit(nodes.numpy()).T, 0.0)
    total = products.sum(axis=1, keepdims=True)
    return list(products / np.where(total > 0, total, 1.0))


def explain_parts(
    index: Index, questions: Sequence[Question], vectors: np.ndarray, positions: Sequence[list[int]]
) -> list[list[dict[str, float]]]:
    """Cosine of query and hit by modality, and of the query with the mean of the hit's neighbours.

    The features of a query are those of its text and image, and else the mean of those of the nodes that it is like.

    Args:
        index: What was searched.
        questions: The questions.
        vectors: Their vectors, `[num_questions, dim]`, of unit length.
        positions: Hits of each question.
    """
    parts: list[list[dict[str, float]]] = [[{} for _ in hits] for hits in positions]
    if index.graph is None or index.links is None:
        return parts
    where = [(q, rank) for q, hits in enumerate(positions) for rank in range(len(hits))]
    flat = np.asarray([position for hits in positions for position in hits], dtype=np.int64)
    of = np.asarray([q for q, _ in where], dtype=np.int64)
    if not len(flat):
        return parts
    for modality in index.graph.features:
        wanted = [_query_features(index, question, modality) for question in questions]
        if all(item is None for item in wanted):
            continue
        width = index.graph.features[modality].spec.dim
        queries = np.stack([np.zeros(width, np.float32) if item is None else item for item in wanted])
        values, present = centred_unit(index.graph, modality, index.links.graph_rows[flat])
        cosines = np.einsum("nd,nd->n", values, queries[of])
        known = present & np.asarray([item is not None for item in wanted])[of]
        for row in np.flatnonzero(known).tolist():
            q, rank = where[row]
            parts[q][rank][modality] = _rounded(cosines[row])
    near = [index.links.near(position, NEAR) for position in flat.tolist()]
    lengths = np.asarray([len(item) for item in near])
    if lengths.any():
        distinct, inverse = np.unique(np.concatenate(near), return_inverse=True)
        around = unit(index.store.vectors_at(distinct).numpy())
        linked = np.flatnonzero(lengths)
        starts = np.cumsum(lengths)[linked] - lengths[linked]
        total = np.add.reduceat(around[inverse], starts, axis=0)
        cosines = np.einsum("nd,nd->n", unit(total), vectors[of[linked]])
        for row, cosine in zip(linked.tolist(), cosines.tolist(), strict=True):
            q, rank = where[row]
            parts[q][rank]["neighbours"] = _rounded(cosine)
    return parts


def _query_features(index: Index, question: Question, modality: str) -> np.ndarray | None:
    if question.content is not None and modality in question.content.features:
        return question.content.features[modality]
    if not question.like or index.graph is None or index.links is None:
        return None
    rows = index.links.graph_rows[np.asarray(question.like, dtype=np.int64)]
    values, present = centred_unit(index.graph, modality, rows)
    return unit(values[present].mean(axis=0)) if present.any() else None


def _rounded(value: float) -> float:
    return round(float(min(1.0, max(-1.0, value))), 4)
