"""The files that a demo run leaves behind and the report reads. Nothing is shown that is not in one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgraph.errors import InputError
from mmgraph.files import read_json

RESULTS = "results"
"""Subfolder of the demo folder with the JSON files below."""


@dataclass(frozen=True, eq=False)
class ReportInputs:
    """Content of a demo folder.

    Attributes:
        folder: The demo folder; paths of pictures are relative to it.
        summary: `summary.json`: seed, steps, command, versions, machine, timings, runs.
        graphs: `graphs.json`: per graph the counts, presence patterns, tasks and the encoding report.
        evaluation: `evaluation.json`: one record per graph, task, model and seed.
        experts: `experts.json`: expert load by graph and presence pattern.
        map: `map.json`: 2-D coordinates of nodes with pictures.
        neighbours: `neighbours.json`: nearest neighbours of some nodes, and of text queries.
        recommendations: `recommendations.json`: history, top list and hits of some users.
        metrics: Lines of `metrics.jsonl` by run name.
    """

    folder: Path
    summary: dict[str, Any]
    graphs: list[dict[str, Any]]
    evaluation: list[dict[str, Any]]
    experts: list[dict[str, Any]]
    map: dict[str, Any]
    neighbours: dict[str, Any]
    recommendations: dict[str, Any]
    metrics: dict[str, list[dict[str, Any]]]


def load_inputs(folder: Path | str) -> ReportInputs:
    """Read everything a report needs.

    Raises:
        InputError: If a file is missing, empty, or lacks something the report shows; the message names it.
    """
    folder = Path(folder)
    results = folder / RESULTS
    summary = _checked(
        results / "summary.json", dict, ("seed", "steps", "command", "versions", "machine", "timings", "runs")
    )
    inputs = ReportInputs(
        folder=folder,
        summary=summary,
        graphs=_rows(results / "graphs.json", ("summary", "presence", "tasks", "encoding")),
        evaluation=_rows(results / "evaluation.json", ("graph", "task", "kind", "model", "metrics", "seed")),
        experts=_rows(results / "experts.json", ("graph", "pattern", "num_nodes", "load")),
        map=_checked(results / "map.json", dict, ("graph", "ids", "names", "images", "x", "y")),
        neighbours=_checked(results / "neighbours.json", dict, ("nodes", "queries")),
        recommendations=_checked(results / "recommendations.json", dict, ("graph", "users")),
        metrics={name: _metrics(folder / path) for name, path in summary["runs"].items()},
    )
    for path in _pictures(inputs):
        if not (folder / path).is_file():
            raise InputError(f"{folder / path}: file not found; the report shows this picture")
    return inputs


def _checked(path: Path, kind: type[Any], keys: tuple[str, ...]) -> Any:
    value = read_json(path)
    if not isinstance(value, kind) or not value:
        raise InputError(f"{path}: expected a {kind.__name__} that is not empty, got {type(value).__name__}")
    missing = [key for key in keys if key not in value]
    if missing:
        raise InputError(f"{path}: missing key {missing[0]!r}")
    return value


def _rows(path: Path, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _checked(path, list, ())
    for number, row in enumerate(rows):
        missing = [key for key in keys if key not in row]
        if missing:
            raise InputError(f"{path}, entry {number}: missing key {missing[0]!r}")
    return rows


def _metrics(run: Path) -> list[dict[str, Any]]:
    from mmgraph.training.tracking import read_metrics

    lines = read_metrics(run)
    if not lines:
        raise InputError(f"{run / 'metrics.jsonl'}: expected at least one logged step, got none")
    return lines


def _pictures(inputs: ReportInputs) -> list[str]:
    entries = [entry for node in inputs.neighbours["nodes"] for entry in [node, *_listed(node)]]
    entries += [entry for query in inputs.neighbours["queries"] for entry in _listed(query)]
    return [*inputs.map["images"], *(entry["image"] for entry in entries if entry.get("image"))]


def _listed(example: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entries in example["lists"].values() for entry in entries]
