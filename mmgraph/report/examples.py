"""Examples for people: neighbours of nodes, answers to texts, recommendations, expert usage. All plain JSON values."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.inference.embed import evaluating
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.build import Encoder
from mmgraph.nn.sign import SignEncoder
from mmgraph.seeding import generator
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask

NEIGHBOURS = 8
WELL_KNOWN = ("1F600", "1F436", "1F355", "1F697", "1F3B8", "2764", "1F469-200D-1F52C", "1F1EB-1F1F7")
"""Emoji that people like to look up first; ids that a graph does not have are passed over."""


def presence_patterns(graph: MultimodalGraph) -> dict[str, Tensor]:
    """Which nodes carry which content: `text + image`, `image`, ..., `nothing`, each `[num_nodes]`, bool."""
    names = list(graph.features)
    patterns: dict[str, Tensor] = {}
    for shown in itertools.product((True, False), repeat=len(names)):
        mask = torch.ones(graph.num_nodes, dtype=torch.bool)
        for name, wanted in zip(names, shown, strict=True):
            mask &= graph.features[name].present == wanted
        if bool(mask.any()):
            patterns[" + ".join(itertools.compress(names, shown)) or "nothing"] = mask
    return patterns


def expert_usage(encoder: Encoder, graph: MultimodalGraph) -> list[dict[str, Any]]:
    """Share of the assignments of each expert, by presence pattern; empty for a model without experts."""
    count = encoder.config.moe.num_experts
    if count == 0:
        return []
    features = {name: item.to(encoder.device) for name, item in graph.features.items()}
    with evaluating(encoder) as model, torch.no_grad():
        if isinstance(model, SignEncoder):
            rows = torch.arange(graph.num_nodes, device=encoder.device)
            routing = model(model.graph_blocks(graph.to(encoder.device)).gather(rows)).routing
        else:
            routing = model.fuse(features, num_nodes=graph.num_nodes).routing
        chosen = routing.expert_index.cpu()
    return [
        {
            "graph": graph.name,
            "pattern": pattern,
            "num_nodes": int(mask.sum()),
            "load": (torch.bincount(chosen[mask].flatten(), minlength=count) / chosen[mask].numel()).tolist(),
        }
        for pattern, mask in presence_patterns(graph).items()
    ]


def describe_node(table: EmbeddingTable, position: int, folder: Path, base: Path) -> dict[str, Any]:
    """Id, name and picture of a node.

    Args:
        table: A table with the columns `text` and `image`, where the graph has them.
        position: Row.
        folder: Dataset folder; pictures may be given relative to it.
        base: The picture's path is made relative to this folder.
    """
    node_id = str(table.node_ids[position])

    def value(column: str) -> Any:
        known = table.columns is not None and column in table.columns.column_names
        return table.columns.column(column)[position].as_py() if known and table.columns is not None else None

    image = value("image")
    return {
        "id": node_id,
        "name": value("text") or value("title") or node_id,
        "image": os.path.relpath(folder / image, base) if image else None,
    }


def choose_nodes(table: EmbeddingTable, *, count: int, seed: int) -> list[int]:
    """Positions of well-known nodes first, then of random ones with a picture."""
    found = (
        [int(p) for p in table.node_ids.find(WELL_KNOWN, where="examples") if p >= 0] if _has_text_ids(table) else []
    )
    pictured = list(range(len(table)))
    if table.columns is not None and "image" in table.columns.column_names:
        pictured = [row for row, path in enumerate(table.columns.column("image").to_pylist()) if path]
    order = torch.randperm(len(pictured), generator=generator(seed, "examples")).tolist()
    return list(dict.fromkeys([*found, *(pictured[i] for i in order)]))[:count]


def neighbour_examples(
    tables: Mapping[str, EmbeddingTable], nodes: Sequence[int], folder: Path, base: Path
) -> list[dict[str, Any]]:
    """Nearest nodes of some nodes in each of several tables of the same graph."""
    first = next(iter(tables.values()))
    index = torch.tensor(nodes)
    examples = [{**describe_node(first, node, folder, base), "lists": {}} for node in nodes]
    for model, table in tables.items():
        usable = table.norms[index] > 0  # a node without content has no raw vector
        for row, node in enumerate(nodes):
            if bool(usable[row]):
                found = table.search(table.vectors[node], NEIGHBOURS, exclude=torch.tensor([node]))
                examples[row]["lists"][model] = _listed(found.positions[0], found.scores[0], table, folder, base)
    return examples


def query_examples(
    task: NodeRetrievalTask,
    tables: Mapping[str, EmbeddingTable],
    encode: Mapping[str, Callable[[Sequence[str]], Tensor]],
    folder: Path,
    base: Path,
    *,
    count: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Answers to test queries of a retrieval task, drawn at random, not picked by success."""
    rows = task.queries.filter(pc.equal(task.queries["split"], "test")).to_pylist()
    queries = sorted({row["query"] for row in rows})
    order = torch.randperm(len(queries), generator=generator(seed, "queries")).tolist()[:count]
    chosen = [queries[i] for i in order]
    examples: list[dict[str, Any]] = [{"name": query, "lists": {}} for query in chosen]
    for model, table in tables.items():
        found = table.search(encode[model](chosen), NEIGHBOURS)
        for row, query in enumerate(chosen):
            right = {str(entry["id"]) for entry in rows if entry["query"] == query}
            listed = _listed(found.positions[row], found.scores[row], table, folder, base)
            examples[row]["lists"][model] = [{**entry, "hit": entry["id"] in right} for entry in listed]
    return examples


def recommendation_examples(
    task: RecommendationTask, table: EmbeddingTable, graph: MultimodalGraph, *, count: int = 3, seed: int = 0
) -> list[dict[str, Any]]:
    """History, top ten and hits of some users with at least five held-out items (fewer if nobody has as many)."""
    rows = task.interactions.to_pylist()
    held_out: dict[Any, set[Any]] = {}
    known: dict[Any, set[Any]] = {}
    for row in rows:
        (held_out if row["split"] == "test" else known).setdefault(row["user"], set()).add(row["item"])
    users = [user for user, items in sorted(held_out.items()) if len(items) >= 5] or sorted(held_out)
    order = torch.randperm(len(users), generator=generator(seed, "users")).tolist()[:count]
    relation = graph.relations[task.relation]
    by_time = relation.attributes.get("time", torch.arange(relation.num_edges)).argsort(stable=True)
    sources, targets = relation.edge_index[:, by_time]
    examples = []
    for user in (users[i] for i in order):
        node = int(table.positions([user])[0])
        liked = targets[sources == int(graph.node_ids.positions([user])[0])]
        history = [graph.node_ids[position] for position in liked.tolist()]
        exclude = table.positions([*history, *known.get(user, ())]).unsqueeze(0)
        found = table.search(table.vectors[node], 10, node_type=task.item_type, exclude=exclude)
        top = [p for p in found.positions[0].tolist() if p >= 0]
        entries: list[dict[str, Any]] = [
            {"title": _title(table, p), "hit": table.node_ids[p] in held_out[user]} for p in top
        ]
        examples.append(
            {
                "id": str(user),
                "history": [_title(table, int(p)) for p in table.positions(history[-8:])] if history else [],
                "num_history": len(history),
                "top": entries,
                "hits": sum(bool(entry["hit"]) for entry in entries),
                "num_test": len(held_out[user]),
            }
        )
    return examples


def _title(table: EmbeddingTable, position: int) -> str:
    return str(describe_node(table, position, Path(), Path())["name"])


def _has_text_ids(table: EmbeddingTable) -> bool:
    return bool(table.node_ids.values.dtype == object)


def _listed(positions: Tensor, scores: Tensor, table: EmbeddingTable, folder: Path, base: Path) -> list[dict[str, Any]]:
    pairs = zip(positions.tolist(), scores.tolist(), strict=True)
    return [{**describe_node(table, p, folder, base), "score": round(s, 4)} for p, s in pairs if p >= 0]
