"""What is measured of a model on a graph: each task, and variants of it that need no other data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.files import content_digest
from mmgraph.inference.table import EmbeddingTable
from mmgraph.seeding import generator
from mmgraph.tasks.base import QueryFunction, Task
from mmgraph.tasks.few_shot import few_shot_accuracy, few_shot_episodes
from mmgraph.tasks.link_metrics import link_metrics
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask

SAMPLED = (100, 1000)
"""Numbers of negatives of the sampled link metrics."""
WAYS, SHOTS, EPISODES = 5, (1, 5), 500
MOST_LABELS = 6_000
"""Probes are also trained on a sample of so many labels, where there are more."""
EVALUATION_SEED = 0
"""Episodes, negatives and the sample of labels are the same for all models and seeds: only training differs."""


@dataclass(frozen=True, eq=False)
class Measure:
    """One column of a table.

    Attributes:
        name: Name of the column.
        task: The task.
        shots: For few-shot episodes: support nodes of each class; 0 for the task itself.
    """

    name: str
    task: Task
    shots: int = 0

    @property
    def kind(self) -> str:
        """Kind of the task, or `few_shot`."""
        return "few_shot" if self.shots else self.task.kind

    @property
    def protocol(self) -> str:
        """One line for the record."""
        if self.shots:
            return f"{EPISODES} episodes, {WAYS} ways, {self.shots} shots, up to 20 queries of each class, cosine to prototypes"
        return self.task.protocol

    @property
    def digest(self) -> str:
        """Numbers compare only where it is equal."""
        if self.shots:
            return content_digest(self.task.digest, f"{WAYS} {self.shots} {EPISODES} {EVALUATION_SEED}")
        return self.task.digest

    def num_examples(self, split: str) -> int:
        """Number of labelled nodes, edges, users, queries or episodes."""
        return EPISODES if self.shots else self.task.num_examples(split)


@dataclass(frozen=True, eq=False)
class Entry:
    """What a model enters for a task.

    Attributes:
        table: Embeddings of all nodes.
        query: Makes the query encoder for a modality; a model that cannot embed queries has none.
        choice: What was chosen on valid, for the record.
    """

    table: EmbeddingTable
    query: Callable[[str], QueryFunction] | None = None
    choice: str = ""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model on a graph, ready to be scored.

    Attributes:
        entry: What it enters for a task, or nothing.
        direct: For models that give predictions and no vectors: metrics of a task on a split, or nothing.
    """

    entry: Callable[[Task], Entry | None]
    direct: Callable[[Task, str], dict[str, float] | None] = lambda _task, _split: None


def measures_of(tasks: Mapping[str, Task]) -> list[Measure]:
    """The columns of a graph: its tasks, probes on fewer labels, few-shot episodes where they can be drawn."""
    found = [Measure(name, task) for name, task in tasks.items()]
    for name, task in tasks.items():
        if not isinstance(task, NodeClassificationTask):
            continue  # episodes need classes; a ridge regression is quick on all values
        if task.num_examples("train") > MOST_LABELS:
            found.append(Measure(f"{name} ({MOST_LABELS:,} labels)", fewer_labels(task, MOST_LABELS)))
        for shots in SHOTS if not task.multi_label else ():
            try:
                few_shot_episodes(task, ways=WAYS, shots=shots, episodes=1)
            except InputError:  # too few classes or nodes
                continue
            found.append(Measure(f"{name} ({WAYS}-way {shots}-shot)", task, shots))
    return found


def fewer_labels(task: NodeClassificationTask, most: int) -> NodeClassificationTask:
    """The task with a sample of its train labels; valid and test stay."""
    split = task.labels["split"].to_numpy(zero_copy_only=False)
    train = torch.from_numpy((split == "train").nonzero()[0])
    order = torch.randperm(train.numel(), generator=generator(EVALUATION_SEED, "fewer labels", task.name))
    kept = torch.ones(len(split), dtype=torch.bool)
    kept[train[order[most:]]] = False
    return NodeClassificationTask(task.name, task.labels.filter(pa.array(kept.numpy())), task.multi_label)


def score(
    subject: Subject, measure: Measure, graph: MultimodalGraph, *, split: str = "test"
) -> tuple[dict[str, float], str] | None:
    """Metrics, and what was chosen on valid; nothing if the model has no answer to this measure.

    Args:
        subject: The model.
        measure: What to measure.
        graph: The graph.
        split: `valid` or `test`; few-shot episodes always ask for nodes of test, so they have no valid.
    """
    task = measure.task
    if measure.shots and split != "test":
        return None
    if not measure.shots:
        direct = subject.direct(task, split)
        if direct is not None:
            return direct, ""
    entry = subject.entry(task)
    if entry is None or (isinstance(task, NodeRetrievalTask) and entry.query is None):
        return None
    if measure.shots:
        assert isinstance(task, NodeClassificationTask)
        result = few_shot_accuracy(
            task,
            entry.table,
            graph,
            ways=WAYS,
            shots=measure.shots,
            episodes=EPISODES,
            seed=EVALUATION_SEED,
        )
        metrics = {"accuracy": result.accuracy, "interval": result.interval, "tie_rate": result.tie_rate}
        return metrics, entry.choice
    if isinstance(task, LinkPredictionTask) and task.negatives_digest is None:
        found = link_metrics(task, entry.table, graph, split=split, sampled=SAMPLED, seed=EVALUATION_SEED)
        return found, entry.choice
    encode: dict[str, Any] = {}
    if isinstance(task, NodeRetrievalTask) and entry.query is not None:
        encode["encode_query"] = entry.query(task.modality)
    return task.evaluate(entry.table, graph, split=split, seed=EVALUATION_SEED, **encode), entry.choice
