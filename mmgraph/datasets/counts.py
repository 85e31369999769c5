"""Counts of a built dataset, read from its files: what cards state, and what is shown after a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.data.store import find_graph, load_graph
from mmgraph.files import read_json
from mmgraph.formats.tables.canonical import MODALITIES
from mmgraph.parquet import ParquetTable
from mmgraph.tasks.base import Task, load_tasks


def count_folder(folder: Path) -> dict[str, Any]:
    """Count what a dataset folder holds.

    Returns:
        `nodes` by type, `edges` by relation, `modalities` (nodes that have them), and `tasks`: examples by split as
        `Task.num_examples` counts them, rows by split where these are other numbers (`rows_test`), and `labels`.
    """
    return _graph_counts(folder) | {"tasks": {name: _task_counts(task) for name, task in load_tasks(folder).items()}}


def _graph_counts(folder: Path) -> dict[str, Any]:
    settings = read_json(folder / "graph.json") if (folder / "graph.json").is_file() else {}
    modalities = {}
    if (folder / "nodes.parquet").is_file() and not settings.get("format"):
        nodes, edges = (ParquetTable(folder / f"{name}.parquet") for name in ("nodes", "edges"))
        counts = {
            "nodes": _values(nodes, "type", default="node"),
            "edges": _values(edges, "relation", default="edge") | dict.fromkeys(settings.get("empty_relations", {}), 0),
        }
        wanted = [name for name in MODALITIES | settings.get("modalities", {}) if name in nodes.schema.names]
        table = nodes.read(wanted)
        modalities = {name: table.num_rows - table[name].null_count for name in wanted}
        if not (folder / "encoded" / "graph.json").is_file():
            return counts | {"modalities": modalities}
    summary = load_graph(find_graph(folder), verify=False).summary()
    return {
        "nodes": summary["node_types"],
        "edges": {name: relation["num_edges"] for name, relation in summary["relations"].items()},
        "modalities": modalities | {name: features["present"] for name, features in summary["modalities"].items()},
    }


def _values(file: ParquetTable, column: str, *, default: str) -> dict[str, int]:
    if column not in file.schema.names:
        return {default: file.num_rows}
    return _value_counts(file.read([column])[column])


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    return dict(sorted((row["values"], row["counts"]) for row in pc.value_counts(column).to_pylist()))


def _task_counts(task: Task) -> dict[str, int]:
    examples = {split: task.num_examples(split) for split in task.splits}
    table = max(task.tables().values(), key=lambda table: table.num_rows)
    rows = _value_counts(table["split"])
    counts = examples | {f"rows_{split}": n for split, n in rows.items() if n != examples.get(split)}
    if "label" in table.column_names:
        column = table["label"]
        multi = pa.types.is_list(column.type)
        counts["labels"] = pc.count_distinct(pc.list_flatten(column) if multi else column).as_py()
    return counts
