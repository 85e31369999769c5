"""`mmgraph finetune`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_table
from mmgraph.cli.parser import checked_config_file, make_parser
from mmgraph.config import from_mapping
from mmgraph.errors import InputError


def build_parser() -> ArgumentParser:
    """Make the parser: run, graph, task, and a flag for every field of `FinetuneConfig`."""
    from mmgraph.finetuning.config import FinetuneConfig

    parser = make_parser(
        "finetune",
        "Train a pre-trained encoder on a task of a graph: labels, numbers, links, recommendation or retrieval. It stops by\n"
        "the valid split and reads the test split once. The run folder gets model/, result.json, predictions or a report\n"
        "by relation and degree, and learning_curve.svg; evaluate, export and search take it as --run.",
        "finetune --run runs/joint --graph data/debian --task section --out runs/section",
        "finetune --run runs/joint --graph data/debian --task links --mode frozen --out runs/links",
        "finetune --graph data/debian --task section --init untrained --out runs/from_scratch",
    )
    parser.add_argument(
        "--config",
        action=checked_config_file(FinetuneConfig, also=("run", "graph", "task", "out")),
        help="YAML file with any of the options below.",
    )
    parser.add_argument("--run", type=Path | None, default=None, help="Run folder of the pre-trained model.")
    parser.add_argument("--graph", type=Path | None, default=None, help="Dataset folder with encoded/ and tasks/.")
    parser.add_argument("--task", type=str | None, default=None, help="Name of the task.")
    parser.add_argument("--out", type=Path | None, default=None, help="Run folder to create.")
    parser.add_class_arguments(FinetuneConfig)
    return parser


def run(args: Namespace) -> None:
    """Train, print the metrics and where everything is."""
    for name in ("graph", "task", "out"):
        if getattr(args, name) is None:
            raise InputError(f"--{name}: expected a value, got none")
    from mmgraph.distributed import is_main_process
    from mmgraph.finetuning.config import FinetuneConfig
    from mmgraph.finetuning.finetune import finetune
    from mmgraph.report.learning_curve import write_learning_curve

    values = args.as_dict()
    names = [field.name for field in dataclasses.fields(FinetuneConfig)]
    config = from_mapping(FinetuneConfig, {name: values[name] for name in names}, where="flags")
    found = finetune(args.run, args.graph, args.task, config, out=args.out)
    if is_main_process():
        print_result(found.result)
        write_learning_curve(args.out)
        note(f"written to {args.out}")


def print_result(result: dict[str, object]) -> None:
    """Print valid and test metrics of a finished run."""
    valid, test = result["valid"], result["test"]
    assert isinstance(valid, dict)
    assert isinstance(test, dict)
    metrics = list(dict.fromkeys([*test, *valid]))
    rows: list[list[object]] = [
        [name, *(found.get(metric, "") for metric in metrics)] for name, found in (("valid", valid), ("test", test))
    ]
    title = f"{result['task']}, best of {result['steps']} steps: {result['best_step']}"
    write_table(["split", *metrics], rows, title=title)


def kept(args: Namespace) -> str:
    """The last checkpoint stays."""
    if args.out is not None and (args.out / "last.pt").exists():
        return f"the last checkpoint is kept; go on with: mmgraph resume --run {args.out}"
    return "no checkpoint was written yet; run the same command again"
