"""The committed numbers of a graph: merged from records, with every seed's own value."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from models import MODELS

from mmgraph.files import read_json, write_json

SHOWN = ("accuracy", "macro_auc", "r2", "mrr", "recall@10")
"""The metric that tables show of a measure: the first that it has."""
NO_SEED = "none"
Row = dict[str, Any]


def read_records(out: Path, *, trial: bool, folder: str = "records") -> dict[str, list[dict[str, Any]]]:
    """Records by graph; either trials or real ones."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((out / folder).glob("*/[!.]*.json")):
        record = read_json(path)
        if record["trial"] == trial:
            found.setdefault(record["graph"], []).append(record)
    return found


def merge(rows: Iterable[Row], records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Put the values of records into rows; a value is replaced by a newer one only, nothing is dropped.

    Args:
        rows: What is there, for instance from another machine: one row per model and measure, values by seed.
        records: What `study.py` wrote.

    Returns:
        Rows in the order of the models, with `summary`: mean, standard deviation (n - 1) and number of the values that
        were made with the row's newest settings and task.
    """
    merged: dict[tuple[str, str], Row] = {(row["model"], row["measure"]): {**row} for row in rows}
    for record in records:
        seed = NO_SEED if record["seed"] is None else str(record["seed"])
        for name, measured in record["measures"].items():
            if not measured["metrics"]:
                continue
            key = (record["model"], name)
            head = {"model": record["model"], "label": record["label"], "family": record["family"], "measure": name}
            row = merged.setdefault(key, {**head, "seeds": {}})
            value = {
                "metrics": measured["metrics"],
                "settings": record["settings"],
                "digest": measured["digest"],
                "graph": record["graph_digest"],
                "num_examples": measured["num_examples"],
                "seconds": measured["seconds"],
                "training_seconds": record["seconds"].get("training", 0.0),
                "finished": measured["finished"],
                "device": record["machine"]["device"],
                "commit": record["commit"],
            }
            old = row["seeds"].get(seed)
            if old is None or old["finished"] <= value["finished"]:
                row |= {**head, "kind": measured["kind"], "protocol": measured["protocol"]}
                row["seeds"] = {**row["seeds"], seed: value}
    order = {name: number for number, name in enumerate(MODELS)}
    measures = list(dict.fromkeys(row["measure"] for row in merged.values()))
    for row in merged.values():
        row["seeds"] = dict(sorted(row["seeds"].items(), key=lambda item: (len(item[0]), item[0])))
        row["summary"] = {name: summary(values.values()) for name, values in values_of(row).items()}
    return sorted(
        merged.values(), key=lambda row: (order.get(row["model"], 99), row["model"], measures.index(row["measure"]))
    )


def current(row: Row) -> dict[str, Mapping[str, Any]]:
    """Values by seed that were made as the newest one was; older settings, graphs and tasks do not compare."""
    if not row["seeds"]:
        return {}
    newest = max(row["seeds"].values(), key=lambda value: value["finished"])
    kind = (newest["settings"], newest["digest"])
    return {seed: value for seed, value in row["seeds"].items() if (value["settings"], value["digest"]) == kind}


def values_of(row: Row) -> dict[str, dict[str, float]]:
    """Values by metric, then by seed."""
    found: dict[str, dict[str, float]] = {}
    for seed, value in current(row).items():
        for name, number in value["metrics"].items():
            found.setdefault(name, {})[seed] = number
    return found


def summary(values: Iterable[float]) -> dict[str, float]:
    """Mean, standard deviation and number."""
    numbers = list(values)
    spread = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    return {"mean": statistics.fmean(numbers), "std": spread, "n": len(numbers)}


def comparable(rows: Iterable[Row]) -> tuple[list[Row], list[str]]:
    """Rows whose task and graph are the newest ones of their measure, and a note on each that was left out."""
    rows = list(rows)
    newest: dict[str, tuple[str, tuple[str, str]]] = {}
    for row in rows:
        for value in current(row).values():
            found = (value["finished"], (value["digest"], value["graph"]))
            newest[row["measure"]] = max(newest.get(row["measure"], found), found)
    kept, notes = [], []
    for row in rows:
        value = next(iter(current(row).values()))
        if (value["digest"], value["graph"]) == newest[row["measure"]][1]:
            kept.append(row)
            older = len(row["seeds"]) - len(current(row))
            if older:
                notes.append(f"{row['label']}, {row['measure']}: {older} seeds with older settings are not shown")
        else:
            notes.append(f"{row['label']}, {row['measure']}: made with another graph or task, not shown")
    return kept, notes


def shown_metric(row: Row) -> str:
    """The metric that tables show of a row."""
    metrics: list[str] = list(row["summary"])
    return next((name for name in SHOWN if name in metrics), metrics[0])


def load_rows(path: Path) -> list[Row]:
    """Rows of a results file, none if there is no file."""
    return list(read_json(path)["rows"]) if path.exists() else []


def save_rows(path: Path, graph: str, rows: Iterable[Row]) -> None:
    """Write a results file."""
    write_json(path, {"graph": graph, "rows": list(rows)})
