"""`mmgraph synthetic`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_line, write_table
from mmgraph.cli.parser import make_parser
from mmgraph.config import from_mapping, read_mapping
from mmgraph.errors import InputError
from mmgraph.files import read_json


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "synthetic",
        "Write a graph of which the truth is known, of any size, with tasks and the best scores that any method can\n"
        "reach on them. planted: communities that texts, images and links show in part. user-item: users choose items\n"
        "by taste and popularity.",
        "synthetic --nodes 1000000 --edges 10000000 --out data/million",
        "synthetic --kind user-item --config tastes.yaml --out data/tastes",
    )
    parser.add_argument("--out", type=Path, required=True, help="Folder to create.")
    parser.add_argument("--kind", type=Literal["planted", "user-item"], default="planted", help="What to make.")
    parser.add_argument("--nodes", type=int | None, help="Number of nodes of a planted graph. Default: 10000.")
    parser.add_argument(
        "--edges", type=int | None, help="Expected number of edges of a planted graph. Default: ten per node."
    )
    parser.add_argument(
        "--config", type=Path | None, help="YAML file with the fields of PlantedConfig or UserItemConfig."
    )
    parser.add_argument(
        "--dtype",
        type=Literal["int8", "float16", "float32"] | None,
        help="Type of the features, instead of that of the config.",
    )
    parser.add_argument("--seed", type=int, default=0, help="Seed of everything.")
    return parser


def run(args: Namespace) -> None:
    """Write the graph; print the best scores and the folder."""
    from mmgraph.synthetic.planted_config import benchmark_config
    from mmgraph.synthetic.writing import KINDS, write_synthetic_graph

    sized = args.nodes is not None or args.edges is not None
    if sized and (args.config is not None or args.kind != "planted"):
        raise InputError("--nodes and --edges: only for planted graphs without --config, which gives the sizes itself")
    if args.config is not None:
        config = from_mapping(KINDS[args.kind], read_mapping(args.config), where=str(args.config))
    elif args.kind == "planted":
        nodes = 10_000 if args.nodes is None else args.nodes
        config = benchmark_config(nodes, 10 * nodes if args.edges is None else args.edges)
    else:
        config = KINDS[args.kind]()
    if args.dtype is not None:
        config = replace(config, dtype=args.dtype)
    folder = write_synthetic_graph(args.out, config, args.seed)
    rows = list(_rows(read_json(folder / "synthetic.json")["best"]))
    if rows:
        write_table(["best possible", "score", "standard error"], rows)
    write_line(str(folder))


def kept(args: Namespace) -> str:
    """Nothing is kept."""
    return f"{args.out} was not written; the same command makes the same graph"


def _rows(best: dict[str, Any]) -> list[list[object]]:
    """One row per number; exact ones have no standard error."""
    scores = [(f"accuracy of communities, {seen}", score) for seen, score in best.get("accuracy", {}).items()]
    for relation, found in best.get("links", {}).items():
        scores += [(f"links {relation}, {name}", score) for name, score in found.items()]
    rows: list[list[object]] = [[what, s["value"], s["standard_error"] or ""] for what, s in scores]
    expected = best.get("recommendation", {}).get("expected", {})
    return rows + [[f"recommendation, {name}", value, ""] for name, value in expected.items()]
