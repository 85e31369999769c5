"""Link prediction with full and, on request, sampled metrics side by side."""

from __future__ import annotations

from collections.abc import Sequence

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.inference.table import EmbeddingTable
from mmgraph.metrics.ranking import ranking_metrics
from mmgraph.metrics.sampled import sampled_ranking_metrics
from mmgraph.tasks.link_prediction import LinkPredictionTask


def link_metrics(
    task: LinkPredictionTask,
    table: EmbeddingTable,
    graph: MultimodalGraph,
    *,
    split: str = "test",
    sampled: Sequence[int] = (100, 1000),
    seed: int = 0,
) -> dict[str, float]:
    """What `task.evaluate` gives, and the same over random negatives, from one full ranking.

    Negatives are uniform nodes of the candidate's type, drawn with replacement, without known neighbours of the
    query; their number stands in each name, `mrr@sampled(100,0)`. Nothing warns: whoever calls this asked for it.

    Args:
        task: The task.
        table: Embeddings, joined by id.
        graph: The graph without anything held out.
        split: `valid` or `test`.
        sampled: Numbers of negatives per positive.
        seed: Seed of the samples.

    Raises:
        InputError: If the task has fixed negatives, which are a sample already, or a number is below 1.
    """
    task.check_split(split)
    if sampled and task.negatives_digest is not None:
        raise InputError(f"{task.where}: its negatives are fixed, so sampled metrics mean nothing; pass sampled=()")
    ranks = task.ranks(table, graph, split=split)
    metrics = ranking_metrics(ranks)
    for count in sampled:
        metrics |= sampled_ranking_metrics(ranks, count, seed=seed, warn=False)
    return metrics
