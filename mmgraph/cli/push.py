"""`mmgraph push`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_line
from mmgraph.cli.parser import make_parser


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "push",
        "Put a model folder somewhere else, after its digests were compared: another folder, or a repository of the\n"
        "Hugging Face Hub (extra hub; the key is that of `hf auth login` or $HF_TOKEN). New repositories are private.",
        "push --model runs/joint/card --to /shared/models/joint",
        "push --model runs/joint/card --to hf://owner/name",
    )
    parser.add_argument("--model", type=Path, required=True, help="Model folder, made by: mmgraph card.")
    parser.add_argument("--to", type=str, required=True, help="Folder, or hf://owner/name.")
    parser.add_argument("--public", action="store_true", help="Let everybody see a new repository.")
    parser.add_argument("--overwrite", action="store_true", help="Replace a folder that exists.")
    return parser


def run(args: Namespace) -> None:
    """Push and print where the model is."""
    from mmgraph.sharing.transfer import push_model

    write_line(push_model(args.model, args.to, private=not args.public, overwrite=args.overwrite))


def kept(args: Namespace) -> str:
    """A commit is whole or absent, and so is a folder."""
    return f"{args.to} is as before; run the same command again"
