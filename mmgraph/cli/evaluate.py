"""`mmgraph evaluate`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_line, write_table
from mmgraph.cli.parser import LevelName, make_parser


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "evaluate",
        "Score a trained model on the tasks of a graph, next to its controls: the raw features, smoothed features\n"
        "and the same network with random weights. The test split is read once.",
        "evaluate --run runs/joint --graph data/openmoji --task all",
        "evaluate --run runs/joint --graph data/openmoji --task category name_queries",
    )
    parser.add_argument("--run", type=Path, required=True, help="Run folder, made by: mmgraph pretrain.")
    parser.add_argument("--graph", type=Path, required=True, help="Dataset folder with encoded/ and tasks/.")
    parser.add_argument("--task", type=str, nargs="+", default=["all"], help='Names of tasks, or "all".')
    parser.add_argument(
        "--level",
        type=LevelName,
        default="last",
        help="What of the model is scored, as in: mmgraph export --level.",
    )
    parser.add_argument("--seed", type=int, default=0, help="Seed of the probes and of the random-init control.")
    parser.add_argument(
        "--supervised",
        action="store_true",
        help="Also train a GraphSAGE and a perceptron on the labels or values, to compare.",
    )
    parser.add_argument(
        "--scores-at-once",
        type=int,
        default=2**23,
        help="Scores that a full ranking holds at once, four bytes each; less memory, more passes.",
    )
    parser.add_argument("--device", type=str, default="cpu", help="Where the model runs.")
    parser.add_argument(
        "--out", type=Path | None, help="JSON file, by default RUN/evaluation/GRAPH.json, or GRAPH-LEVEL.json."
    )
    return parser


def run(args: Namespace) -> None:
    """Evaluate and print one table per task."""
    from mmgraph.tasks.alignment import scores_at_once
    from mmgraph.training.evaluate import CONTROLS, SUPERVISED, evaluate_run, evaluation_file, tables_by_task

    with scores_at_once(args.scores_at_once):
        records = evaluate_run(
            args.run,
            args.graph,
            tasks="all" if args.task == ["all"] else args.task,
            seed=args.seed,
            out=args.out,
            device=args.device,
            controls=(*CONTROLS, SUPERVISED) if args.supervised else CONTROLS,
            level=args.level,
        )
    for title, columns, rows in tables_by_task(records):
        write_table(columns, rows, title=title)
        write_line("")
    note(f"written to {args.out or evaluation_file(args.run, args.graph, args.level)}")


def kept(args: Namespace) -> str:
    """Nothing is half-written."""
    return f"{args.run} is as before; run the same command again"
