"""The best of many smoothed controls: which form of smoothing suits a task, chosen on its valid split."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.seeding import generator
from mmgraph.tasks.base import QueryFunction, Task
from mmgraph.tasks.controls import Combine, raw_features, smoothed_features, smoothed_levels
from mmgraph.tasks.logistic import principal_axes
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask

CHOOSING_ENTRIES, CHOOSING_DIM, CHOOSING_ROWS = 2**24, 384, 8_000
"""With more entries than this, forms are compared on so many principal axes, and probes on so many train rows."""


@dataclass(frozen=True)
class SmoothedForm:
    """One way to smooth, as `smoothed_features` takes it.

    Attributes:
        hops: Which levels.
        combine: How they are put together.
        weights: One per hop, for `weighted`.
    """

    hops: tuple[int, ...]
    combine: Combine = "weighted"
    weights: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """For records: `hop 2`, `concat of hops 0-1-2`, `0.5 x hop 0 + 1 x hop 1`."""
        if self.combine == "concat":
            return f"concat of hops {'-'.join(map(str, self.hops))}"
        if len(self.hops) == 1:
            return f"hop {self.hops[0]}"
        return " + ".join(f"{weight:g} x hop {hop}" for hop, weight in zip(self.hops, self.weights, strict=True))

    def table(self, graph: MultimodalGraph) -> EmbeddingTable:
        """The control in full width."""
        return smoothed_features(graph, self.hops, combine=self.combine, weights=self.weights)


def _alone(hop: int) -> SmoothedForm:
    return SmoothedForm((hop,), weights=(1.0,))


FORMS: tuple[SmoothedForm, ...] = (
    *(_alone(hop) for hop in range(4)),
    SmoothedForm((0, 1, 2), "concat"),
    SmoothedForm((0, 1, 2, 3), "concat"),
    SmoothedForm((0, 1), weights=(1.0, 1.0)),
    SmoothedForm((0, 1, 2), weights=(0.5, 1.0, 0.5)),
    SmoothedForm((0, 1, 2), weights=(1.0, 1.0, 1.0)),
    SmoothedForm((0, 1, 2, 3), weights=(0.5, 1.0, 1.0, 0.5)),
    SmoothedForm((0, 1, 2, 3), weights=(1.0, 1.0, 1.0, 1.0)),
)
"""Each hop alone (SGC; hop 0 are the raw features), two concatenations, weighted sums; the simplest first."""


@dataclass(frozen=True, eq=False)
class BestSmoothed:
    """The form that is best on valid.

    Attributes:
        table: The control in full width, model `best smoothed`.
        form: The chosen form.
        scores: Score on valid by name of the form: accuracy or minus the cross-entropy of a probe, minus the RMSE of
            a ridge regression, MRR of links and queries, nDCG@10 of recommendation.
        reduced: The forms were compared on fewer columns and train rows, see `best_smoothed`.
    """

    table: EmbeddingTable
    form: SmoothedForm
    scores: Mapping[str, float]
    reduced: bool

    @property
    def choice(self) -> str:
        """One clause for the protocol of a record."""
        where = f" (on {CHOOSING_DIM} principal axes, {CHOOSING_ROWS:,} train rows)" if self.reduced else ""
        return f"{self.form.name}, the best of {len(self.scores)} smoothed forms on valid{where}"


def best_smoothed(
    graph: MultimodalGraph,
    task: Task,
    *,
    forms: Sequence[SmoothedForm] = FORMS,
    encode_query: Callable[[int], QueryFunction] | None = None,
) -> BestSmoothed:
    """Try forms of smoothing on the valid split of a task and keep the best; of equal ones, the first.

    On a large graph all forms are compared on the first 384 principal axes of the raw features, and probes on a
    fixed sample of 8,000 train rows; only the chosen form is then made in full width. That may choose another form
    than full width would, and it never reads a label or an edge of `test`.

    Args:
        graph: The graph without anything held out.
        task: A task of any kind.
        forms: What to try.
        encode_query: For retrieval tasks: query encoder for a number of copies, see `raw_query`.

    Raises:
        InputError: If there are no forms, or a retrieval task comes without `encode_query`.
    """
    if not forms:
        raise InputError("best_smoothed: expected at least one form, got none")
    is_retrieval = isinstance(task, NodeRetrievalTask)
    if is_retrieval and encode_query is None:
        raise InputError(f"{task.where}: a retrieval task needs a query encoder (encode_query), got none")
    raw = raw_features(graph).vectors
    reduced = not is_retrieval and raw.numel() > CHOOSING_ENTRIES and raw.size(1) > CHOOSING_DIM
    if reduced:
        raw = _projected(raw)
        task = _with_fewer_train_rows(task)
    scores: dict[str, float] = {}
    for form, vectors in _all_forms(graph, raw, forms):
        table = EmbeddingTable.for_graph(graph, vectors, model=form.name)
        copies = len(form.hops) if form.combine == "concat" else 1
        scores[form.name] = _valid_score(task, table, graph, encode_query(copies) if encode_query else None)
    chosen = max(forms, key=lambda form: scores[form.name])
    table = EmbeddingTable.for_graph(graph, chosen.table(graph).vectors, model="best smoothed")
    return BestSmoothed(table, chosen, scores, reduced)


def _all_forms(
    graph: MultimodalGraph, raw: Tensor, forms: Sequence[SmoothedForm]
) -> Iterator[tuple[SmoothedForm, Tensor]]:
    """Vectors of each form in turn; the levels are computed once, and one form is in memory at a time."""
    highest = max(hop for form in forms for hop in form.hops)
    levels = list(itertools.islice(smoothed_levels(graph, raw), highest + 1))
    for form in forms:
        used = [levels[hop] for hop in form.hops]
        if form.combine == "concat":
            yield form, torch.cat([torch.nn.functional.normalize(level, dim=1) for level in used], dim=1)
        else:
            total = torch.zeros_like(raw)
            for weight, level in zip(form.weights, used, strict=True):
                total.add_(level, alpha=weight)
            yield form, total


def _valid_score(
    task: Task, table: EmbeddingTable, graph: MultimodalGraph, encode_query: QueryFunction | None
) -> float:
    if isinstance(task, NodeClassificationTask | NodeRegressionTask):
        return task.fit(table).selection.score
    metrics = task.evaluate(table, graph, split="valid", encode_query=encode_query)
    return metrics["ndcg@10" if isinstance(task, RecommendationTask) else "mrr"]


def _projected(raw: Tensor) -> Tensor:
    axes = principal_axes(raw - raw.mean(dim=0), 0.0)
    # Not centred: cosines must stay what they are, as far as the axes go.
    return raw if axes is None else raw @ axes[:, :CHOOSING_DIM]


def _with_fewer_train_rows(task: Task) -> Task:
    if not isinstance(task, NodeClassificationTask | NodeRegressionTask):
        return task
    if task.num_examples("train") <= CHOOSING_ROWS:
        return task
    table = task.labels if isinstance(task, NodeClassificationTask) else task.values
    split = table["split"].to_numpy(zero_copy_only=False)
    train = torch.from_numpy((split == "train").nonzero()[0])
    kept = torch.ones(len(split), dtype=torch.bool)
    order = torch.randperm(train.numel(), generator=generator(0, "rows to choose on", task.name))
    kept[train[order[CHOOSING_ROWS:]]] = False
    table = table.filter(pa.array(kept.numpy()))
    if isinstance(task, NodeRegressionTask):
        return NodeRegressionTask(task.name, table)
    return NodeClassificationTask(task.name, table, task.multi_label)
