"""`mmgraph serve`."""

from __future__ import annotations

import os
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note
from mmgraph.cli.parser import make_parser
from mmgraph.errors import InputError, require

API_KEY = "MMGRAPH_API_KEY"


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "serve",
        "Serve embeddings over HTTP: search by text, image, id and combinations, recommendations, neighbours, a map, and a\n"
        "page to do it with. Embeddings alone can be searched by id. New embeddings in the same place are taken over\n"
        f"without a pause. Set ${API_KEY} to ask for a key; without one, keep to 127.0.0.1.",
        "serve --run runs/joint --graph data/openmoji",
        "serve --run runs/joint --graph data/debian --embeddings stores/debian --port 8080",
        "serve --embeddings stores/movielens",
    )
    parser.add_argument("--embeddings", type=Path | None, help="Exported embeddings; computed from --run otherwise.")
    parser.add_argument("--run", type=Path | None, help="Run folder, to encode texts and images.")
    parser.add_argument("--graph", type=Path | None, help="Encoded graph folder, for queries, neighbours and pictures.")
    parser.add_argument("--host", type=str, default="127.0.0.1", help="Address to listen at.")
    parser.add_argument("--port", type=int, default=8000, help="Port to listen at.")
    parser.add_argument("--device", type=str, default="cpu", help="Where models run.")
    parser.add_argument(
        "--reload-seconds", type=float, default=2.0, help="How often to look for new embeddings; 0: never."
    )
    parser.add_argument("--max-k", type=int, default=200, help="Results of one search at most.")
    parser.add_argument("--max-upload-mb", type=float, default=10.0, help="Size of an upload at most, in MB.")
    parser.add_argument("--max-concurrent", type=int, default=64, help="Requests at once; more are answered with 429.")
    parser.add_argument("--timeout", type=float, default=20.0, help="Seconds for a request.")
    return parser


def run(args: Namespace) -> None:
    """Serve until interrupted."""
    for module in ("fastapi", "uvicorn", "multipart", "prometheus_client", "PIL"):
        require(module, extra="serve")
    from mmgraph.serve.index import Sources
    from mmgraph.serve.server import serve
    from mmgraph.serve.settings import Limits

    if not 0 <= args.port < 65536:
        raise InputError(f"--port: expected 0 to 65535, got {args.port}")
    limits = Limits(
        max_k=args.max_k,
        max_upload_bytes=int(args.max_upload_mb * 2**20),
        max_concurrent=args.max_concurrent,
        timeout=args.timeout,
    )
    sources = Sources(args.run, args.graph, args.embeddings, args.device)
    serve(
        sources,
        limits,
        host=args.host,
        port=args.port,
        api_key=os.environ.get(API_KEY) or None,
        reload_seconds=args.reload_seconds,
        note=note,
    )


def kept(args: Namespace) -> str:  # noqa: ARG001
    """Nothing to keep."""
    return "nothing was changed"
