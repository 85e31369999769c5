"""What is refused, how early, and with which status."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib

import PIL.Image
import pytest

from mmgraph.data.store import load_graph
from mmgraph.errors import InputError
from mmgraph.export.base import open_store
from mmgraph.serve.guard import Guard
from mmgraph.serve.settings import Limits
from mmgraph.serve.uploads import header_size

MIB = 2**20


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def drawn(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (20, 10), "red").save(buffer, kind, **options)
    return buffer.getvalue()


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
NOISE = io.BytesIO()
PIL.Image.effect_noise((50, 50), 90).save(NOISE, "PNG")
BMP, TIFF, PDF = drawn("BMP"), drawn("TIFF"), b"%PDF-1.7 ..."
BLUE = PIL.Image.new("RGB", (20, 10), "blue")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (drawn("PNG"), 200),
        (drawn("JPEG"), 200),
        (drawn("WEBP"), 200),
        (drawn("GIF", save_all=True, append_images=[BLUE]), 200),
        (SVG, 415),
        (BMP, 415),
        (TIFF, 415),
        (PDF, 415),
        (b"a picture, honestly", 415),
        (b"\x89PNG\r\n\x1a\n", 415),
        (NOISE.getvalue()[:1000], 415),
        (drawn("JPEG")[:200], 415),
        (b"GIF89a" + b"\0" * 20, 415),
        (png_header(40_000, 40_000), 413),
        (png_header(2**31 - 1, 2**31 - 1), 413),
        (png_header(0, 5), 415),
        (b"", 400),
    ],
)
def test_images_are_told_by_their_content(client, data, status) -> None:
    reply = client.post("/search", files={"image": ("picture.png", data, "image/png")})
    assert reply.status_code == status, reply.text
    if status != 200:
        assert "mmgraph-serve" not in reply.text
    assert list(client.app.state.service.folder.iterdir()) == []


def test_pixels_are_counted_before_decoding(limited) -> None:
    client = limited(max_pixels=199)
    assert client.post("/search", files={"image": drawn("PNG")}).json() == {
        "error": "image: expected at most 199 pixels, got 20 x 10"
    }
    assert limited(max_pixels=200).post("/search", files={"image": drawn("PNG")}).status_code == 200


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"save_all": True, "append_images": [BLUE]}])
def test_the_size_of_a_webp_is_read_from_its_header(options) -> None:
    data = drawn("WEBP", **options)
    assert header_size(io.BytesIO(data)) == (20, 10)
    for cut in (12, 20, 25):
        with pytest.raises(InputError, match="WebP"):
            header_size(io.BytesIO(data[:cut]))
    huge = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6 + b"\0\0"
    assert header_size(io.BytesIO(huge)) == (2**24, 2**24)


def test_a_gif_gives_its_first_frame(client) -> None:
    red, blue = drawn("GIF"), io.BytesIO()
    BLUE.save(blue, "GIF")
    animated = drawn("GIF", save_all=True, append_images=[BLUE])
    hits = [
        [hit["id"] for hit in client.post("/search", files={"image": data}).json()["hits"]]
        for data in (animated, red, blue.getvalue())
    ]
    assert hits[0] == hits[1]


@pytest.mark.parametrize("announced", [True, False])
def test_uploads_are_cut_off_at_the_limit(limited, announced) -> None:
    client = limited(max_upload_bytes=MIB)
    read = 0

    def body():
        nonlocal read
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        for _ in range(1024):
            read += MIB
            yield b"\0" * MIB

    kind = {"content-type": "multipart/form-data; boundary=x"}
    if announced:
        reply = client.post("/search", content=b"", headers={**kind, "content-length": str(2**30)})
        assert reply.status_code == 413
        return

    async def ask() -> list:
        """As a server passes on what arrives, so that what is not asked for is not read."""
        parts, sent = body(), []

        async def receive():
            return {"type": "http.request", "body": next(parts), "more_body": True}

        async def send(message) -> None:
            sent.append(message)

        headers = [(b"transfer-encoding", b"chunked"), (b"content-type", kind["content-type"].encode())]
        scope = {"type": "http", "method": "POST", "path": "/search", "query_string": b"", "headers": headers}
        await client.app({**scope, "http_version": "1.1", "scheme": "http", "raw_path": b"/search"}, receive, send)
        return sent

    start = client.portal.call(ask)[0]
    assert start["status"] == 413
    assert (b"connection", b"close") in start["headers"]
    assert read <= 3 * MIB
    assert list(client.app.state.service.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "query", "status", "words"),
    [
        ("/search", {}, 400, "expected a node, a text or an image"),
        ("/search", {"text": " "}, 400, "expected a text"),
        ("/search", {"not": "red"}, 400, "nothing to take 'red' away from"),
        ("/search", {"text": "red", "not": "Red "}, 400, "asked for and excluded"),
        ("/search", {"id": "n0001", "text": "red"}, 400, "expected id alone"),
        ("/search", {"id": "n0001", "like": "n0002"}, 400, "expected id alone"),
        ("/search", {"like": "n0002"}, 400, "like needs text"),
        ("/search", {"text": "x" * 2001}, 400, "at most 2,000 characters"),
        ("/search", {"text": "red", "k": 201}, 400, "expected 1 to 200, got 201"),
        ("/search", {"text": "red", "k": 0}, 422, "k: "),
        ("/search", {"text": "red", "k": "many"}, 422, "k: "),
        ("/search", {"text": "red", "k": "1e400"}, 422, "k: "),
        ("/search", {"text": "red", "type": "usr"}, 400, "choose from: user, item"),
        ("/search", {"id": "nobody"}, 404, "no node has the id 'nobody'"),
        ("/search", {"like": "nobody", "text": "red"}, 404, "like: no node has the id"),
        ("/similar", {}, 422, "id: "),
        ("/similar", {"id": "n0001", "where": "x" * 2001}, 400, "at most 2,000 characters"),
        ("/similar", {"id": "\0"}, 404, "no node"),
        ("/nodes/nobody", {}, 404, "no node"),
        ("/nodes/" + "x" * 3000, {}, 400, "at most 2,000 characters"),
        ("/picture", {"id": "../../etc/passwd"}, 404, "no node"),
        ("/neighbours", {"id": "n0001", "hops": 4}, 400, "expected 1 to 3"),
        ("/neighbours", {"id": "n0001", "limit": 501}, 400, "expected 1 to 500"),
        ("/neighbours", {"id": "n0001", "hops": 0}, 422, "hops"),
        ("/map", {"limit": 100_001}, 400, "expected 1 to 100000"),
        ("/map", {"colour_by": "links"}, 400, "unknown colour_by 'links'; choose from: "),
    ],
)
def test_questions_that_are_refused(client, path, query, status, words) -> None:
    reply = client.get(path, params=query)
    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error"]
    assert words in reply.json()["error"]


def test_unknown_parameters_are_ignored(client) -> None:
    assert client.get("/similar", params={"id": "n0001", "utm_source": "x", "path": "/etc"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"history": []}, 422),
        ({"history": ["n0001"] * 501}, 400),
        ({"history": ["n0001", "nobody"]}, 404),
        ({"history": ["n0001", None]}, 422),
        ({"history": ["n0001", 1.5]}, 422),
        ({"history": "n0001"}, 422),
        ({"history": ["n0001"], "k": 0}, 422),
        ({"history": ["n0001"], "k": 1000}, 400),
        ({"history": ["n0001"], "type": "nothing"}, 400),
        ({}, 422),
        ([], 422),
    ],
)
def test_histories_that_are_refused(client, body, status) -> None:
    reply = client.post("/recommend", json=body)
    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"text=red", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
        (b"text", "multipart/form-data"),
        (b"--x\r\nContent-Disposition: nonsense\r\n\r\nred\r\n--x--", "multipart/form-data; boundary=x"),
    ],
)
def test_bodies_that_are_malformed(client, content, kind) -> None:
    reply = client.post("/search", content=content, headers={"content-type": kind})
    assert reply.status_code == 422, reply.text
    assert client.post("/recommend", content=b"{", headers={"content-type": "application/json"}).status_code == 422


def test_forms_check_their_numbers_and_files(client) -> None:
    for form in ({"k": "0"}, {"k": "-1"}, {"k": "²"}, {"k": "1" * 30}, {"image": "text"}):
        reply = client.post("/search", data={"text": "red", **form}, files={"other": b"x"})
        assert reply.status_code == 422, (form, reply.text)
    many = [("image", drawn("PNG"))] * 2
    assert client.post("/search", files=many).status_code == 422


def test_a_key_is_asked_for(limited) -> None:
    client = limited(api_key="sésame")
    for path in ("/", "/healthz", "/static/index.html"):
        assert client.get(path).status_code == 200
    for path in ("/about", "/metrics", "/map", "/search?text=red", "/nodes/n0001", "/openapi.json", "/nowhere"):
        reply = client.get(path)
        assert (reply.status_code, reply.json()) == (401, {"error": "expected the right key in the header X-API-Key"})
        assert client.get(path, headers={"X-API-Key": "wrong"}).status_code == 401
    assert client.get("/about", headers={"X-API-Key": "sésame".encode()}).status_code == 200
    reply = client.post("/search", content=b"x" * 100, headers={"X-API-Key": ""})
    assert reply.status_code == 401


def call(app, path: str, query: str = "") -> asyncio.Task:
    async def one() -> int:
        status = 0

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message) -> None:
            nonlocal status
            status = message.get("status", status)

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "headers": []}
        await app({**scope, "http_version": "1.1", "scheme": "http", "query_string": query.encode()}, receive, send)
        return status

    return asyncio.create_task(one())


def test_too_many_and_too_slow(client, monkeypatch) -> None:
    service = client.app.state.service
    limits = Limits(max_concurrent=3, timeout=0.2)

    async def slow(scope, receive, send) -> None:
        if scope["path"] != "/healthz":
            await asyncio.sleep(0.1 if scope["query_string"] == b"short" else 5)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        guard = Guard(slow, service)
        waiting = [call(guard, "/about", "long") for _ in range(2)] + [call(guard, "/about", "short")]
        await asyncio.sleep(0.01)
        assert await call(guard, "/about") == 429
        assert await call(guard, "/healthz") == 200
        assert await asyncio.gather(*waiting) == [504, 504, 200]
        assert await call(guard, "/about", "short") == 200  # places are given back

    monkeypatch.setattr(service, "limits", limits)
    asyncio.run(run())


def test_a_filter_finds_what_the_store_finds_with_it(client, workspace) -> None:
    where, graph = 'type = "item" and within 1 of "n0001"', load_graph(workspace.graph)
    reply = client.get("/similar", params={"id": "n0001", "k": 50, "where": where})
    found = [hit["id"] for hit in reply.json()["hits"]]
    with open_store(workspace.store) as store:
        all_that_fit = store.search(store.vectors(["n0001"]), 50, where=where, graph=graph).ids()[0]
    assert found == [node for node in all_that_fit if node != "n0001"]
    assert 0 < len(found) < len(graph.node_ids) - 1


def test_wrong_filters_say_what_was_expected(client) -> None:
    for where, found in (("(((", "expected"), ("price < 3", "unknown column 'price'"), ("within 2 of 'x'", "")):
        reply = client.get("/similar", params={"id": "n0001", "where": where})
        assert reply.status_code == 400
        assert found in reply.json()["error"]
