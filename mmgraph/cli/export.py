"""`mmgraph export` and `mmgraph embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_line
from mmgraph.cli.parser import make_parser


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "export",
        "Compute the embedding of every node of a graph, layer by layer in bounded memory, and write it with ids,\n"
        "types and columns. parquet is one file; npy is a folder with vectors.npy, ids.parquet and manifest.json.",
        "export --run runs/joint --graph data/openmoji --to parquet --out openmoji.parquet",
    )
    parser.add_argument("--run", type=Path, required=True, help="Run folder, made by: mmgraph pretrain.")
    parser.add_argument("--graph", type=Path, required=True, help="Encoded graph folder.")
    parser.add_argument("--to", type=Literal["parquet", "npy"], default="parquet", help="Format.")
    parser.add_argument("--out", type=Path, required=True, help="File or folder to write.")
    parser.add_argument(
        "--level",
        type=Literal["last", "blend", "all"],
        default="last",
        help="The embedding; with a tenth of the content and its neighbourhood added; or all levels side by side.",
    )
    parser.add_argument("--device", type=str, default="cpu", help="Where the model runs.")
    parser.add_argument("--overwrite", action="store_true", help="Replace what is there.")
    return parser


def run(args: Namespace) -> None:
    """Embed, write and print where."""
    from mmgraph.errors import InputError

    if args.out.exists() and not args.overwrite:
        raise InputError(f"{args.out} already exists; give another --out or --overwrite")
    from mmgraph.data.store import load_graph
    from mmgraph.export.base import write_table
    from mmgraph.inference.embed import embed
    from mmgraph.training.evaluate import load_run_encoder

    graph = load_graph(args.graph)
    encoder = load_run_encoder(args.run, device=args.device, graph=graph)
    table = embed(encoder, graph, device=args.device, level=args.level)
    write_table(table, args.out, format=args.to, overwrite=args.overwrite)
    write_line(repr(table))
    write_line(str(args.out))


def kept(args: Namespace) -> str:
    """Nothing is half-written."""
    return f"{args.out} is as before; run the same command again"
