"""`mmgraph datasets build`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_line
from mmgraph.cli.parser import make_parser


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "datasets build",
        "Build a real graph with its tasks into a folder: nodes, edges, images and held-out test data.",
        "datasets build openmoji --out data/openmoji",
    )
    parser.add_argument("name", help="Name of the dataset, see: mmgraph datasets list.")
    parser.add_argument("--out", type=Path, required=True, help="Folder to create.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the splits.")
    parser.add_argument(
        "--no-holdout", action="store_true", help="Keep all edges; write no tasks that need held-out ones."
    )
    parser.add_argument("--cache", type=Path | None, help="Folder for downloads and rendered images.")
    parser.add_argument(
        "--local", type=Path, nargs="+", default=[], help="Files or a folder to read instead of fetching, see the card."
    )
    return parser


def run(args: Namespace) -> None:
    """Build the dataset and print its folder."""
    from mmgraph.datasets import build_dataset

    folder = build_dataset(
        args.name, args.out, seed=args.seed, holdout=not args.no_holdout, cache=args.cache, local=args.local
    )
    write_line(str(folder))


def kept(args: Namespace) -> str:
    """Downloads and rendered images stay in the cache."""
    return f"the cache is kept, {args.out} was not written; run the same command again to go on"
