"""What happens to every request before and after its route: key, limits, time, headers, counting."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmgraph.serve.failures import Refusal
from mmgraph.serve.service import Service

_logger = logging.getLogger(__name__)

HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
OPEN = ("/", "/healthz")
"""Paths without a key; so are those below `/static/`."""


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: The application.
        service: Limits, key and metrics.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, read = time.perf_counter(), 500, 0
        limits, metrics = self.service.limits, self.service.metrics
        started, pending = False, _has_body(scope)

        async def receive_counted() -> Message:
            nonlocal read, pending
            message = await receive()
            pending = pending and message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > limits.max_upload_bytes:
                raise Refusal(413, f"expected at most {limits.max_upload_bytes:,} bytes")
            return message

        async def send_safely(message: Message) -> None:
            nonlocal started, status
            if message["type"] == "http.response.start":
                started, status = True, message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if pending:  # the rest of the body is not waited for
                    headers["connection"] = "close"
            await send(message)

        path = scope["path"]
        open_path = path in OPEN or path.startswith("/static/")
        counted = not open_path and path != "/metrics"
        try:
            if not open_path:
                self._check_key(scope)
            _check_length(scope, limits.max_upload_bytes)
            if counted and self._active >= limits.max_concurrent:
                raise Refusal(429, f"{limits.max_concurrent} requests are in work; try again")
            self._active += counted
            metrics.active.set(self._active)
            try:
                async with asyncio.timeout(limits.timeout):
                    await self.app(scope, receive_counted, send_safely)
            finally:
                self._active -= counted
                metrics.active.set(self._active)
        except Refusal as error:
            await _refuse(send_safely, error, started)
        except TimeoutError:
            await _refuse(send_safely, Refusal(504, f"timed out after {limits.timeout:g} s"), started)
        except Exception:
            _logger.exception("%s %s failed", scope["method"], path)
            await _refuse(send_safely, Refusal(500, "internal error"), started)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            metrics.requests.labels(route, str(status)).inc()
            metrics.seconds.labels(route).observe(time.perf_counter() - began)

    def _check_key(self, scope: Scope) -> None:
        key = self.service.api_key
        if key is None:
            return
        given = next((value for name, value in scope["headers"] if name == b"x-api-key"), b"")
        if not hmac.compare_digest(given, key.encode()):
            raise Refusal(401, "expected the right key in the header X-API-Key")


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _check_length(scope: Scope, most: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > most:
            raise Refusal(413, f"expected at most {most:,} bytes, got {int(value):,}")


async def _refuse(send: Send, error: Refusal, started: bool) -> None:
    if started:  # too late for another status
        return
    body = json.dumps({"error": error.message}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status == 429:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
