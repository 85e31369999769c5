"""From the words of a request to a question, and from what is found to an answer."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from mmgraph.errors import InputError, unknown_choice
from mmgraph.export.queries import id_from_text
from mmgraph.inference.compose import check_query
from mmgraph.serve.encoding import Content, Encoded
from mmgraph.serve.failures import Refusal
from mmgraph.serve.finding import Found, Question
from mmgraph.serve.index import Index
from mmgraph.serve.models import Because, Hit, Node, RecommendAnswer, Recommended, SearchAnswer
from mmgraph.serve.service import Service
from mmgraph.serve.uploads import check_image

REASONS = 3
"""Items of a history that are named for each recommendation."""

A = TypeVar("A", bound=BaseModel)


@dataclass(frozen=True)
class Asked:
    """Fields of a search as they came."""

    k: int
    id: str | None = None
    like: str | None = None
    text: str | None = None
    without: str | None = None
    image: bytes | None = None
    node_type: str | None = None
    where: str | None = None


def position_of(index: Index, text: str | int, *, where: str) -> int:
    """Row of a node.

    Raises:
        Refusal: 404 if there is no such node; 400 if ids are integers and the text is not.
    """
    try:
        node = id_from_text(index.store, text, where=where) if isinstance(text, str) else text
    except InputError as error:
        raise Refusal(400, str(error)) from None
    found = index.place.get(node)
    if found is None:
        raise Refusal(404, f"{where}: no node has the id {str(node)[:100]!r}")
    return found


async def search(service: Service, index: Index, asked: Asked) -> SearchAnswer:
    """Answer `/search` and `/similar`."""
    began = time.perf_counter()
    _check(service, index, asked)
    if (image := asked.image) is not None:  # a header can be long
        await service.aside(lambda: check_image(image, max_pixels=service.limits.max_pixels))
    like: tuple[int, ...] = ()
    for name, value in (("id", asked.id), ("like", asked.like)):
        if value is not None:
            like = (position_of(index, value, where=name),)
    content = without = None
    if asked.text is not None or asked.image is not None:
        content = await _encode(service, index, asked.text, asked.image)
    if asked.without is not None:
        without = await _encode(service, index, asked.without, None)
    found = await service.find(
        Question(index, asked.k, like, content, without, node_type=asked.node_type, where=asked.where)
    )
    hits = [Hit(**_shown(index, found, rank)) for rank in range(len(found.positions))]
    return SearchAnswer(hits=hits, took_ms=_milliseconds(began))


async def recommend(
    service: Service, index: Index, history: Sequence[int | str], k: int, node_type: str | None, where: str | None
) -> RecommendAnswer:
    """Answer `/recommend`: nodes near the mean of the history."""
    began = time.perf_counter()
    if len(history) > service.limits.max_history:
        raise Refusal(400, f"history: expected at most {service.limits.max_history} ids, got {len(history)}")
    check_common(service, index, k, node_type, where)
    positions = tuple(dict.fromkeys(position_of(index, node, where="history") for node in history))
    found = await service.find(Question(index, k, positions, node_type=node_type, where=where, shares=True))
    hits = []
    for rank in range(len(found.positions)):
        shares = found.shares[rank]
        best = [n for n in np.argsort(-shares, kind="stable")[:REASONS].tolist() if shares[n] > 0]
        because = [Because(id=index.rows[positions[n]]["id"], share=round(float(shares[n]), 4)) for n in best]
        hits.append(Recommended(**_shown(index, found, rank), because=because))
    return RecommendAnswer(hits=hits, took_ms=_milliseconds(began))


def node(index: Index, position: int) -> Node:
    """A node as answers show it."""
    degree = 0 if index.links is None else index.links.degree(position)
    return Node(**index.rows[position], has_picture=index.pictures.has(position), degree=degree)


def check_common(service: Service, index: Index, k: int, node_type: str | None, where: str | None) -> None:
    """Check what all searches have.

    Raises:
        Refusal: 400.
    """
    if not 1 <= k <= service.limits.max_k:
        raise Refusal(400, f"k: expected 1 to {service.limits.max_k}, got {k}")
    if node_type is not None and node_type not in index.about.node_types:
        raise Refusal(400, str(unknown_choice("node type", node_type[:100], index.about.node_types)))
    check_length(service, where=where)


def check_length(service: Service, **texts: str | None) -> None:
    """Refuse long texts.

    Raises:
        Refusal: 400.
    """
    for name, text in texts.items():
        if text is not None and len(text) > service.limits.max_text:
            raise Refusal(400, f"{name}: expected at most {service.limits.max_text:,} characters, got {len(text):,}")


def _check(service: Service, index: Index, asked: Asked) -> None:
    check_common(service, index, asked.k, asked.node_type, asked.where)
    check_length(service, **{"id": asked.id, "like": asked.like, "text": asked.text, "not": asked.without})
    changes = asked.text is not None or asked.image is not None or asked.without is not None
    if asked.id is not None and (changes or asked.like is not None):
        raise Refusal(400, "search: expected id alone; to change a node's query give like")
    if asked.like is not None and not changes:
        raise Refusal(400, "search: like needs text, image or not; for the neighbours of a node give id")
    like = [] if asked.id is None and asked.like is None else [asked.id or asked.like]
    try:
        check_query(like, text=asked.text, image=asked.image, without=asked.without)
    except InputError as error:
        raise Refusal(400, str(error)) from None
    for name, value in (("text", asked.text or asked.without), ("image", asked.image)):
        if value is not None and name not in index.about.modalities:
            known = ", ".join(index.about.modalities) or "ids only"
            raise Refusal(400, f"{name}: queries cannot have it here; they can have: {known}")


async def _encode(service: Service, index: Index, text: str | None, image: bytes | None) -> Encoded:
    if image is None:
        return await service.encode(Content(index, text))
    path = Path(service.folder / secrets.token_hex(16))
    # Encoders read files; this one has a name of ours and goes at once.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(image)
        return await service.encode(Content(index, text, path))
    finally:
        path.unlink(missing_ok=True)


def _shown(index: Index, found: Found, rank: int) -> dict[str, Any]:
    position = found.positions[rank]
    return {
        **index.rows[position],
        "score": round(found.scores[rank], 6),
        "has_picture": index.pictures.has(position),
        "parts": found.parts[rank],
    }


def _milliseconds(began: float) -> float:
    return round(1000 * (time.perf_counter() - began), 2)
