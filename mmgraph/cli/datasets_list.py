"""`mmgraph datasets list`."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_table
from mmgraph.cli.parser import make_parser


def build_parser() -> ArgumentParser:
    """Make the parser."""
    return make_parser("datasets list", "List the real graphs that can be built here.", "datasets list")


def run(args: Namespace) -> None:  # noqa: ARG001  (every command has the same signature)
    """Print names and descriptions."""
    from mmgraph.datasets import available_datasets

    write_table(["name", "what it is"], available_datasets().items())


def kept(args: Namespace) -> str:  # noqa: ARG001
    """Nothing to keep."""
    return "nothing was changed"
