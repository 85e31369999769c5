"""Tasks on synthetic graphs, so that methods are scored as on real ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.data.graph import CHECKED_AT_ONCE
from mmgraph.synthetic.planted import PlantedGraph
from mmgraph.synthetic.planted_config import RESERVED
from mmgraph.synthetic.user_item_model import ITEM, RELATION, USER
from mmgraph.tasks.base import Task
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.recommendation import RecommendationTask

MOST_ROWS = 20_000
"""Rows of a task; nodes are in no order, so that the first ones are as good as any.

The best scores of links and of recommendation are those of all held-out edges. Where there are more than so many, a task
holds some of them, and its own best score may differ a little.
"""


def planted_tasks(planted: PlantedGraph) -> list[Task]:
    """Make the tasks of a graph with planted communities.

    Returns:
        `community` and, if there are several, one classification per factor, named after it; and for every relation
        with held-out edges a link prediction `links-<relation>`. Edges between nodes that have another link are left
        out of it, as the task demands. The best scores are `best_accuracy` and `best_links(..., filtered=True)`.
    """
    graph, held_out = planted.graph, {}
    for name in graph.relations:
        edges = planted.held_out.filter(pc.equal(planted.held_out["relation"], name)).slice(0, MOST_ROWS)
        ends = [graph.node_ids.positions(edges[side], where=side) for side in ("source", "target")]
        held_out[name] = edges, np.stack(ends)
    known = (relation.edge_index.numpy() for relation in graph.relations.values())
    return label_tasks(planted.labels.slice(0, MOST_ROWS)) + link_tasks(held_out, known, graph.num_nodes)


def label_tasks(labels: pa.Table) -> list[Task]:
    """Classification of communities and, if there are several, of each factor; `labels` as in `PlantedGraph`."""
    factors = [name for name in labels.column_names if name not in RESERVED]
    columns = {"community": "label"} | ({name: name for name in factors} if len(factors) > 1 else {})
    return [
        NodeClassificationTask(name, pa.table({"id": labels["id"], "label": labels[column], "split": labels["split"]}))
        for name, column in zip(_task_names(columns), columns.values(), strict=True)
    ]


def link_tasks(
    held_out: Mapping[str, tuple[pa.Table, np.ndarray]], known: Iterable[np.ndarray], num_nodes: int
) -> list[Task]:
    """Link prediction of the held-out edges that join nodes which nothing else links.

    Args:
        held_out: Of each relation the edges as a table, and their ends as rows `[2, num_edges]`.
        known: Edges of the graph in pieces `[2, any]`, whatever their relation; read once.
        num_nodes: Number of nodes.
    """
    pairs = {name: _pair(ends, num_nodes) for name, (_, ends) in held_out.items()}
    asked = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *pairs.values()]))
    linked = np.zeros(len(asked), dtype=bool)
    for edges in known if len(asked) else ():
        for start in range(0, edges.shape[1], CHECKED_AT_ONCE):
            pair = _pair(edges[:, start : start + CHECKED_AT_ONCE], num_nodes)
            place = np.minimum(np.searchsorted(asked, pair), len(asked) - 1)
            linked[place[asked[place] == pair]] = True
    tasks: list[Task] = []
    for task, (name, (table, _)) in zip(_task_names(f"links-{n}" for n in held_out), held_out.items(), strict=True):
        _, place, count = np.unique(pairs[name], return_inverse=True, return_counts=True)
        alone = (count[place] == 1) & ~linked[np.searchsorted(asked, pairs[name])]
        if alone.any():
            tasks.append(LinkPredictionTask(task, table.filter(pa.array(alone))))
    return tasks


def user_item_tasks(held_out: pa.Table) -> list[Task]:
    """Make the task `recommend` of a graph of users and items; the best scores are `UserItemTruth.expected`.

    Args:
        held_out: As in `UserItemGraph`; if it is empty, there is no task.
    """
    rows = held_out.select(["user", "item", "split"]).slice(0, MOST_ROWS)
    return [RecommendationTask("recommend", RELATION, USER, ITEM, rows)] if rows.num_rows else []


def _pair(ends: np.ndarray, num_nodes: int) -> np.ndarray:
    """One number for each unordered pair of rows."""
    return np.asarray(ends.min(axis=0) * num_nodes + ends.max(axis=0))


def _task_names(names: Iterable[str]) -> list[str]:
    """Distinct names of tasks: letters that may stand in the name of a folder, and a number where that is not enough."""
    out: list[str] = []
    for name in names:
        plain = re.sub(r"[^0-9A-Za-z._-]+", "-", name).strip("-._") or "task"
        out.append(next(c for c in (plain, *(f"{plain}-{n}" for n in range(2, len(out) + 3))) if c not in out))
    return out
