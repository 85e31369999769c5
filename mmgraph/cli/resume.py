"""`mmgraph resume`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import write_line
from mmgraph.cli.parser import make_parser


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "resume",
        "Go on with an interrupted training from its last checkpoint. On the CPU the result is bit for bit the one\n"
        "of an uninterrupted run.",
        "resume --run runs/joint",
    )
    parser.add_argument("--run", type=Path, required=True, help="Run folder, made by pretrain or finetune.")
    return parser


def run(args: Namespace) -> None:
    """Train on and print the run folder."""
    from mmgraph.distributed import is_main_process
    from mmgraph.finetuning.finetune import is_finetune_run, resume_finetune
    from mmgraph.training.pretrain import resume

    if is_finetune_run(args.run):
        from mmgraph.report.learning_curve import write_learning_curve

        resume_finetune(args.run)
        if is_main_process():
            write_learning_curve(args.run)
    else:
        resume(args.run)
    if is_main_process():
        write_line(str(args.run))


def kept(args: Namespace) -> str:
    """The last checkpoint stays."""
    return f"the last checkpoint is kept; go on with: mmgraph resume --run {args.run}"
