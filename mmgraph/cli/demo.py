"""`mmgraph demo`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_line
from mmgraph.cli.parser import make_parser


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "demo",
        "Build two real graphs (emoji with images and names; films, users and ratings), encode them, pre-train on\n"
        "both together and on each alone, evaluate against controls, export, and write report.html.\n"
        "Finished steps are not repeated, so a second run is fast.",
        "demo",
        "demo --out runs/small --steps 50",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="Folder of everything the demo writes.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of everything random.")
    parser.add_argument("--steps", type=int | None, help="Optimiser steps per run; by default what fits 5 minutes.")
    parser.add_argument("--device", type=str, default="auto", help="Where training runs.")
    parser.add_argument("--fast", action="store_true", help="Small model, few steps: for tests.")
    return parser


def run(args: Namespace) -> None:
    """Run the demo and print where the report is."""
    from mmgraph.report.demo import DemoConfig, run_demo

    config = DemoConfig.small(args.seed) if args.fast else DemoConfig(seed=args.seed)
    steps = config.steps if args.steps is None else args.steps
    report = run_demo(args.out, replace(config, steps=steps, device=args.device), note=note)
    write_line(str(report))
    note(
        f"search it in a browser: mmgraph serve --run {args.out}/runs/joint --graph {args.out}/data/{config.datasets[0]}"
    )


def kept(args: Namespace) -> str:
    """Everything finished stays."""
    return f"finished steps are kept in {args.out}; go on with: mmgraph demo --out {args.out}"
