"""All models on all tasks of a graph, as records for a file or a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.progress import track
from mmgraph.tasks.base import QueryFunction, Task
from mmgraph.tasks.controls import item_knn, popularity
from mmgraph.tasks.link_metrics import link_metrics
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.recommendation import RecommendationTask, ScoreFunction
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.tasks.smoothing import best_smoothed
from mmgraph.tasks.supervised import SupervisedConfig
from mmgraph.tasks.supervised_links import supervised_links
from mmgraph.tasks.supervised_values import supervised_nodes


@dataclass(frozen=True)
class _Job:
    """One record to be made; `run` gives metrics, and what was chosen on valid for the protocol, empty if nothing."""

    task: Task
    model: str
    protocol: str
    run: Callable[[], tuple[dict[str, float], str]]


@dataclass(frozen=True)
class TaskRecord:
    """One model on one task.

    Attributes:
        graph: Name of the graph.
        task: Name of the task.
        kind: Kind of the task.
        model: Name of the model or control.
        metrics: Values by name.
        num_examples: Number of nodes, edges, users or queries that were averaged over.
        seconds: Wall time of the evaluation.
        split: Which split was scored.
        seed: Seed of the evaluation.
        protocol: Candidates, mask, score, ties and selection, in one line.
        digest: Hash of the task's splits; numbers compare only where it is equal.
    """

    graph: str
    task: str
    kind: str
    model: str
    metrics: dict[str, float]
    num_examples: int
    seconds: float
    split: str
    seed: int
    protocol: str
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def evaluate_tables(
    tables: Mapping[str, EmbeddingTable],
    graph: MultimodalGraph,
    tasks: Mapping[str, Task],
    *,
    query_encoders: Mapping[str, QueryFunction] = MappingProxyType({}),
    split: str = "test",
    seed: int = 0,
    supervised: bool = False,
    smoothed_forms: bool = False,
    sampled: Sequence[int] = (),
    progress: bool = True,
) -> list[TaskRecord]:
    """Score every table on every task, and add the controls that need no table.

    Recommendation tasks also get the models `popularity` and `item-knn`. With `supervised`, tasks of labels and
    values get `supervised sage`, `supervised gat` and `supervised mlp`, link prediction and recommendation `supervised sage`.
    With `smoothed_forms`, all of these get `best smoothed`, and the protocol of its record says which form that is.
    Both need a valid split; a task of links or recommendation without one does not get them.
    A retrieval task is scored for the models that have a query encoder.

    Args:
        tables: Embeddings by the name of the model, as it is to appear in results.
        graph: The graph without anything held out.
        tasks: Tasks by name.
        query_encoders: Encoders of free queries by model, for tasks with text queries; for another modality the key
            is `model/modality`, for example `joint/image`.
        split: `valid` or `test`.
        seed: Seed of what is random.
        supervised: Also train the supervised controls.
        smoothed_forms: Also choose the best smoothed control on valid.
        sampled: Numbers of random negatives; link prediction by full ranking gets sampled metrics beside its own.
        progress: Draw a bar.

    Returns:
        Records by task, then by model in the order of `tables`.

    Raises:
        InputError: If a query encoder is for an unknown model, or a task refuses its data.
    """
    unknown = [name for name in query_encoders if name not in tables and name.rsplit("/", 1)[0] not in tables]
    if unknown:
        raise InputError(f"query encoder for unknown model {unknown[0]!r}; models: {', '.join(tables)}")
    jobs: list[_Job] = []
    for task in tasks.values():
        for model, table in tables.items():
            encode_query = _query_encoder(task, model, query_encoders)
            if isinstance(task, NodeRetrievalTask) and encode_query is None:
                continue
            score = _scorer(task, graph, split, seed, sampled, encode_query)
            jobs.append(_Job(task, model, task.protocol, partial(_plainly, partial(score, table))))
        score = _scorer(task, graph, split, seed, sampled, None)
        jobs += _controls(task, graph, split, seed, score, supervised=supervised, smoothed_forms=smoothed_forms)
    records = []
    for job in track(jobs, f"evaluating {graph.name}") if progress else jobs:
        start = time.perf_counter()
        metrics, choice = job.run()
        seconds = round(time.perf_counter() - start, 3)
        records.append(
            TaskRecord(
                graph=graph.name,
                task=job.task.name,
                kind=job.task.kind,
                model=job.model,
                metrics=metrics,
                num_examples=job.task.num_examples(split),
                seconds=seconds,
                split=split,
                seed=seed,
                protocol=f"{job.protocol}; {choice}" if choice else job.protocol,
                digest=job.task.digest,
            )
        )
    return records


def _query_encoder(task: Task, model: str, encoders: Mapping[str, QueryFunction]) -> QueryFunction | None:
    if not isinstance(task, NodeRetrievalTask):
        return None
    found = encoders.get(f"{model}/{task.modality}")
    return encoders.get(model) if found is None and task.modality == "text" else found


def _scorer(
    task: Task,
    graph: MultimodalGraph,
    split: str,
    seed: int,
    sampled: Sequence[int],
    encode_query: QueryFunction | None,
) -> Callable[[EmbeddingTable], dict[str, float]]:
    if isinstance(task, LinkPredictionTask) and sampled and task.negatives_digest is None:
        return partial(_link_metrics, task, graph, split, seed, sampled)
    return partial(task.evaluate, graph=graph, split=split, seed=seed, encode_query=encode_query)


def _link_metrics(
    task: LinkPredictionTask,
    graph: MultimodalGraph,
    split: str,
    seed: int,
    sampled: Sequence[int],
    table: EmbeddingTable,
) -> dict[str, float]:
    return link_metrics(task, table, graph, split=split, sampled=sampled, seed=seed)


def _plainly(run: Callable[[], dict[str, float]]) -> tuple[dict[str, float], str]:
    return run(), ""


def _controls(
    task: Task,
    graph: MultimodalGraph,
    split: str,
    seed: int,
    score: Callable[[EmbeddingTable], dict[str, float]],
    *,
    supervised: bool,
    smoothed_forms: bool,
) -> list[_Job]:
    """Controls that are no table: they score pairs, train on labels or edges, or are chosen on valid."""
    jobs: list[_Job] = []
    if isinstance(task, RecommendationTask):
        for model, make in (("popularity", popularity), ("item-knn", item_knn)):
            run = partial(_plainly, partial(_evaluate_scores, task, make, graph, split))
            jobs.append(_Job(task, model, task.protocol, run))
    selectable = task.num_examples("valid") > 0
    if smoothed_forms and selectable and not isinstance(task, NodeRetrievalTask):
        jobs.append(_Job(task, "best smoothed", task.protocol, partial(_best_smoothed, task, graph, score)))
    if isinstance(task, NodeClassificationTask | NodeRegressionTask) and supervised:
        networks = {"sage": SupervisedConfig(), "gat": SupervisedConfig("gat"), "mlp": SupervisedConfig(num_layers=0)}
        for name, config in networks.items():
            what = "labels" if isinstance(task, NodeClassificationTask) else "values"
            protocol = f"trained on the train {what} from raw features, full batch, early stopping on valid"
            train = partial(supervised_nodes, graph, task, split=split, seed=seed, config=config)
            jobs.append(_Job(task, f"supervised {name}", protocol, partial(_plainly, train)))
    if isinstance(task, (LinkPredictionTask, RecommendationTask)) and supervised and selectable:
        protocol = f"{task.protocol}; trained on the edges of the graph from raw features, early stopping on valid"
        jobs.append(_Job(task, "supervised sage", protocol, partial(_supervised_links, task, graph, seed, score)))
    return jobs


def _best_smoothed(
    task: Task, graph: MultimodalGraph, score: Callable[[EmbeddingTable], dict[str, float]]
) -> tuple[dict[str, float], str]:
    best = best_smoothed(graph, task)
    return score(best.table), best.choice


def _supervised_links(
    task: LinkPredictionTask | RecommendationTask,
    graph: MultimodalGraph,
    seed: int,
    score: Callable[[EmbeddingTable], dict[str, float]],
) -> tuple[dict[str, float], str]:
    return score(supervised_links(graph, task, seed=seed)), ""


def _evaluate_scores(
    task: RecommendationTask,
    make: Callable[[MultimodalGraph, RecommendationTask], ScoreFunction],
    graph: MultimodalGraph,
    split: str,
) -> dict[str, float]:
    return task.evaluate_scores(make(graph, task), graph, split=split)
