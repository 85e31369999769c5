"""Tasks on synthetic graphs, so that methods are scored as on real ones."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.data.graph import CHECKED_AT_ONCE, MultimodalGraph
from mmgraph.synthetic.user_item_model import ITEM, RELATION, USER
from mmgraph.tasks.base import Task
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.recommendation import RecommendationTask

MOST_ROWS = 20_000
"""Rows of a task; nodes are in no order, so that the first ones are as good as any."""

_NOT_FACTORS = ("id", "label", "split")


def planted_tasks(graph: MultimodalGraph, labels: pa.Table, held_out: pa.Table) -> list[Task]:
    """Make the tasks of a graph with planted communities.

    Args:
        graph: The graph.
        labels: As in `PlantedGraph`.
        held_out: As in `PlantedGraph`.

    Returns:
        `community` and, if there are several, one classification per factor, named after it; and for every relation
        with held-out edges a link prediction `links-<relation>`. Edges between nodes that have another link are left
        out of it, as the task demands. The best scores are `best_accuracy` and `best_links(..., filtered=True)`.
    """
    labels = labels.slice(0, MOST_ROWS)
    factors = [name for name in labels.column_names if name not in _NOT_FACTORS]
    columns = {"community": "label"} | ({name: name for name in factors} if len(factors) > 1 else {})
    tasks: list[Task] = [
        NodeClassificationTask(
            _task_name(name), pa.table({"id": labels["id"], "label": labels[column], "split": labels["split"]})
        )
        for name, column in columns.items()
    ]
    for relation in graph.relations:
        edges = held_out.filter(pc.equal(held_out["relation"], relation)).slice(0, MOST_ROWS)
        if edges.num_rows:
            edges = edges.filter(pa.array(_without_other_link(graph, edges)))
        if edges.num_rows:
            tasks.append(LinkPredictionTask(_task_name(f"links-{relation}"), edges))
    return tasks


def user_item_tasks(held_out: pa.Table) -> list[Task]:
    """Make the task `recommend` of a graph of users and items; the best scores are `UserItemTruth.expected`.

    Args:
        held_out: As in `UserItemGraph`; if it is empty, there is no task.
    """
    rows = held_out.select(["user", "item", "split"]).slice(0, MOST_ROWS)
    return [RecommendationTask("recommend", RELATION, USER, ITEM, rows)] if rows.num_rows else []


def _without_other_link(graph: MultimodalGraph, edges: pa.Table) -> np.ndarray:
    """Which of the held-out edges join nodes that neither the graph nor another held-out edge links."""
    ends = np.sort([graph.node_ids.positions(edges[side], where=side) for side in ("source", "target")], axis=0)
    pair = ends[0] * graph.num_nodes + ends[1]
    distinct, place, count = np.unique(pair, return_inverse=True, return_counts=True)
    linked = count > 1
    for relation in graph.relations.values():
        for start in range(0, relation.num_edges, CHECKED_AT_ONCE):
            known = np.sort(relation.edge_index[:, start : start + CHECKED_AT_ONCE].numpy(), axis=0)
            key = known[0] * graph.num_nodes + known[1]
            found = np.minimum(np.searchsorted(distinct, key), len(distinct) - 1)
            linked[found[distinct[found] == key]] = True
    return np.asarray(~linked[place])


def _task_name(name: str) -> str:
    """Letters that may stand in the name of a folder."""
    return re.sub(r"[^0-9A-Za-z._-]+", "-", name).strip("-._") or "task"
