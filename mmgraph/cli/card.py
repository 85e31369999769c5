"""`mmgraph card`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_line
from mmgraph.cli.parser import make_parser
from mmgraph.errors import InputError


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "card",
        "Describe a trained model in a folder that can be shared: README.md (card of the Hugging Face Hub), config.json,\n"
        "model.safetensors, results.json, manifest.json with digests. Numbers come from the run, its evaluations and the\n"
        "graphs; what is not there is called not measured. Without --run: the card of a graph.",
        "card --run runs/joint",
        "card --run runs/joint --graph data/openmoji --out cards/joint --licence apache-2.0",
        "card --graph data/openmoji --out cards/openmoji",
    )
    parser.add_argument("--run", type=Path | None, help="Finished run of: mmgraph pretrain, mmgraph finetune.")
    parser.add_argument(
        "--graph",
        type=Path,
        nargs="+",
        default=[],
        help="Encoded graph folders: sources and licences of the training data, or, without --run, the one to describe.",
    )
    parser.add_argument(
        "--results", type=Path, nargs="+", default=[], help="Files of evaluate --out; RUN/evaluation is read by itself."
    )
    parser.add_argument("--out", type=Path | None, help="Folder to write, by default RUN/card.")
    parser.add_argument("--name", type=str | None, help="Title, by default the name of the run folder.")
    parser.add_argument(
        "--licence", type=str | None, help="Licence as the hub names it, for example apache-2.0. None is assumed."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace a folder that exists.")
    return parser


def run(args: Namespace) -> None:
    """Write the folder and print where."""
    if args.run is None and (args.out is None or len(args.graph) != 1):
        raise InputError("card: expected --run, or one --graph together with --out")
    if args.run is None and (args.results or args.name):
        raise InputError("card: --results and --name need --run")
    if args.run is None:
        from mmgraph.sharing.dataset_card import write_dataset_card

        folder = write_dataset_card(args.graph[0], args.out, licence=args.licence, overwrite=args.overwrite)
    else:
        from mmgraph.sharing.model_card import write_model_card

        folder = write_model_card(
            args.run,
            args.out,
            name=args.name,
            graphs=args.graph,
            results=args.results,
            licence=args.licence,
            overwrite=args.overwrite,
        )
    write_line(str(folder))


def kept(args: Namespace) -> str:
    """Nothing is half-written."""
    return f"{args.out or args.run / 'card'} is as before; run the same command again"
