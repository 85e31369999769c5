"""One query from several parts: nodes to be like, a text, an image, and a text to stay away from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmgraph.errors import InputError, first_few
from mmgraph.inference.query import QueryEncoder
from mmgraph.inference.table import EmbeddingTable

SMALLEST_NORM = 1e-4
"""Sums of unit vectors that are shorter have no direction but that of rounding errors."""


@dataclass(frozen=True, eq=False)
class ComposedQuery:
    """What `EmbeddingTable.search` takes.

    Attributes:
        vector: `[1, dim]`, of unit length.
        exclude: `[1, num_like]`, int64: rows of the nodes that the query is made of, which must not be found.
    """

    vector: Tensor
    exclude: Tensor


def compose_query(
    table: EmbeddingTable,
    *,
    like: Any = None,
    text: str | None = None,
    image: Path | str | None = None,
    without: str | None = None,
    weight: float = 1.0,
    without_weight: float = 0.5,
    encoder: QueryEncoder | None = None,
) -> ComposedQuery:
    """Add and subtract unit vectors: "like this node, but in red, and not for children".

    `unit(mean of unit(node)) + weight * unit(text and image) - without_weight * unit(without)`, as Rocchio's relevance
    feedback [1] does with vectors of documents, and the arithmetic of multimodal embeddings [2]. A text and an image
    together are one item with both. Parts that are not given are left out; without nodes the weight has no effect.

    Args:
        table: What is searched.
        like: Id of a node, or several ids; of any type, so a user finds movies and a movie finds users.
        text: Text to look for.
        image: File of an image to look for.
        without: Text to stay away from.
        weight: Of text and image, if there are nodes.
        without_weight: Of `without`.
        encoder: Embeds `text`, `image` and `without`, at the level that the table was made with; not needed for nodes alone.

    Raises:
        InputError: If nothing is asked for, a part is empty or unknown, parts contradict each other or cancel out, a
            weight is not above 0, or there is content and no encoder.

    References:
        [1] Rocchio, 1971, Relevance Feedback in Information Retrieval.
        [2] Kiros et al., 2014, Unifying Visual-Semantic Embeddings with Multimodal Neural Language Models,
            arXiv:1411.2539.

    Example:
        >>> query = mg.compose_query(table, like="p7", text="in red", encoder=encoder)  # doctest: +SKIP
        >>> table.search(query.vector, k=10, exclude=query.exclude)  # doctest: +SKIP
    """
    ids = like_ids(like)
    check_query(ids, text=text, image=image, without=without, weight=weight, without_weight=without_weight)
    rows = table.positions(ids)
    content = None if text is None and image is None else _encoded(encoder, table, text, image)
    away = None if without is None else _encoded(encoder, table, without, None)
    vector = compose_vectors(
        table.vectors[rows], ids, content=content, without=away, weight=weight, without_weight=without_weight
    )
    return ComposedQuery(vector, rows.unsqueeze(0))


def compose_vectors(
    nodes: Tensor,
    ids: Sequence[Any],
    *,
    content: Tensor | None = None,
    without: Tensor | None = None,
    weight: float = 1.0,
    without_weight: float = 0.5,
) -> Tensor:
    """The same for vectors that are known, `[1, dim]`.

    Args:
        nodes: Vectors of the nodes to be like, `[num_like, dim]`; possibly none.
        ids: Their ids, for messages.
        content: Vector of text and image, `[dim]`.
        without: Vector of what to stay away from, `[dim]`.
        weight: Of `content`, if there are nodes.
        without_weight: Of `without`.

    Raises:
        InputError: If a vector is zero, NaN or infinite, or they cancel out.
    """
    parts = []
    if len(ids):
        parts.append(_unit(_units(nodes, ids).mean(dim=0), f"the nodes {first_few(ids)} cancel out"))
    if content is not None:
        parts.append(_unit(content, "its content has a zero vector") * (weight if len(ids) else 1.0))
    if without is not None:
        parts.append(-without_weight * _unit(without, "the text to stay away from has a zero vector"))
    return _unit(torch.stack(parts).sum(dim=0), "its parts cancel out").unsqueeze(0)


def check_query(
    ids: Sequence[Any],
    *,
    text: str | None,
    image: object | None,
    without: str | None,
    weight: float = 1.0,
    without_weight: float = 0.5,
) -> None:
    """Check that a query asks for something and does not contradict itself; arguments as in `compose_query`.

    Raises:
        InputError: As `compose_query`.
    """
    _check(list(ids), text, image, without)
    for name, value in (("weight", weight), ("without_weight", without_weight)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"query: {name} must be above 0, got {value}")


def like_ids(like: Any) -> list[Any]:
    """Ids to be like as a list without repeats.

    Raises:
        InputError: If the list is empty.
    """
    if like is None:
        return []
    if isinstance(like, Sequence) and not isinstance(like, str | bytes):
        if not like:
            raise InputError("query: expected at least one id to be like, got an empty list")
        return list(dict.fromkeys(like))
    return [like]


def _check(ids: list[Any], text: str | None, image: object | None, without: str | None) -> None:
    if not ids and text is None and image is None:
        if without is None:
            raise InputError("query: expected a node, a text or an image, got nothing")
        raise InputError(f"query: nothing to take {without!r} away from; give a node, a text or an image too")
    for name, value in (("text", text), ("text to stay away from", without)):
        if value is not None and not value.strip():
            raise InputError(f"query: expected a {name}, got {value!r}")
    if text is not None and without is not None and _folded(text) == _folded(without):
        raise InputError(f"query: {text!r} is asked for and excluded")


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _units(vectors: Tensor, ids: Sequence[Any]) -> Tensor:
    norms = torch.linalg.vector_norm(vectors, dim=1)
    for number, norm in enumerate(norms.tolist()):
        if not (math.isfinite(norm) and norm > 0):
            raise InputError(
                f"query: the vector of node {ids[number]!r} is zero, NaN or infinite, so nothing is like it"
            )
    return normalize(vectors, dim=1)


def _encoded(encoder: QueryEncoder | None, table: EmbeddingTable, text: str | None, image: Path | str | None) -> Tensor:
    """Unit vector of a text, an image or an item with both, `[dim]`."""
    what = " and ".join(repr(str(item)) for item in (text, image) if item is not None)
    if encoder is None:
        raise InputError(f"query: an encoder is needed for {what}, got none")
    found = encoder.encode(None if text is None else [text], None if image is None else [image])[0]
    if found.numel() != table.dim:
        raise InputError(
            f"query: the encoder makes vectors of width {found.numel()}, but those of {table.graph!r} have {table.dim}; "
            "take the model and the level of the table"
        )
    return _unit(found.to(table.vectors.device), f"{what} has a zero vector")


def _unit(vector: Tensor, problem: str) -> Tensor:
    norm = float(torch.linalg.vector_norm(vector))
    if not (math.isfinite(norm) and norm > SMALLEST_NORM):
        raise InputError(f"query: {problem}, so it has no direction to search in")
    return vector / norm
