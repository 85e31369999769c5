"""Map, neighbours, recommendations and expert usage of a demo, written as files for the report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import load_graph
from mmgraph.errors import InputError
from mmgraph.files import read_json, write_json
from mmgraph.inference.embed import embed
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.build import Encoder
from mmgraph.nn.saving import encoder_digest
from mmgraph.report.examples import (
    choose_nodes,
    expert_usage,
    neighbour_examples,
    query_examples,
    recommendation_examples,
)
from mmgraph.report.inputs import RESULTS
from mmgraph.report.map import project
from mmgraph.tasks.base import Task, load_tasks
from mmgraph.tasks.controls import raw_features, raw_query
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.training.evaluate import query_encoder

NUM_NODES, NUM_QUERIES, NUM_USERS = 8, 6, 3
QUERY_TASK = "name_queries"
"""Whose queries are shown if the graph has it: English ones, which most readers can judge."""


def write_examples(out: Path, folders: Mapping[str, Path], encoder: Encoder, *, seed: int, map_steps: int) -> None:
    """Write `experts.json`, `map.json`, `neighbours.json` and `recommendations.json`.

    The map and the neighbours show the first graph with pictures, the recommendations the first with such a task. The
    files are kept if they were made by the same model.

    Raises:
        InputError: If no graph has pictures, or none a task of recommendation.
    """
    results = out / RESULTS
    state = {"model": encoder_digest(encoder), "seed": seed, "map_steps": map_steps}
    done = results / "examples.json"
    if done.exists() and read_json(done) == state:
        return
    graphs = {name: load_graph(folder) for name, folder in folders.items()}
    write_json(results / "experts.json", [row for graph in graphs.values() for row in expert_usage(encoder, graph)])

    pictured = next((name for name, graph in graphs.items() if _pictures(graph)), None)
    if pictured is None:
        raise InputError(f"{out}: none of the graphs {', '.join(graphs)} has pictures to draw a map of")
    graph, folder = graphs[pictured], folders[pictured]
    table = embed(encoder, graph)
    write_json(results / "map.json", _map(table, graph, folder, out, seed=seed, max_iter=map_steps))
    write_json(results / "neighbours.json", _neighbours(table, graph, encoder, folder, out, seed=seed))

    for name, graph in graphs.items():
        task = _first(load_tasks(folders[name]), RecommendationTask)
        if task is not None:
            users = recommendation_examples(task, embed(encoder, graph), graph, count=NUM_USERS, seed=seed)
            content = {"graph": name, "task": task.name, "users": users}
            write_json(results / "recommendations.json", content)
            break
    else:
        raise InputError(f"{out}: none of the graphs {', '.join(graphs)} has a task of recommendation")
    write_json(done, state)


def _pictures(graph: MultimodalGraph) -> list[str | None]:
    """Path of each node's picture; empty if no node has one."""
    if graph.columns is None or "image" not in graph.columns.column_names:
        return []
    paths: list[str | None] = graph.columns.column("image").to_pylist()
    return paths if any(paths) else []


def _map(
    table: EmbeddingTable, graph: MultimodalGraph, folder: Path, out: Path, *, seed: int, max_iter: int
) -> dict[str, Any]:
    pictures = _pictures(graph)
    shown = [row for row, path in enumerate(pictures) if path and (folder / path).is_file()]
    points = project(table.vectors[shown].numpy(force=True), seed=seed, max_iter=max_iter)
    names = graph.columns.column("text").to_pylist() if graph.columns and "text" in graph.columns.column_names else []
    return {
        "graph": graph.name,
        "ids": [str(graph.node_ids[row]) for row in shown],
        "names": [(names[row] if names else None) or str(graph.node_ids[row]) for row in shown],
        "images": [os.path.relpath(folder / str(pictures[row]), out) for row in shown],
        "x": np.round(points[:, 0], 5).tolist(),
        "y": np.round(points[:, 1], 5).tolist(),
    }


def _neighbours(
    table: EmbeddingTable, graph: MultimodalGraph, encoder: Encoder, folder: Path, out: Path, *, seed: int
) -> dict[str, Any]:
    tables = {"joint": table, "raw features": raw_features(graph)}
    nodes = neighbour_examples(tables, choose_nodes(table, count=NUM_NODES, seed=seed), folder, out)
    tasks = load_tasks(folder)
    named = {name: tasks[name] for name in (QUERY_TASK,) if name in tasks}
    task = _first({**named, **tasks}, NodeRetrievalTask, modality="text")
    queries = []
    if task is not None:
        model = query_encoder(encoder, graph, ["text"])
        encode: dict[str, Callable[[Sequence[str]], Tensor]] = {
            "joint": lambda texts: model.encode(list(texts)),
            "raw features": raw_query(graph, model.encoders, modality="text"),
        }
        queries = query_examples(task, tables, encode, folder, out, count=NUM_QUERIES, seed=seed)
    return {"nodes": nodes, "queries": queries}


def _first(tasks: Mapping[str, Task], kind: type[Any], **wanted: Any) -> Any:
    """The first task of a kind with these attributes, `None` if there is none."""
    for task in tasks.values():
        if isinstance(task, kind) and all(getattr(task, key) == value for key, value in wanted.items()):
            return task
    return None
