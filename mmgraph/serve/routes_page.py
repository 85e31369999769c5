"""The page, its files, health and metrics."""

from __future__ import annotations

from functools import cache
from importlib import resources

from fastapi import APIRouter, Request, Response

from mmgraph.serve.failures import Refusal
from mmgraph.serve.models import Health
from mmgraph.serve.routes_search import FAILURES, reply, service_of

router = APIRouter()

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def files() -> dict[str, bytes]:
    """Content of the files of the page by name: a request chooses among these and names no path."""
    folder = resources.files("mmgraph.serve").joinpath("static")
    return {
        item.name: item.read_bytes()
        for item in folder.iterdir()
        if item.is_file() and any(item.name.endswith(kind) for kind in KINDS)
    }


@router.get("/", include_in_schema=False)
async def get_page() -> Response:
    """The page."""
    return _file("index.html")


@router.get("/static/{name}", include_in_schema=False)
async def get_static(name: str) -> Response:
    """A file of the page."""
    return _file(name)


@router.get("/healthz", response_model=Health, summary="Whether the process answers")
async def get_health() -> Response:
    """Always ok."""
    return reply(Health())


@router.get("/metrics", responses=FAILURES, response_class=Response, summary="Counters for Prometheus")
async def get_metrics(request: Request) -> Response:
    """Requests by route and status, latencies, batch sizes, generation and nodes of the index."""
    return Response(service_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _file(name: str) -> Response:
    data = files().get(name)
    if data is None:
        raise Refusal(404, "no such file")
    return Response(data, media_type=KINDS["." + name.rsplit(".", 1)[1]], headers={"cache-control": "no-cache"})
