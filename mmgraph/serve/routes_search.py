"""`/search`, `/similar` and `/recommend`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from mmgraph.serve.asking import Asked, recommend, search
from mmgraph.serve.failures import Refusal
from mmgraph.serve.models import Failure, RecommendAnswer, RecommendRequest, SearchAnswer
from mmgraph.serve.service import Service

router = APIRouter()

_MEANING = {
    400: "What is asked for is wrong or beyond a limit.",
    401: "The key is missing or wrong.",
    404: "No such node.",
    413: "The body, or the image, is too large.",
    415: "The file is no PNG, JPEG, WebP or GIF.",
    422: "A field is malformed.",
    429: "Too many requests at once.",
    504: "Timed out.",
}
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": text} for status, text in _MEANING.items()
}

FIELDS: dict[str, str] = {
    "text": "Text to look for.",
    "id": "Id of a node, alone: find nodes near it.",
    "like": "Id of a node that text, image or not change.",
    "not": "Text to stay away from.",
    "k": "Number of hits.",
    "type": "Find nodes of this type only.",
    "where": "Filter over ids, types and columns.",
}

K = Annotated[int, Query(ge=1, description=FIELDS["k"])]
Type = Annotated[str | None, Query(description=FIELDS["type"])]
Where = Annotated[str | None, Query(description=FIELDS["where"])]

_FORM = {
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        **{name: {"type": "string", "description": text} for name, text in FIELDS.items()},
                        "k": {"type": "integer", "minimum": 1, "default": 10, "description": FIELDS["k"]},
                        "image": {
                            "type": "string",
                            "format": "binary",
                            "description": "PNG, JPEG, WebP or GIF, of which the first frame is taken.",
                        },
                    },
                }
            }
        },
        "required": True,
    }
}


def service_of(request: Request) -> Service:
    """The service of the application."""
    found: Service = request.app.state.service
    return found


@router.get("/search", response_model=SearchAnswer, responses=FAILURES, summary="Find nodes by id or text")
async def get_search(
    request: Request,
    text: Annotated[str | None, Query(description=FIELDS["text"])] = None,
    id: Annotated[str | None, Query(description=FIELDS["id"])] = None,
    like: Annotated[str | None, Query(description=FIELDS["like"])] = None,
    without: Annotated[str | None, Query(alias="not", description=FIELDS["not"])] = None,
    k: K = 10,
    type: Type = None,
    where: Where = None,
) -> Response:
    """Nodes nearest to a node, or to a text; or like a node, but with one text and without another."""
    service = service_of(request)
    with service.holder.lend() as index:
        return reply(await search(service, index, Asked(k, id, like, text, without, None, type, where)))


@router.post(
    "/search",
    response_model=SearchAnswer,
    responses=FAILURES,
    summary="Find nodes by id, text or image",
    openapi_extra=_FORM,
)
async def post_search(request: Request) -> Response:
    """As `GET /search`, with an image too. The body is counted while it is read."""
    service = service_of(request)
    asked = await _read_form(request)
    with service.holder.lend() as index:
        return reply(await search(service, index, asked))


@router.get("/similar", response_model=SearchAnswer, responses=FAILURES, summary="Find nodes near a node")
async def get_similar(
    request: Request,
    id: Annotated[str, Query(description="Id of a node.")],
    k: K = 10,
    type: Type = None,
    where: Where = None,
) -> Response:
    """Nodes nearest to a node, which is left out."""
    service = service_of(request)
    with service.holder.lend() as index:
        return reply(await search(service, index, Asked(k, id, node_type=type, where=where)))


@router.post("/recommend", response_model=RecommendAnswer, responses=FAILURES, summary="Recommend from a history")
async def post_recommend(request: Request, body: RecommendRequest) -> Response:
    """Nodes near the mean of a history, with the items that each rests on."""
    service = service_of(request)
    with service.holder.lend() as index:
        return reply(await recommend(service, index, body.history, body.k, body.type, body.where))


def reply(answer: Any) -> Response:
    """A model as JSON; NaN and infinity as `null`."""
    return Response(answer.model_dump_json(), media_type="application/json")


async def _read_form(request: Request) -> Asked:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Refusal(422, f"body: expected multipart/form-data, got {kind or 'no content type'}")
    fields: dict[str, str] = {}
    image: bytes | None = None
    try:
        async with request.form(max_files=1, max_fields=20) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    if name == "image":
                        image = await value.read()
                elif name == "image":
                    raise Refusal(422, "image: expected a file, got a text")
                else:
                    fields[name] = value
    except HTTPException as error:  # into which Starlette turns the errors of its parser
        raise Refusal(422, f"body: {error.detail}") from None
    k = fields.get("k", "10")
    if not (k.isascii() and k.isdigit() and len(k) < 10 and int(k) >= 1):
        raise Refusal(422, f"k: expected a whole number from 1, got {k[:50]!r}")
    given = {name: value or None for name, value in fields.items()}  # forms send empty fields too
    return Asked(
        int(k),
        given.get("id"),
        given.get("like"),
        given.get("text"),
        given.get("not"),
        image or None,
        given.get("type"),
        given.get("where"),
    )
