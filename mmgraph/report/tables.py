"""Result tables: one per task, models in rows, metrics in columns, the best value marked wherever it stands."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MODELS = {
    "joint": "pre-trained on all graphs together",
    "alone": "pre-trained on this graph only",
    "random init": "the same network, never trained",
    "raw features": "encoder outputs, no graph",
    "smoothed features": "features averaged over neighbours, no training",
    "popularity": "most liked items for everyone",
    "item-knn": "items liked by the same users",
}
"""Row order and what each row is."""

TRAINED = ("joint", "alone")

METRICS = {
    "accuracy": "share of nodes whose label the linear probe gets right",
    "macro_f1": "F1 averaged over labels, so that rare labels count as much as common ones",
    "macro_auc": "chance that a node with a label scores above one without it, averaged over labels; 0.5 is guessing",
    "r2": "share of the variance of the values that is explained; 0 is as good as their mean, 1 is perfect",
    "rmse": "root of the mean squared error, in units of the values; lower is better",
    "mae": "mean absolute error, in units of the values; lower is better",
    "spearman": "how well the order of the values is predicted: 1 is perfect, 0 is guessing, -1 is reversed",
    "mrr": "mean of 1 / rank of the right answer; 1 is always first",
    "hits": "share of right answers among the first k",
    "hit": "share of users or queries with at least one right answer among the first k",
    "amri": "how far the mean rank lies above chance: 0 is guessing, 1 is perfect",
    "recall": "share of all right answers found among the first k",
    "precision": "share of the first k that are right",
    "map": "precision averaged over the ranks of the right answers",
    "ndcg": "right answers among the first k, early ones count more; 1 is a perfect order",
    "coverage": "share of all items that are recommended to anyone; neither high nor low is better",
    "exposure_gini": "how unequally items are recommended: 0 if all as often, near 1 if a few take all lists",
    "novelty": "mean surprise of a recommended item in bits; neither high nor low is better",
    "popularity_ratio": "popularity of what is recommended over that of what users chose; above 1 is more mainstream",
    "median_rank": "half of the queries find the right answer at this rank or earlier; lower is better",
    "tie_rate": "share of comparisons that are ties; a high value makes the others doubtful",
}
"""One line per metric; `@k` is looked up without the k."""

GROUPS = {
    "warm": "counting only right answers that training has an interaction with",
    "cold": "counting only right answers that are new to training, so that their content must speak for them",
}
"""One line per group of right answers that a metric is restricted to, as in `recall@10/cold`."""

HEADLINES = {"node_retrieval": "mrr", "recommendation": "ndcg@10", "node_regression": "r2"}
"""The metric that a task is judged by; the first one for other kinds. Fixed here, before any result is seen."""

LOWER_IS_BETTER = ("median_rank", "mean_rank", "mae", "rmse")
NEUTRAL = (
    "coverage",
    "exposure_gini",
    "novelty",
    "popularity_ratio",
    "tie_rate",
    "num_users",
    "num_items",
    "num_examples",
)

KINDS = {
    "node_classification": "node classification",
    "node_regression": "node regression",
    "link_prediction": "link prediction",
    "recommendation": "recommendation",
    "node_retrieval": "retrieval",
}


@dataclass(frozen=True)
class Cell:
    """A value of a table.

    Attributes:
        mean: Mean over seeds.
        spread: Standard deviation over seeds, `None` with one seed.
        best: No other row is better.
    """

    mean: float
    spread: float | None = None
    best: bool = False

    @property
    def text(self) -> str:
        """The value as shown."""
        if abs(self.mean) >= 10:
            return f"{self.mean:.1f}"
        return f"{self.mean:.3f}"


@dataclass(frozen=True)
class TaskTable:
    """Results of one task.

    Attributes:
        graph: Name of the graph.
        task: Name of the task.
        kind: Kind of the task, in words.
        protocol: How it is measured.
        num_examples: Number of test examples, `None` if not recorded.
        metrics: Names of the columns; the first is the one the task is judged by.
        rows: For each model one cell per metric, `None` where it was not measured.
        verdict: Where our joint model stands on the first metric, in one sentence.
        won: Whether the joint model is the best row on the first metric.
    """

    graph: str
    task: str
    kind: str
    protocol: str
    num_examples: int | None
    metrics: list[str]
    rows: dict[str, list[Cell | None]]
    verdict: str
    won: bool

    @property
    def notes(self) -> dict[str, str]:
        """What the metrics of this table mean."""
        found = {}
        for metric in self.metrics:
            name, _, group = metric.partition("/")
            name = name.split("@")[0]
            if name in METRICS:
                found[name] = METRICS[name]
            if group in GROUPS:
                found[f".../{group}"] = GROUPS[group]
        return found


def task_tables(records: Iterable[Mapping[str, Any]]) -> list[TaskTable]:
    """Group records into tables, in order of appearance; several seeds become mean and spread."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["graph"], record["task"]), []).append(record)
    return [_table(graph, task, group) for (graph, task), group in groups.items()]


def _table(graph: str, task: str, records: Sequence[Mapping[str, Any]]) -> TaskTable:
    metrics = list(dict.fromkeys(name for record in records for name in record["metrics"]))
    headline = HEADLINES.get(records[0]["kind"], metrics[0])
    metrics.sort(key=lambda name: name != headline)
    models = list(dict.fromkeys(record["model"] for record in records))
    models.sort(key=lambda name: list(MODELS).index(name) if name in MODELS else len(MODELS))
    rows: dict[str, list[Cell | None]] = {}
    for model in models:
        runs = [record["metrics"] for record in records if record["model"] == model]
        rows[model] = [_cell([run[name] for run in runs if name in run]) for name in metrics]
    for column, name in enumerate(metrics):
        values = [row[column] for row in rows.values()]
        best = best_value(name, [cell.mean for cell in values if cell is not None])
        for row in rows.values():
            cell = row[column]
            if cell is not None and best is not None and cell.mean == best:
                row[column] = Cell(cell.mean, cell.spread, best=True)
    verdict, won = _verdict(metrics[0], rows)
    first = records[0]
    kind = KINDS.get(first["kind"], str(first["kind"]).replace("_", " "))
    return TaskTable(
        graph, task, kind, first.get("protocol", ""), first.get("num_examples"), metrics, rows, verdict, won
    )


def _cell(values: Sequence[float]) -> Cell | None:
    if not values:
        return None
    return Cell(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def best_value(metric: str, values: Sequence[float]) -> float | None:
    """The best of some values, or `None` if the metric has no better and worse, or nobody differs."""
    if metric in NEUTRAL or len(values) < 2 or len(set(values)) == 1:
        return None
    return min(values) if metric in LOWER_IS_BETTER else max(values)


def _verdict(metric: str, rows: Mapping[str, Sequence[Cell | None]]) -> tuple[str, bool]:
    scores = {name: row[0].mean for name, row in rows.items() if row[0] is not None}
    if "joint" not in scores or len(scores) < 2:
        return "The joint model was not measured here.", False
    sign = -1 if metric in LOWER_IS_BETTER else 1
    others = {name: score for name, score in scores.items() if name != "joint"}
    rival = max(others, key=lambda name: sign * others[name])
    lead = sign * (scores["joint"] - others[rival])
    what = f"{label(metric)} {Cell(scores['joint']).text} against {Cell(others[rival]).text}"
    if lead > 0:
        return f"The joint model leads; next is {rival} ({what}).", True
    if lead == 0:
        return f"The joint model is level with {rival} ({what}).", False
    return f"The joint model is behind {rival} ({what}).", False


def label(metric: str) -> str:
    """A metric's name as shown: `recall@10` stays, `macro_f1` becomes `macro F1`."""
    words = {
        "mrr": "MRR",
        "ndcg": "nDCG",
        "map": "MAP",
        "macro_f1": "macro F1",
        "macro_auc": "macro AUC",
        "amri": "AMRI",
        "mae": "MAE",
        "rmse": "RMSE",
        "r2": "R²",
    }
    base, _, cut = metric.partition("@")
    shown = words.get(base, base.replace("_", " "))
    return f"{shown}@{cut}" if cut else shown
