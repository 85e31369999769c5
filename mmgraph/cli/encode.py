"""`mmgraph encode`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_line, write_table
from mmgraph.cli.parser import add_engine_flags, make_parser


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "encode",
        "Turn the texts and images of a graph folder into features with frozen encoders, once.\n"
        "The folder holds nodes.csv or nodes.parquet (id, type, text, image) and edges.csv or edges.parquet\n"
        "(source, target, relation). The result is written to its subfolder encoded/.",
        "encode --graph data/shop --text minilm --image efficientnet-lite0",
        "encode --graph data/shop --image openclip:ViT-B-32@checkpoint.pt --on-unknown drop",
        "encode --graph data/shop --engine ray --workers 8",
    )
    parser.add_argument("--graph", type=Path, required=True, help="Graph folder.")
    parser.add_argument(
        "--text", type=str | None, default=None, help='Text encoder; "none" leaves texts out. Default: minilm.'
    )
    parser.add_argument(
        "--image",
        type=str | None,
        default=None,
        help='Image encoder; "none" leaves images out. Default: efficientnet-lite0.',
    )
    parser.add_argument(
        "--dtype",
        type=Literal["float32", "float16", "int8"],
        default="float32",
        help="Type of the features; int8 has a scale per row. The cache keeps float32, so another type is cheap later.",
    )
    parser.add_argument("--cache", type=Path | None, help="Folder of the encoding cache.")
    parser.add_argument("--device", type=str, default="cpu", help="Where the encoders run, for example cpu or cuda.")
    parser.add_argument("--batch-size", type=int, default=64, help="Items per forward pass of an encoder.")
    parser.add_argument(
        "--on-unknown",
        type=Literal["error", "drop"],
        default="error",
        help="What to do with edges to ids that no node has.",
    )
    parser.add_argument("--name", type=str | None, help="Name of the graph, by default the one the folder gives.")
    add_engine_flags(parser)
    return parser


def run(args: Namespace) -> None:
    """Encode the folder and print what came out."""
    from mmgraph.encoders.folder import encode_folder
    from mmgraph.engines.registry import make_engine

    with make_engine(args.engine, workers=args.workers, device=args.device) as engine:
        graph, report = encode_folder(
            args.graph,
            encoders={"text": args.text, "image": args.image},
            cache=args.cache,
            device=args.device,
            batch_size=args.batch_size,
            on_unknown=args.on_unknown,
            name=args.name,
            dtype=args.dtype,
            engine=engine,
        )
    rows = [
        [
            name,
            part["encoder"],
            part["items"],
            part["encoded"],
            part["from_cache"],
            part["duplicates"],
            part["truncated"],
            len(part["quarantined"]),
        ]
        for name, part in report.items()
    ]
    write_table(
        ["modality", "encoder", "items", "encoded", "from cache", "duplicates", "truncated", "quarantined"], rows
    )
    for name, part in report.items():
        for item, reason in part["quarantined"][:5]:
            note(f"quarantined {name} of {item}: {reason}")
    write_line(repr(graph))
    write_line(str(args.graph / "encoded"))


def kept(args: Namespace) -> str:
    """Encodings stay in the cache."""
    return f"encodings so far are kept in the cache, {args.graph / 'encoded'} is as before; run the same command again"
