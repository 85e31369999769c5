"""What the commands of the study take alike."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from context import CONFIG, GRAPHS, Context

from mmgraph.config import load_yaml
from mmgraph.training.config import PretrainConfig


def add_arguments(parser: argparse.ArgumentParser, *, seeds: Sequence[int], data_needed: bool = True) -> None:
    """Add places, seeds, settings and device."""
    parser.add_argument("--data", type=Path, required=data_needed, help="folder of the built and encoded datasets")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and records")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    parser.add_argument("--config", type=Path, default=CONFIG, help="settings of our model")
    parser.add_argument("--steps", type=int, help="a trial: so many steps of everything that is trained")
    parser.add_argument("--device", default="cpu")


def add_scopes(parser: argparse.ArgumentParser) -> None:
    """Add which graphs models are trained on, and which are scored."""
    parser.add_argument("--graphs", nargs="+", default=list(GRAPHS), help="graphs that joint models are trained on")
    parser.add_argument("--score", nargs="+", help="graphs to score, all of --graphs by default")


def scored_graphs(args: argparse.Namespace, graphs: Iterable[str]) -> list[str]:
    """Those of the graphs that are scored, in their order."""
    return [name for name in graphs if name in (args.score or args.graphs)]


def make_context(args: argparse.Namespace) -> Context:
    """The context of a command; graphs are in canonical order, so that models do not depend on how they were named.

    Raises:
        InputError: If the settings cannot be read.
    """
    order = sorted(set(args.graphs), key=lambda name: (GRAPHS.index(name) if name in GRAPHS else len(GRAPHS), name))
    config = load_yaml(args.config, PretrainConfig)
    return Context(args.data, args.out, tuple(order), args.steps, args.device, config)
