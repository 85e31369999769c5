"""One self-contained page that shows what a demo run wrote down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mmgraph.files import atomic_path
from mmgraph.report.inputs import ReportInputs, load_inputs
from mmgraph.report.map import to_grid
from mmgraph.report.page import render
from mmgraph.report.pictures import mosaic, thumbnail
from mmgraph.report.plots import Series, line_chart
from mmgraph.report.tables import MODELS, TRAINED, TaskTable, task_tables

MAP_CELL = 24
"""Pixels per picture on the map."""


def write_report(demo_folder: Path | str) -> Path:
    """Render `report.html` from the files of a demo folder, and from nothing else.

    Args:
        demo_folder: Folder with `results/` and the runs, see `mmgraph.report.inputs`.

    Returns:
        Path of the page.

    Raises:
        InputError: If a file the report needs is missing; the message names it.
    """
    inputs = load_inputs(demo_folder)
    page = render("template.html", _context(inputs))
    path = inputs.folder / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _context(inputs: ReportInputs) -> dict[str, Any]:
    tables = task_tables(inputs.evaluation)
    return {
        "summary": inputs.summary,
        "graphs": inputs.graphs,
        "tables": tables,
        "scoreboard": [_score_row(table) for table in tables],
        "models": MODELS,
        "shown_models": list(dict.fromkeys(model for table in tables for model in table.rows)),
        "num_seeds": len({record["seed"] for record in inputs.evaluation}),
        "map": _map(inputs),
        "neighbours": {
            kind: [_example(inputs.folder, example) for example in inputs.neighbours[kind]]
            for kind in ("nodes", "queries")
        },
        "recommendations": inputs.recommendations,
        "charts": _charts(inputs.metrics),
        "runs": list(inputs.metrics),
        "experts": _experts(inputs.experts),
        "total_seconds": sum(timing["seconds"] for timing in inputs.summary["timings"]),
    }


def _score_row(table: TaskTable) -> dict[str, Any]:
    """First metric of a task: our runs and the best control."""
    scores = {name: row[0] for name, row in table.rows.items() if row[0] is not None}
    lower = table.metrics[0] in ("median_rank", "mean_rank")
    controls = {name: cell for name, cell in scores.items() if name not in TRAINED}
    best = (min if lower else max)(controls, key=lambda name: controls[name].mean, default=None)
    return {
        "table": table,
        "joint": scores.get("joint"),
        "alone": scores.get("alone"),
        "control": None if best is None else scores[best],
        "control_name": best,
    }


def _map(inputs: ReportInputs) -> dict[str, Any]:
    points = np.stack([np.asarray(inputs.map["x"], dtype=float), np.asarray(inputs.map["y"], dtype=float)], axis=1)
    cells = to_grid(points)
    names = [[int(x), int(y), name] for (x, y), name in zip(cells.tolist(), inputs.map["names"], strict=True)]
    side = (cells.max(axis=0) + 1) * MAP_CELL
    # "</script>" in a name would end the element that carries the names.
    text = json.dumps(names, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return {
        "graph": inputs.map["graph"],
        "count": len(names),
        "src": mosaic([inputs.folder / path for path in inputs.map["images"]], cells, cell=MAP_CELL),
        "names": text,
        "cell": MAP_CELL,
        "width": int(side[0]),
        "height": int(side[1]),
    }


def _example(folder: Path, example: dict[str, Any]) -> dict[str, Any]:
    """An example with its pictures inlined."""

    def shown(entry: dict[str, Any]) -> dict[str, Any]:
        picture = thumbnail(folder / entry["image"]) if entry.get("image") else None
        return {**entry, "picture": picture}

    lists = {model: [shown(entry) for entry in entries] for model, entries in example["lists"].items()}
    return {**shown(example), "lists": lists}


def _charts(metrics: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One chart per graph and objective with a line per run."""
    lines: dict[tuple[str, str], list[Series]] = {}
    for run, rows in metrics.items():
        keys = dict.fromkeys(key for row in rows for key, value in row.items() if isinstance(value, (int, float)))
        for key in keys:
            if not key.startswith("domain/"):
                continue
            graph, _, objective = key.removeprefix("domain/").rpartition("/")
            logged = [row for row in rows if key in row]
            series = Series(
                "joint" if run == "joint" else "alone",
                [row["step"] for row in logged],
                [row[key] for row in logged],
                style=0 if run == "joint" else 1,
            )
            lines.setdefault((graph, objective), []).append(series)
    return [
        {
            "graph": graph,
            "objective": objective.replace("_", " "),
            "svg": line_chart(group, title=f"{graph}, {objective.replace('_', ' ')}"),
        }
        for (graph, objective), group in lines.items()
    ]


def _experts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Heat map rows; shade is relative to the largest load."""
    top = max((share for row in rows for share in row["load"]), default=0.0) or 1.0
    width = max(len(row["load"]) for row in rows)
    return {
        "width": width,
        "rows": [{**row, "cells": [(share, round(60 * share / top)) for share in row["load"]]} for row in rows],
    }
