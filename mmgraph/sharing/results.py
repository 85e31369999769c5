"""Measured numbers of a model, next to its controls, for a card."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmgraph.sharing.markdown import NOT_MEASURED, code, escape, table
from mmgraph.training.evaluate import TRAINED

SHOWN = 8
"""Metrics per task in the table of a card; all of them are in `results.json`."""


def results_section(records: Sequence[Mapping[str, Any]], finetuned: Mapping[str, Any]) -> str:
    """One table per task: the trained model first, then controls.

    Args:
        records: As `TaskRecord.to_dict` gives them.
        finetuned: `result.json` of a fine-tuning run, or nothing.
    """
    parts = []
    if finetuned:
        parts.append(_finetuned(finetuned))
    for (graph, task), group in _by_task(records).items():
        metrics = list(dict.fromkeys(name for record in group for name in record["metrics"]))
        shown, first = metrics[:SHOWN], group[0]
        rows = [[record["model"], *(record["metrics"].get(name, "") for name in shown)] for record in group]
        seeds = sorted({int(record["seed"]) for record in group})
        more = f" All {len(metrics)} metrics are in `results.json`." if len(metrics) > SHOWN else ""
        parts.append(
            f"### {escape(graph)}: {escape(task)}\n\n"
            f"{_sentence(first['kind'].replace('_', ' '))}, {escape(first['split'])} split, "
            f"{first['num_examples']:,} examples, seed {', '.join(map(str, seeds))}. "
            f"{_sentence(first['protocol'])}. Split {code(first['digest'][:12])}.{more}\n\n"
            + table(["model", *shown], rows)
        )
    if not parts:
        return NOT_MEASURED
    note = "Measured once, on one training run: differences that other seeds would give are not known.\n\n"
    return note + "\n\n".join(parts)


def model_index(name: str, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Results of the trained model in the form that the Hugging Face Hub reads from a card; empty if there are none."""
    results = [
        {
            "task": {"type": record["kind"].replace("_", "-"), "name": record["task"]},
            "dataset": {"type": record["graph"], "name": record["graph"], "split": record["split"]},
            "metrics": [
                {"type": key, "name": key, "value": value}
                for key, value in record["metrics"].items()
                if math.isfinite(value)
            ],
        }
        for record in records
        if record["model"] == TRAINED
    ]
    return [{"name": name, "results": results}] if results else []


def metric_names(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """All metrics, each once, in order."""
    return list(dict.fromkeys(name for record in records for name in record["metrics"]))


def _finetuned(result: Mapping[str, Any]) -> str:
    metrics = list(result["test"])
    rows = [[split, *(result[split].get(name, "") for name in metrics[:SHOWN])] for split in ("valid", "test")]
    return (
        f"### Fine-tuned for: {escape(result['task'])}\n\n{_sentence(result['kind'].replace('_', ' '))}, best at step "
        f"{result['best_step']:,} of {result['steps']:,} by the valid split. {_sentence(result['protocol'])}. "
        "The head that was trained with it stays in the run; this folder holds the encoder.\n\n"
        + table(["split", *metrics[:SHOWN]], rows)
    )


def _sentence(text: str) -> str:
    return escape(text[:1].upper() + text[1:])


def _by_task(records: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in sorted(records, key=lambda record: record["model"] != TRAINED):
        groups.setdefault((record["graph"], record["task"]), []).append(record)
    return dict(sorted(groups.items()))
