"""`/nodes`, `/picture`, `/neighbours`, `/map` and `/about`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from mmgraph.errors import unknown_choice
from mmgraph.serve.asking import check_length, node, position_of
from mmgraph.serve.failures import Refusal
from mmgraph.serve.index import Index
from mmgraph.serve.models import About, Edge, MapAnswer, NeighboursAnswer, Node
from mmgraph.serve.routes_search import FAILURES, reply, service_of

router = APIRouter()

MAX_COLOURS = 50
"""What has at most so many values colours the map if all nodes are of one type."""


@router.get("/about", response_model=About, responses=FAILURES, summary="What is served")
async def get_about(request: Request) -> Response:
    """Size and make of the index, and what queries can have."""
    with service_of(request).holder.lend() as index:
        return reply(index.about)


@router.get("/nodes/{id:path}", response_model=Node, responses=FAILURES, summary="One node")
async def get_node(request: Request, id: str) -> Response:
    """A node with its columns."""
    service = service_of(request)
    check_length(service, id=id)
    with service.holder.lend() as index:
        return reply(node(index, position_of(index, id, where="id")))


@router.get(
    "/picture",
    responses={**FAILURES, 200: {"content": {"image/webp": {}}, "description": "The picture."}},
    response_class=Response,
    summary="Picture of a node",
)
async def get_picture(request: Request, id: Annotated[str, Query(description="Id of a node.")]) -> Response:
    """The picture of a node, drawn anew as WebP of at most 512 pixels."""
    service = service_of(request)
    check_length(service, id=id)
    with service.holder.lend() as index:
        position = position_of(index, id, where="id")
        data = index.pictures.cached(position)
        if data is None:
            data = await service.aside(lambda: index.pictures.draw(position))
            if data is None:
                raise Refusal(404, f"id: node {id[:100]!r} has no picture")
            index.pictures.keep(position, data)
    return Response(data, media_type="image/webp", headers={"cache-control": "private, max-age=3600"})


@router.get("/neighbours", response_model=NeighboursAnswer, responses=FAILURES, summary="Surroundings of a node")
async def get_neighbours(
    request: Request,
    id: Annotated[str, Query(description="Id of a node.")],
    hops: Annotated[int, Query(ge=1, description="Number of hops.")] = 1,
    limit: Annotated[int, Query(ge=1, description="Number of nodes at most, the node itself included.")] = 50,
) -> Response:
    """Nodes within some hops of a node over any relation, and all edges between them."""
    service = service_of(request)
    check_length(service, id=id)
    for name, value, most in (
        ("hops", hops, service.limits.max_hops),
        ("limit", limit, service.limits.max_neighbours),
    ):
        if value > most:
            raise Refusal(400, f"{name}: expected 1 to {most}, got {value}")
    with service.holder.lend() as index:
        position = position_of(index, id, where="id")
        return reply(await service.aside(lambda: _neighbours(index, position, hops, limit)))


@router.get("/map", response_model=MapAnswer, responses=FAILURES, summary="All nodes on a plane")
async def get_map(
    request: Request,
    limit: Annotated[int, Query(ge=1, description="Number of nodes at most, evenly spread.")] = 100_000,
    colour_by: Annotated[
        str | None,
        Query(description="`type`, a task with labels or a column that is a category; see `colours` of `/about`."),
    ] = None,
) -> Response:
    """Coordinates of nodes: two principal axes at first, and t-SNE soon after if there are at most 5,000 nodes."""
    service = service_of(request)
    check_length(service, colour_by=colour_by)
    if limit > service.limits.max_map:
        raise Refusal(400, f"limit: expected 1 to {service.limits.max_map}, got {limit}")
    with service.holder.lend() as index:
        name = _colour(index, colour_by)
        while not index.plane.ready.is_set():
            await asyncio.sleep(0.02)
        key = (index.plane.version, limit, name)
        data = index.plane.answers.get(key)
        if data is None:
            data = await service.aside(lambda: _map(index, limit, name))
            if len(index.plane.answers) >= 8:
                index.plane.answers.clear()
            index.plane.answers[key] = data
    return Response(data, media_type="application/json")


def _neighbours(index: Index, position: int, hops: int, limit: int) -> NeighboursAnswer:
    if index.links is None:
        return NeighboursAnswer(nodes=[node(index, position)], edges=[], truncated=False)
    found, truncated = index.links.around(position, hops, limit)
    ids = {place: index.rows[place]["id"] for place in found}
    edges = [Edge(source=ids[a], target=ids[b], relation=name) for a, b, name in index.links.edges_among(found)]
    return NeighboursAnswer(nodes=[node(index, place) for place in found], edges=edges, truncated=truncated)


def _colour(index: Index, wanted: str | None) -> str:
    if wanted is None:
        sizes = index.rows.groupings
        return next((name for name, size in sizes.items() if 1 < size <= MAX_COLOURS), "type")
    if wanted not in index.about.colours:
        raise Refusal(400, str(unknown_choice("colour_by", wanted[:100], index.about.colours)))
    return wanted


def _map(index: Index, limit: int, colour_by: str) -> bytes:
    points, groups = index.plane.points, index.rows.groups(colour_by)
    if points is None:
        raise Refusal(404, "map: there is none; the log of the server says why")
    codes, names = groups
    count = len(points)
    chosen = np.arange(count) if count <= limit else np.linspace(0, count - 1, limit).astype(np.int64)
    answer = MapAnswer(
        ids=index.store.node_ids[chosen].tolist(),
        x=points[chosen, 0].astype(np.float64).round(4).tolist(),
        y=points[chosen, 1].astype(np.float64).round(4).tolist(),
        group=codes[chosen].tolist(),
        groups=names,
        colour_by=colour_by,
    )
    return answer.model_dump_json().encode()
