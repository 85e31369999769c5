"""One JSON file per model, seed and graph: written after each measure, so that nothing is lost when a study is stopped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from context import Context, LoadedGraph, slug
from measures import Measure, score
from model import Model

from mmgraph.files import content_digest, read_json, write_json
from mmgraph.training.run import environment


def record_path(out: Path, graph: str, name: str, seed: int | None, *, folder: str = "records") -> Path:
    """Where the numbers of a model on a graph lie."""
    return out / folder / slug(graph) / f"{slug(name)}{'' if seed is None else f'-seed{seed}'}.json"


def job_record(context: Context, name: str, model: Model, graph: LoadedGraph, seed: int | None) -> dict[str, Any]:
    """A record without any numbers."""
    settings = model.settings(context, graph)
    return {
        "graph": graph.graph.name,
        "model": name,
        "label": model.label,
        "family": model.family,
        "seed": seed,
        "trial": context.steps is not None,
        "settings": content_digest(str(settings), graph.digest),
        "described": settings,
        "graph_digest": graph.digest,
        "seconds": {},
        "measures": {},
    }


def run_job(
    context: Context,
    name: str,
    model: Model,
    graph: LoadedGraph,
    seed: int | None,
    *,
    measures: Sequence[Measure] | None = None,
    split: str = "test",
    folder: str = "records",
) -> bool:
    """Take the measures that are missing; those taken under the same settings, graph and task are kept.

    Returns:
        Whether there was anything to do.
    """
    path = record_path(context.out, graph.graph.name, name, seed, folder=folder)
    record = job_record(context, name, model, graph, seed)
    before = read_json(path) if path.exists() else {}
    if before.get("settings") == record["settings"]:
        record["measures"], record["seconds"] = before["measures"], before["seconds"]
    missing = [
        measure
        for measure in (graph.measures if measures is None else measures)
        if record["measures"].get(measure.name, {}).get("digest") != measure.digest
    ]
    if not missing:
        return False
    start = time.perf_counter()
    subject, trained = model.prepare(context, graph, seed or 0)
    record["seconds"] = {"training": round(trained, 2), "preparing": round(time.perf_counter() - start, 2)}
    record |= environment(torch.device(context.device))
    for measure in missing:
        start = time.perf_counter()
        found = score(subject, measure, graph.graph, split=split)
        metrics, choice = found or ({}, "")
        record["measures"][measure.name] = {
            "kind": measure.kind,
            "metrics": metrics,
            "protocol": f"{measure.protocol}; {choice}" if choice else measure.protocol,
            "split": split,
            "num_examples": measure.num_examples(split),
            "digest": measure.digest,
            "seconds": round(time.perf_counter() - start, 2),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_json(path, record)
    if seed is not None:
        context.kept_table(name, seed, graph).unlink(missing_ok=True)
    return True
