"""The application: routes, errors and the life of the index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mmgraph.serve.failures import Refusal, one_line
from mmgraph.serve.guard import Guard
from mmgraph.serve.holder import Holder
from mmgraph.serve.index import Index, Sources, load_index
from mmgraph.serve.routes_nodes import router as nodes
from mmgraph.serve.routes_page import router as page
from mmgraph.serve.routes_search import router as search
from mmgraph.serve.service import Service
from mmgraph.serve.settings import Limits
from mmgraph.versions import installed_version


def make_app(
    sources: Sources,
    *,
    limits: Limits | None = None,
    api_key: str | None = None,
    reload_seconds: float = 2.0,
    load: Callable[[Sources, Limits, Index | None], Index] = load_index,
) -> FastAPI:
    """Make the application; the index is loaded here, so that what is wrong is said before anything listens.

    Args:
        sources: What is served.
        limits: What requests may ask for.
        api_key: What requests must send as `X-API-Key`.
        reload_seconds: How often to look for new embeddings; 0 for never.
        load: Loads an index.

    Raises:
        InputError: If something cannot be loaded.
    """
    limits = Limits() if limits is None else limits
    holder = Holder(lambda before: load(sources, limits, before), sources.embeddings)
    first = load(sources, limits, None)
    service = Service(holder, limits, api_key=api_key, reload_seconds=reload_seconds)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await service.start(first)
        yield
        await service.stop()

    app = FastAPI(
        title="mmgraph serve",
        summary="Search, recommendations, neighbourhoods and a map of the nodes of a multimodal graph.",
        version=installed_version("mmgraph") or "0",
        lifespan=life,
        docs_url=None,  # the page that FastAPI would show loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    for router in (search, nodes, page):
        app.include_router(router)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Guard, service=service)
    return app


def _answer(status: int, message: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": one_line(message)}, status_code=status, headers=headers)


async def _refused(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    assert isinstance(error, Refusal)
    return _answer(error.status, error.message)


async def _malformed(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("query", "body", "path"))
    return _answer(422, f"{place or 'request'}: {first['msg']}")


async def _http(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    assert isinstance(error, HTTPException)
    return _answer(error.status_code, str(error.detail), error.headers)
