"""The process: uvicorn, signals, and what is said at the start."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

import uvicorn

from mmgraph.errors import InputError
from mmgraph.serve.app import make_app
from mmgraph.serve.index import Sources
from mmgraph.serve.service import Service
from mmgraph.serve.settings import Limits


class Server(uvicorn.Server):
    """Uvicorn that reloads the index at SIGHUP."""

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Listen, and look out for SIGHUP."""
        await super().startup(sockets)  # type: ignore[arg-type]
        service: Service = self.config.app.state.service  # type: ignore[union-attr]
        loop, running = asyncio.get_running_loop(), set[asyncio.Task[bool]]()

        def reload() -> None:
            task = loop.create_task(service.holder.reload())
            running.add(task)
            task.add_done_callback(running.discard)

        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, reload)


def serve(
    sources: Sources,
    limits: Limits,
    *,
    host: str,
    port: int,
    api_key: str | None,
    reload_seconds: float,
    note: Callable[[str], None],
) -> None:
    """Load, listen, and answer until the process is told to stop.

    Args:
        sources: What is served.
        limits: What requests may ask for.
        host: Address to listen at.
        port: Port to listen at.
        api_key: What requests must send.
        reload_seconds: How often to look for new embeddings.
        note: Says something to the user.

    Raises:
        InputError: If the address is taken or not ours, or something cannot be loaded.
    """
    with _bound(host, port) as listener:  # before loading, which takes long
        _serve(sources, limits, listener, api_key=api_key, reload_seconds=reload_seconds, note=note)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"--host {host} --port {port}: cannot listen there: {reason}") from None
    return listener


def _serve(
    sources: Sources,
    limits: Limits,
    listener: socket.socket,
    *,
    api_key: str | None,
    reload_seconds: float,
    note: Callable[[str], None],
) -> None:
    host, port = listener.getsockname()[:2]
    app = make_app(sources, limits=limits, api_key=api_key, reload_seconds=reload_seconds)
    logging.getLogger("mmgraph.serve").setLevel(logging.INFO)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every malformed form
    if api_key is None and host not in ("127.0.0.1", "::1"):
        note(f"anybody who reaches {host}:{port} can ask: there is no key")
    shown = f"[{host}]" if ":" in host else host
    note(f"serving on http://{shown}:{port} (stop: Ctrl-C)")
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=64 * 1024,
    )
    Server(config).run(sockets=[listener])
