"""`mmgraph faults-read KIND PATH`: read something as the library does and print what was read, for the harness only.

As a command it goes through the same handling of errors as all others: exit code 2 and one line, or a crash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from phases import update

from mmgraph.cli.main import COMMANDS
from mmgraph.cli.output import write_line
from mmgraph.cli.parser import Command, make_parser
from mmgraph.files import content_digest


def register() -> None:
    """Add the command."""
    COMMANDS["faults-read"] = Command("readers", "read something")


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser("faults-read", "Read something.", "faults-read graph data/toy")
    parser.add_argument("kind", type=str)
    parser.add_argument("path", type=Path)
    return parser


def run(args: Namespace) -> None:
    """Read and print a digest."""
    write_line(READERS[args.kind](args.path))


def kept(args: Namespace) -> str:  # noqa: ARG001
    """Nothing is written."""
    return ""


def _graph(path: Path) -> str:
    from mmgraph.data.store import graph_digest, load_graph

    graph = load_graph(path)
    columns = "" if graph.columns is None else str(graph.columns.to_pydict())
    return content_digest(graph_digest(graph), columns)


def _model(path: Path) -> str:
    from mmgraph.nn.saving import encoder_digest, load_extra
    from mmgraph.training.loading import load_model

    return content_digest(encoder_digest(load_model(path)), str(load_extra(path / "model")))


def _checkpoint(path: Path) -> str:
    from mmgraph.training.checkpoint import load_last
    from mmgraph.training.run import RunFolder

    checkpoint = load_last(path, digest=RunFolder(path).environment()["digest"])
    digest = hashlib.sha256()
    update(digest, vars(checkpoint))
    return digest.hexdigest()


def _tasks(path: Path) -> str:
    from mmgraph.splits.base import load_splits
    from mmgraph.tasks.base import load_tasks

    found = {**load_tasks(path), **load_splits(path)}
    return content_digest(*(f"{name} {item.digest}" for name, item in found.items()))


def _truth(path: Path) -> str:
    from mmgraph.synthetic.writing import load_truth

    return content_digest(_graph(path), _tasks(path), type(load_truth(path)).__name__)


def _vectors(path: Path) -> str:
    from mmgraph.export.base import open_store, read_table

    table = read_table(path)
    parts = [table.graph, table.model, str(table.node_ids.values.tolist()), str(list(table.types))]
    parts.append("" if table.columns is None else str(table.columns.to_pydict()))
    with open_store(path) as store:
        hits = store.search(table.vectors[:3], 5)
        parts += [str(store.ids()), str(hits.positions.tolist()), str(hits.scores.tolist())]
    return content_digest(table.vectors.numpy().tobytes(), *parts)


def _ppr(path: Path) -> str:
    from phases import OUT, compute_ppr

    compute_ppr(path, out=Path(OUT))
    return OUT


READERS: dict[str, Callable[[Path], str]] = {
    "graph": _graph,
    "model": _model,
    "checkpoint": _checkpoint,
    "tasks": _tasks,
    "truth": _truth,
    "vectors": _vectors,
    "ppr": _ppr,
}
