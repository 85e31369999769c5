"""`mmgraph pull`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_line
from mmgraph.cli.parser import make_parser


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "pull",
        "Fetch a model folder from another folder or from the Hugging Face Hub (extra hub). Only the card, JSON and\n"
        "safetensors are taken, digests are compared, and nothing that somebody else wrote is run. The folder works\n"
        "wherever a run does: export, search, evaluate, finetune --run FOLDER.",
        "pull --from hf://owner/name --out models/name",
        "pull --from hf://owner/name@v1 --digest 54bd8b2264b2 --out models/name",
    )
    parser.add_argument("--from", dest="source", type=str, required=True, help="Folder, or hf://owner/name[@revision].")
    parser.add_argument("--out", type=Path, required=True, help="Folder to write.")
    parser.add_argument("--digest", type=str | None, help="Digest of the model that its author told you, or its start.")
    parser.add_argument("--overwrite", action="store_true", help="Replace a folder that exists.")
    return parser


def run(args: Namespace) -> None:
    """Pull and print where the model is."""
    from mmgraph.sharing.transfer import pull_model

    write_line(str(pull_model(args.source, args.out, digest=args.digest, overwrite=args.overwrite)))


def kept(args: Namespace) -> str:
    """Nothing is half-written."""
    return f"{args.out} is as before; run the same command again"
