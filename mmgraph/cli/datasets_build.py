"""`mmgraph datasets build`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_line, write_table
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
    parser.add_argument("--overwrite", action="store_true", help="Build anew and replace the dataset in the folder.")
    return parser


def run(args: Namespace) -> None:
    """Build the dataset, unless it is there already; print its folder and, after a build, what it holds."""
    from mmgraph.datasets import build_dataset
    from mmgraph.datasets.base import is_built
    from mmgraph.datasets.manifest import read_manifest

    same = {"seed": args.seed, "holdout": not args.no_holdout, "local": args.local}
    if not args.overwrite and is_built(args.name, args.out, **same):
        write_line(str(args.out))
        note("the folder holds exactly this dataset already; nothing was done")
        return
    folder = build_dataset(args.name, args.out, cache=args.cache, overwrite=args.overwrite, **same)
    write_line(str(folder))
    write_table(["what", "name", "count"], count_rows(read_manifest(folder)["counts"]))


def count_rows(counts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of the table that is shown after a build, in the words of the card."""
    rows = [
        (what, name, f"{count:,}")
        for what, key in (("nodes", "nodes"), ("edges", "edges"), ("with", "modalities"))
        for name, count in counts[key].items()
    ]
    for name, task in counts["tasks"].items():
        shown = [f"{key.replace('_', ' ')} {count:,}" for key, count in task.items() if count]
        rows.append(("task", name, ", ".join(shown)))
    return rows


def kept(args: Namespace) -> str:
    """Downloads and rendered images stay in the cache."""
    return f"the cache is kept, {args.out} was not written; run the same command again to go on"
