"""`mmgraph pretrain`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_line
from mmgraph.cli.parser import checked_config_file, make_parser
from mmgraph.config import from_mapping
from mmgraph.errors import InputError


def build_parser() -> ArgumentParser:
    """Make the parser: graphs, run folder, and a flag for every field of `PretrainConfig`."""
    from mmgraph.training.config import PretrainConfig

    parser = make_parser(
        "pretrain",
        "Train one model on one or several encoded graphs. Flags override the YAML file.\n"
        "The run folder gets config.yaml, env.json, metrics.jsonl, TensorBoard logs, model/ and a checkpoint.\n"
        "Several processes share the work of each step; batch size and result stay those of one process:\n"
        "  torchrun --nproc-per-node 2 -m mmgraph pretrain --graphs data/openmoji --out runs/emoji",
        "pretrain --graphs data/openmoji data/movielens-100k --out runs/joint --steps 400",
        "pretrain --config experiments/pretrain/joint.yaml --optim.lr 3e-4",
    )
    parser.add_argument(
        "--config",
        action=checked_config_file(PretrainConfig, also=("graphs", "out")),
        help="YAML file with any of the options below.",
    )
    parser.add_argument("--graphs", type=Path, nargs="+", default=[], help="Encoded graph folders.")
    parser.add_argument("--out", type=Path | None, default=None, help="Run folder to create.")
    parser.add_class_arguments(PretrainConfig)
    return parser


def run(args: Namespace) -> None:
    """Train and print the run folder."""
    if not args.graphs:
        raise InputError("--graphs: expected at least one graph folder, got none")
    if args.out is None:
        raise InputError("--out: expected a run folder, got none")
    from mmgraph.distributed import is_main_process
    from mmgraph.training.config import PretrainConfig
    from mmgraph.training.pretrain import pretrain

    values = args.as_dict()
    names = [field.name for field in dataclasses.fields(PretrainConfig)]
    config = from_mapping(PretrainConfig, {name: values[name] for name in names}, where="flags")
    pretrain(args.graphs, config, out=args.out)
    if is_main_process():
        write_line(str(args.out))


def kept(args: Namespace) -> str:
    """The last checkpoint stays."""
    if args.out is not None and (args.out / "last.pt").exists():
        return f"the last checkpoint is kept; go on with: mmgraph resume --run {args.out}"
    return f"no checkpoint was written yet; start again with: mmgraph {' '.join(sys.argv[1:])}"
