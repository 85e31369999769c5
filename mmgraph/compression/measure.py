"""What each form of a table costs, in neighbours that are lost and in points of the tasks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from mmgraph.compression.codec import Codec, Codes, bytes_per_vector
from mmgraph.compression.form import Form, default_forms
from mmgraph.compression.recall import Neighbours
from mmgraph.compression.scan import CodeIndex
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.progress import track
from mmgraph.tasks.base import Task
from mmgraph.tasks.few_shot import few_shot_accuracy
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask

TIMED_QUERIES = 20
HEADLINES = ("recall@10", "mrr", "accuracy", "macro_auc", "r2", "spearman")
"""Which metric of a task stands for it in the printed table: the first of these that it has."""
NO_POINTS = ("mae", "rmse", "tie_rate")
"""Metrics of which less is better: no loss is stated for them."""


@dataclass(frozen=True)
class FormRecord:
    """What one form costs.

    Attributes:
        form: Name of the form.
        width: Number of dimensions that are kept.
        bytes_per_vector: Size of a row of codes.
        codec_bytes: Size of what was learnt, once per store.
        recall: Share of the exact k nearest neighbours that a search finds, mean over queries.
        interval: Half width of its 95% confidence interval over queries (normal approximation).
        search_ms: Milliseconds for one query among all nodes, mean over single queries.
        fit_seconds: Time to learn the codec and encode all nodes.
        best: Whether no form that is at most as large finds more, and none that is smaller finds as many.
        metrics: Metrics of each task, on the decoded vectors alone; empty without tasks.
        loss: Points (hundredths) that each metric of each task is below that of the full vectors, except `NO_POINTS`.
    """

    form: str
    width: int
    bytes_per_vector: int
    codec_bytes: int
    recall: float
    interval: float
    search_ms: float
    fit_seconds: float
    best: bool
    metrics: dict[str, dict[str, float]]
    loss: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CompressionReport:
    """All forms of one table.

    Attributes:
        graph: Name of the graph.
        model: Model of the table.
        count: Number of nodes.
        dim: Width of the full vectors.
        k: Number of neighbours of the recall.
        queries: Number of nodes that were asked for.
        seed: Seed.
        tasks: Digest of each task.
        full: Metrics of each task on the vectors as they are.
        records: One for each form, in the order asked for.
    """

    graph: str
    model: str
    count: int
    dim: int
    k: int
    queries: int
    seed: int
    tasks: dict[str, str]
    full: dict[str, dict[str, float]]
    records: list[FormRecord]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    def rows(self) -> tuple[list[str], list[list[object]]]:
        """Columns and rows for a terminal: size, recall, and one metric of each task with its loss in points."""
        heads = {task: headline(metrics) for task, metrics in self.full.items()}
        columns = ["form", "bytes", "of full", f"recall@{self.k}", "±", "ms/query", "best"]
        for task, metric in heads.items():
            columns += [f"{task} {metric}", "loss"]
        rows: list[list[object]] = []
        for record in self.records:
            row: list[object] = [record.form, record.bytes_per_vector, record.bytes_per_vector / (4 * self.dim)]
            row += [record.recall, record.interval, record.search_ms, "*" if record.best else ""]
            for task, metric in heads.items():
                row += [record.metrics[task][metric], f"{record.loss[task][metric]:+.2f}"]
            rows.append(row)
        return columns, rows


def measure_forms(
    table: EmbeddingTable,
    forms: Sequence[Form | str] | None = None,
    *,
    graph: MultimodalGraph | None = None,
    tasks: Mapping[str, Task] = MappingProxyType({}),
    k: int = 10,
    queries: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> CompressionReport:
    """Encode a table in several forms and compare each with the full vectors.

    Recall is that of a search with full, unquantised queries. Tasks see the decoded vectors on both sides, as somebody
    does who has only the store; for `binary` these are its int8 codes, so its candidates cost recall and no points. Tasks
    of one label per node are also scored by few-shot accuracy (5 ways, 1 and 5 shots) if they have classes for it.
    Retrieval tasks need queries and are left out. Rows are taken in order of ids, so the order of the table never matters.

    Args:
        table: Full vectors; one that is zero has cosine 0 with everything.
        forms: Forms or their names; `default_forms` if not given.
        graph: The graph of the tasks.
        tasks: Tasks by name.
        k: Number of neighbours.
        queries: Number of nodes to ask for; all if there are fewer.
        seed: Seed of the queries, of the codecs and of the tasks.
        progress: Draw a bar.

    Raises:
        InputError: If vectors are NaN or infinite, a form is unknown or does not fit, or tasks come without a graph.
        MissingExtraError: If product codes are asked for and faiss is not installed.
    """
    chosen = default_forms(table.dim) if forms is None else [f if isinstance(f, Form) else Form.parse(f) for f in forms]
    for form in chosen:
        form.width(table.dim)
    asked = {name: task for name, task in tasks.items() if not isinstance(task, NodeRetrievalTask)}
    if asked and graph is None:
        raise InputError("measure_forms: tasks need their graph")
    table.check_finite()
    by_id = np.argsort(table.node_ids.values, kind="stable")
    table = table.take(torch.from_numpy(by_id))
    neighbours = Neighbours.of(table, k=k, queries=queries, seed=seed)
    full = _evaluate(table, graph, asked, seed)
    records = []
    for form in track(chosen, "forms") if progress else chosen:
        start = time.perf_counter()
        codec = Codec.fit(table.vectors, form, seed=seed)
        codes = codec.encode(table.vectors)
        seconds = time.perf_counter() - start
        index = CodeIndex(codec, codes)
        recall = neighbours.recall(index)
        metrics = _evaluate(decoded_table(table, codec, codes), graph, asked, seed)
        spread = float(recall.std()) if len(recall) > 1 else float("nan")
        records.append(
            FormRecord(
                form=str(form),
                width=codec.width,
                bytes_per_vector=bytes_per_vector(codes),
                codec_bytes=codec.num_bytes,
                recall=float(recall.mean()),
                interval=1.96 * spread / len(recall) ** 0.5,
                search_ms=_milliseconds(neighbours, index),
                fit_seconds=round(seconds, 3),
                best=False,
                metrics=metrics,
                loss={
                    task: {
                        name: 100 * (value - metrics[task][name])
                        for name, value in values.items()
                        if name not in NO_POINTS
                    }
                    for task, values in full.items()
                },
            )
        )
    return CompressionReport(
        graph=table.graph,
        model=table.model,
        count=len(table),
        dim=table.dim,
        k=neighbours.k,
        queries=len(neighbours.query),
        seed=seed,
        tasks={name: task.digest for name, task in asked.items()},
        full=full,
        records=mark_best(records),
    )


def decoded_table(table: EmbeddingTable, codec: Codec, codes: Codes) -> EmbeddingTable:
    """The table with the vectors that come out of its codes, in the kept dimensions: all their cosines are the same."""
    return replace(table, vectors=codec.decode(codes["codes"]))


def mark_best(records: Sequence[FormRecord]) -> list[FormRecord]:
    """Mark the Pareto front of bytes and recall; of equals all are marked."""

    def beaten(one: FormRecord) -> bool:
        return any(
            other.bytes_per_vector <= one.bytes_per_vector
            and other.recall >= one.recall
            and (other.bytes_per_vector < one.bytes_per_vector or other.recall > one.recall)
            for other in records
        )

    return [replace(record, best=not beaten(record)) for record in records]


def headline(metrics: Mapping[str, float]) -> str:
    """The metric that stands for a task."""
    return next((name for name in HEADLINES if name in metrics), next(iter(metrics)))


def _evaluate(
    table: EmbeddingTable, graph: MultimodalGraph | None, tasks: Mapping[str, Task], seed: int
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    if graph is None:
        return found
    for name, task in tasks.items():
        found[name] = dict(task.evaluate(table, graph, seed=seed))
        if isinstance(task, NodeClassificationTask) and not task.multi_label:
            for shots in (1, 5):
                try:
                    result = few_shot_accuracy(task, table, graph, shots=shots, seed=seed)
                except InputError:  # too few classes with enough nodes
                    continue
                found[name][f"few_shot@{shots}"] = result.accuracy
    return found


def _milliseconds(neighbours: Neighbours, index: CodeIndex) -> float:
    some = neighbours.query[:TIMED_QUERIES]
    start = time.perf_counter()
    for row in some.tolist():
        index.search(neighbours.unit[row : row + 1], neighbours.k)
    return 1000 * (time.perf_counter() - start) / len(some)
