"""`mmgraph compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_line, write_table
from mmgraph.cli.parser import make_parser
from mmgraph.errors import InputError
from mmgraph.export.formats import INNER

REPORT, PLOT = "compress.json", "compress.png"


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "compress",
        "Keep vectors in fewer bytes. --report measures forms: their size, how many of the exact neighbours a search still\n"
        "finds, and, with --graph, the points that its tasks lose. --to writes one of them; search it with the same queries.\n"
        "forms: float32, float16, int8, binary (signs, then int8), pq:G (G bytes), dims:K (first K principal axes),\n"
        "first:K (first K columns, for models trained with Matryoshka dimensions), and dims:K+int8 or any other pair.",
        "compress --embeddings openmoji.parquet --graph data/openmoji --report runs/compress",
        "compress --embeddings openmoji.parquet --to int8 --out stores/openmoji-int8",
        "compress --embeddings openmoji.parquet --to dims:128+int8 --out stores/openmoji-128",
        "compress --embeddings openmoji.parquet --to dims:128 --format faiss-hnsw --out stores/openmoji-hnsw",
    )
    parser.add_argument("--embeddings", type=Path, required=True, help="Exported embeddings in any format.")
    parser.add_argument("--graph", type=Path | None, help="Dataset folder whose tasks are scored.")
    parser.add_argument("--task", type=str, nargs="+", default=["all"], help='Names of tasks, or "all".')
    parser.add_argument(
        "--forms", type=str, nargs="+", default=[], help="Forms to measure; a choice of all by default."
    )
    parser.add_argument("--report", type=Path | None, help=f"Folder for {REPORT} and {PLOT}.")
    parser.add_argument("--queries", type=int, default=1000, help="Nodes whose neighbours are compared.")
    parser.add_argument("-k", type=int, default=10, help="Number of neighbours.")
    parser.add_argument("--to", type=str | None, help="Form to write.")
    parser.add_argument("--out", type=Path | None, help="Folder to write it to.")
    parser.add_argument(
        "--format",
        type=Literal[("compressed", *INNER)],
        default="compressed",
        help="How to write it: codes of our own, or dims:K and first:K as vectors in a store of another format.",
    )
    parser.add_argument("--seed", type=int, default=0, help="Seed.")
    parser.add_argument("--overwrite", action="store_true", help="Replace what is there.")
    return parser


def run(args: Namespace) -> None:
    """Measure, or write, or both."""
    _check(args)
    from mmgraph.compression.form import Form
    from mmgraph.export.base import read_table

    forms = [Form.parse(text) for text in args.forms] or None
    target = None if args.to is None else Form.parse(args.to)
    table = read_table(args.embeddings)
    for form in [*(forms or []), *([] if target is None else [target])]:
        form.width(table.dim)
    if args.report is not None:
        from mmgraph.compression.measure import measure_forms
        from mmgraph.compression.plot import plot_forms
        from mmgraph.files import write_json

        graph, tasks = None, {}
        if args.graph is not None:
            from mmgraph.data.store import load_graph
            from mmgraph.training.evaluate import choose_tasks

            graph, tasks = load_graph(args.graph), choose_tasks(args.graph, args.task)
        report = measure_forms(table, forms, graph=graph, tasks=tasks, k=args.k, queries=args.queries, seed=args.seed)
        args.report.mkdir(parents=True, exist_ok=True)
        write_json(args.report / REPORT, report.to_dict())
        plot_forms(report, args.report / PLOT)
        columns, rows = report.rows()
        write_table(columns, rows, title=f"{report.graph}: {report.count:,} vectors of {report.dim} dimensions")
        note("* no other form is smaller and as good; loss in points below the full vectors")
        write_line(str(args.report / REPORT))
    if target is not None:
        from mmgraph.export.base import write_table as write_store

        path = write_store(
            table,
            args.out,
            format="compressed",
            overwrite=args.overwrite,
            form=str(target),
            inner=None if args.format == "compressed" else args.format,
            seed=args.seed,
        )
        write_line(str(path))


def _check(args: Namespace) -> None:
    if args.report is None and args.to is None:
        raise InputError("compress: expected --report FOLDER, or --to FORM together with --out FOLDER")
    if (args.to is None) != (args.out is None):
        raise InputError("compress: --to and --out belong together")
    if args.task != ["all"] and args.graph is None:
        raise InputError("compress: --task needs --graph, the folder that has the tasks")
    if args.report is not None and args.report.is_file():
        raise InputError(f"{args.report}: expected the name of a folder, got a file")
    if args.report is not None and (args.report / REPORT).exists() and not args.overwrite:
        raise InputError(f"{args.report / REPORT} already exists; give another --report or --overwrite")
    if args.out is not None and args.out.exists() and not args.overwrite:
        raise InputError(f"{args.out} already exists; give another --out or --overwrite")


def kept(args: Namespace) -> str:
    """Nothing is half-written."""
    return f"{args.out or args.report} is as before; run the same command again"
