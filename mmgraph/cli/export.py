"""`mmgraph export` and `mmgraph embed`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_line
from mmgraph.cli.parser import LevelName, add_engine_flags, make_parser
from mmgraph.export.formats import FORMATS


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "export",
        "Compute the embedding of every node of a graph, layer by layer in bounded memory, and write it with ids,\n"
        "types and columns. parquet, graphml and gexf are one file; all others are a folder with ids.parquet and\n"
        "manifest.json. faiss, faiss-hnsw, faiss-ivfpq, usearch, lancedb, duckdb and qdrant are searched in place.",
        "export --run runs/joint --graph data/openmoji --to parquet --out openmoji.parquet",
        "export --run runs/joint --graph data/openmoji --to lancedb --out stores/openmoji --upsert",
        "export --run runs/joint --graph data/openmoji --to qdrant --url http://localhost:6333 --out stores/openmoji",
    )
    parser.add_argument("--run", type=Path, required=True, help="Run folder, made by: mmgraph pretrain.")
    parser.add_argument("--graph", type=Path, required=True, help="Encoded graph folder.")
    parser.add_argument("--to", type=Literal[tuple(FORMATS)], default="parquet", help="Format.")
    parser.add_argument("--out", type=Path, required=True, help="File or folder to write.")
    parser.add_argument(
        "--level",
        type=LevelName,
        default="last",
        help="The embedding; with a tenth of the content and its neighbourhood added; beside the raw text, for hybrid\n"
        "search; or all levels side by side.",
    )
    parser.add_argument("--device", type=str, default="cpu", help="Where the model runs.")
    parser.add_argument(
        "--work",
        type=Path | None,
        help="Folder for levels in files instead of in memory; the command goes on there after a kill, with either\n"
        "engine, and removes it at the end. Default: a folder beside --out if vectors and edges of a model made of\n"
        "layers would take more than 2 GiB.",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace what is there.")
    parser.add_argument(
        "--upsert", action="store_true", help="Add to what is there: known ids get new vectors, new ids are appended."
    )
    parser.add_argument(
        "--url",
        type=str | None,
        help="Server, for qdrant; the collection has the name of --out, the key is $QDRANT_API_KEY.",
    )
    add_engine_flags(parser)
    return parser


def run(args: Namespace) -> None:
    """Embed, write and print where."""
    from mmgraph.errors import InputError

    if args.overwrite and args.upsert:
        raise InputError("export: expected --overwrite or --upsert, got both")
    if args.out.exists() and not (args.overwrite or args.upsert):
        raise InputError(f"{args.out} already exists; give another --out, --overwrite or --upsert")
    from mmgraph.data.store import load_graph
    from mmgraph.engines.registry import make_engine
    from mmgraph.export.base import check_format, write_table
    from mmgraph.inference.embed import embed
    from mmgraph.inference.sweep import needs_sweep, sweep
    from mmgraph.training.loading import load_model

    kind = check_format(args.to)  # before the work, not after it
    engine = make_engine(args.engine, workers=args.workers, device=args.device)
    graph = load_graph(args.graph, mmap="read")
    encoder = load_model(args.run, device=args.device, graph=graph)
    work = args.work
    if work is None and needs_sweep(encoder, graph):
        work = _default_work(args)
    with engine:
        if work is None:
            table = embed(encoder, graph, device=args.device, level=args.level, engine=engine)
        else:
            table = sweep(encoder, graph, work, device=args.device, level=args.level, engine=engine)
    options = {"url": args.url, "graph": graph if "graph" in kind.options else None}
    write_table(table, args.out, format=args.to, overwrite=args.overwrite, upsert=args.upsert, **options)
    if work is not None:
        shutil.rmtree(work)  # the vectors were mapped from there until now
    write_line(repr(table))
    write_line(str(args.out))


def kept(args: Namespace) -> str:
    """Nothing is half-written; levels in files are kept."""
    work = args.work or _default_work(args)
    found = f", what is embedded so far is kept in {work}" if (work / "journal.jsonl").exists() else ""
    return f"{args.out} is as before{found}; run the same command again"


def _default_work(args: Namespace) -> Path:
    out: Path = args.out
    return out.with_name(f".{out.name}.levels")
