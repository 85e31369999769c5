"""What the canary asks about a random graph: the same task as the real one, and the same task with shuffled answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mmgraph.audit.edges import told_by_graph
from mmgraph.audit.material import HeldOut
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.metrics.ranking import ranking_metrics
from mmgraph.metrics.regression import spearman
from mmgraph.seeding import generator
from mmgraph.splits.base import TEST, TRAIN, VALID, Split
from mmgraph.splits.edges import split_edges_random
from mmgraph.splits.groups import NODE_SHARES
from mmgraph.splits.message import interaction_relation, message_graph
from mmgraph.splits.nodes import split_nodes_random
from mmgraph.splits.recipe import has_recipe, resplit
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.recommendation import RecommendationTask

LEAST_ASKED = 20
"""Fewer rows say nothing about chance."""
MOST_CLASSES = 8


class Answers(Protocol):
    """Scores of one table of embeddings."""

    def __call__(self, *, shuffle: int | None) -> float:
        """The metric; with a seed, for shuffled answers."""


class Question(ABC):
    """A task on a random graph.

    Attributes:
        visible: The graph that a model may see.
        metric: Name of the metric.
        num_asked: Number of rows that are asked.
    """

    visible: MultimodalGraph
    metric: str
    num_asked: int

    @abstractmethod
    def prepare(self, table: EmbeddingTable) -> Answers:
        """Make ready to score a table, with true and with shuffled answers."""


def make_question(graph: MultimodalGraph, held: HeldOut, *, seed: int) -> Question | None:
    """Imitate a task or split on a random graph; `None` if there would be too few rows to ask."""
    if held.kind == "node":
        return (_ValueQuestion if _values(held) is not None else _LabelQuestion).imitate(graph, held, seed)
    split = _imitate_split(graph, held, seed)
    question = None if split is None else _PairQuestion(graph, split)
    return question if question is not None and question.num_asked >= LEAST_ASKED else None


def _imitate_split(graph: MultimodalGraph, held: HeldOut, seed: int) -> Split | None:
    """Split the random graph by the recipe of a split; `None` if the splitter refuses so small a graph.

    Tasks and official splits have no recipe, their relations are split at random.
    """
    if held.method:
        split = Split(held.kind, held.table, held.method, held.settings)  # type: ignore[arg-type]
        if has_recipe(split):
            try:
                return resplit(graph, split)
            except InputError:
                return None
    relations = [name for name in held.relation_of(held.asked).unique().to_pylist() if name in graph.relations]
    if not relations:
        return None
    split = split_edges_random(graph, relations, shares={TRAIN: 0.7, VALID: 0.1, TEST: 0.2}, seed=seed)
    if held.kind == "edge":
        return split
    relation = graph.relations[relations[0]]
    user_type = str(held.settings.get("user_type", relation.source_type))
    sides = ("source", "target") if user_type == relation.source_type else ("target", "source")
    columns = {name: split.table[side] for name, side in zip(("user", "item"), sides, strict=True)}
    settings = {"relation": relations[0], "user_type": user_type}
    return Split("interaction", pa.table({**columns, "split": split.table["split"]}), "random", settings)


class _PairQuestion(Question):
    """Held-out edges or interactions; shuffled answers give every node the partner of another one."""

    def __init__(self, graph: MultimodalGraph, split: Split) -> None:
        self.visible = message_graph(graph, split, "test")
        self.held = HeldOut("canary", split.kind, split.table, split.settings, split.method)
        self.rows = self._unknown(split.part(TEST).select([*self.held.ends, *_relation_column(split)]))
        self.metric = "amri"  # of all ranks, and the same at chance however many answers a node has
        self.num_asked = self.rows.num_rows
        self.split = split

    def prepare(self, table: EmbeddingTable) -> Answers:
        def answers(*, shuffle: int | None) -> float:
            rows = self.rows if shuffle is None else self._shuffled(shuffle)
            rows = rows.append_column("split", pa.array([TEST] * rows.num_rows))
            return ranking_metrics(self._task(rows).ranks(table, self.visible))[self.metric]

        return answers

    def _task(self, rows: pa.Table) -> LinkPredictionTask | RecommendationTask:
        if self.split.kind == "edge":
            return LinkPredictionTask("canary", rows)
        name, flipped = interaction_relation(self.visible, self.split)
        relation = self.visible.relations[name]
        types = (relation.source_type, relation.target_type)
        return RecommendationTask("canary", name, *(types[::-1] if flipped else types), rows)

    def _shuffled(self, seed: int) -> pa.Table:
        """Rows with other partners, of the same relation, without pairs that the graph tells or that occur twice."""
        random = np.random.default_rng(seed)
        end = self.held.ends[1]
        relation = np.asarray(self.held.relation_of(self.rows).dictionary_encode().indices)
        order = np.arange(self.rows.num_rows)
        for code in np.unique(relation):
            inside = np.flatnonzero(relation == code)
            order[inside] = random.permutation(inside)
        shuffled = self.rows.set_column(self.rows.column_names.index(end), end, self.rows[end].take(pa.array(order)))
        return self._unknown(shuffled)

    def _unknown(self, rows: pa.Table) -> pa.Table:
        """Rows without known pairs, pairs of a node with itself, and repeats."""
        ends = np.stack([self.visible.node_ids.positions(rows[side]) for side in self.held.ends])
        told = np.logical_or.reduce(list(told_by_graph(self.held, rows, ends, self.visible).values()))
        keep = ~told & (ends[0] != ends[1])
        key = np.sort(ends, axis=0)
        first = np.zeros(rows.num_rows, dtype=bool)
        first[np.unique(key[0] * self.visible.num_nodes + key[1], return_index=True)[1]] = True
        return rows.filter(pa.array(keep & first))


def _relation_column(split: Split) -> list[str]:
    return ["relation"] if split.kind == "edge" else []


class _LabelQuestion(Question):
    """Labels that nodes drew at random; shuffled answers give the test nodes each other's labels."""

    def __init__(self, graph: MultimodalGraph, task: NodeClassificationTask) -> None:
        self.visible, self.task = graph, task
        self.metric = "macro_auc" if task.multi_label else "accuracy"
        self.num_asked = task.num_examples(TEST)

    @classmethod
    def imitate(cls, graph: MultimodalGraph, held: HeldOut, seed: int) -> _LabelQuestion | None:
        """Draw labels with the frequencies of the real ones; `None` without labels, or with too few nodes."""
        if "label" not in held.table.column_names:
            return None
        column = held.table["label"].drop_null()
        is_list = pa.types.is_list(column.type)
        names = column.to_pylist() if is_list else column.cast(pa.string()).to_pylist()
        if not names:
            return None
        random = np.random.default_rng(generator(seed, "canary", "labels").initial_seed())
        counts = Counter(label for item in names for label in ([item] if isinstance(item, str) else item))
        common = sorted(label for label, _ in counts.most_common(MOST_CLASSES))
        drawn: list[Any]
        if is_list:  # as often, and as many together, as real ones
            drawn = [
                sorted(set(common) & set(names[int(i)])) for i in random.integers(len(names), size=graph.num_nodes)
            ]
        else:  # equally often: where one label is most of all, its share is what every model scores
            drawn = [common[int(i)] for i in random.integers(len(common), size=graph.num_nodes)]
        part = _parts(graph, seed)
        rows = [
            {"id": node, "label": label, "split": part[node]}
            for node, label in zip(graph.node_ids.values.tolist(), drawn, strict=True)
            if label
        ]
        try:
            task = NodeClassificationTask("canary", pa.Table.from_pylist(rows), multi_label=is_list)
            task.check_trainable()
        except InputError:
            return None
        return cls(graph, task) if task.num_examples(TEST) >= LEAST_ASKED else None

    def prepare(self, table: EmbeddingTable) -> Answers:
        probe = self.task.fit(table)
        ids, target = self.task.examples(TEST)
        logits = probe.logits(table.vectors_of(ids))

        def answers(*, shuffle: int | None) -> float:
            wanted = target
            if shuffle is not None:
                wanted = target[np.random.default_rng(shuffle).permutation(len(target))]
            return self.task.metrics(logits, wanted, probe.selection.threshold)[self.metric]

        return answers


class _ValueQuestion(Question):
    """Numbers that nodes drew at random; shuffled answers give the test nodes each other's numbers."""

    metric = "spearman"  # zero at chance, and a few large values do not decide it

    def __init__(self, graph: MultimodalGraph, task: NodeRegressionTask) -> None:
        self.visible, self.task = graph, task
        self.num_asked = task.num_examples(TEST)

    @classmethod
    def imitate(cls, graph: MultimodalGraph, held: HeldOut, seed: int) -> _ValueQuestion | None:
        """Draw from the real values; `None` without two different ones, or with too few nodes."""
        column = _values(held)
        known = np.array([]) if column is None else column.drop_null().cast(pa.float64(), safe=False).to_numpy()
        known = known[np.isfinite(known)]
        if not len(known):
            return None
        random = np.random.default_rng(generator(seed, "canary", "values").initial_seed())
        drawn, part = random.choice(known, size=graph.num_nodes), _parts(graph, seed)
        ids = graph.node_ids.values.tolist()
        table = pa.table({"id": ids, "value": drawn, "split": [part[node] for node in ids]})
        try:
            task = NodeRegressionTask("canary", table)
            task.check_trainable()
        except InputError:
            return None
        return cls(graph, task) if task.num_examples(TEST) >= LEAST_ASKED else None

    def prepare(self, table: EmbeddingTable) -> Answers:
        ids, target = self.task.examples(TEST)
        prediction = self.task.fit(table).predict(table.vectors_of(ids))

        def answers(*, shuffle: int | None) -> float:
            wanted = target
            if shuffle is not None:
                wanted = target[np.random.default_rng(shuffle).permutation(len(target))]
            return spearman(prediction, wanted.to(prediction.device))

        return answers


def _values(held: HeldOut) -> pa.ChunkedArray | None:
    """The numbers that a task or split of nodes asks for: values, or labels that are fractions; `None` for classes."""
    table = held.table
    if "value" in table.column_names:
        return table["value"]
    is_number = "label" in table.column_names and pa.types.is_floating(table["label"].type)
    return table["label"] if is_number else None


def _parts(graph: MultimodalGraph, seed: int) -> dict[Any, str]:
    """Part of each node of a random split."""
    split = split_nodes_random(pa.table({"id": graph.node_ids.arrow}), shares=NODE_SHARES, seed=seed)
    return dict(zip(split.table["id"].to_pylist(), split.table["split"].to_pylist(), strict=True))
