"""Small random graphs with everything that makes splitting hard, and the same graph in another order."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation

Times = Literal["all", "some", "none"]


def make_multigraph(
    seed: int = 0,
    *,
    num_nodes: int = 12,
    num_edges: int = 40,
    times: Times = "all",
    string_ids: bool = True,
    num_moments: int = 6,
) -> RawGraph:
    """Make a multigraph with repeated edges, self-loops, both directions, several relations and equal times.

    Types are `person` and `work`. Relations are `knows` (person to person), `alike` (symmetric, person to person, some
    pairs stored in both directions), `made` (person to work) with its declared reverse `made_by`, each of which also
    states some facts that the other does not, and `likes` (person to work).

    Args:
        seed: Seed of everything.
        num_nodes: Number of nodes, at least 2.
        num_edges: Number of edges, repeats included.
        times: Whether all relations have the attribute `time`, all but `likes`, or none.
        string_ids: Ids like `n07`, otherwise integers in random order.
        num_moments: Number of distinct times; few make many ties.
    """
    random = np.random.default_rng(seed)
    numbers = random.permutation(3 * num_nodes)[:num_nodes]
    ids = [f"n{number:02d}" for number in numbers] if string_ids else numbers.tolist()
    node_type = np.append([0, 1], random.integers(2, size=num_nodes - 2))
    person, work = np.flatnonzero(node_type == 0), np.flatnonzero(node_type == 1)
    counts = random.multinomial(num_edges, [0.25, 0.2, 0.3, 0.25])

    def draw(count: int, targets: np.ndarray) -> np.ndarray:
        edges = np.stack([random.choice(person, count), random.choice(targets, count)])
        return np.concatenate([edges, edges[:, : count // 5]], axis=1)[:, :count]  # some again

    knows, alike = draw(counts[0], person), draw(counts[1], person)
    made, likes = draw(counts[2], work), draw(counts[3], work)
    half = counts[2] // 2
    made_by = np.concatenate([made[::-1, :half], draw(counts[2] - half, work)[::-1]], axis=1)

    def relation(name: str, edges: np.ndarray, source: str, target: str, **other: object) -> Relation:
        moments = torch.from_numpy(random.integers(num_moments, size=edges.shape[1]))
        has_time = times == "all" or (times == "some" and name != "likes")
        attributes = {
            "weight": torch.from_numpy(random.random(edges.shape[1])),
            **({"time": moments} if has_time else {}),
        }
        edge_index = torch.from_numpy(np.ascontiguousarray(edges, dtype=np.int64))
        return replace(Relation(edge_index, source, target, attributes=attributes), **other)  # type: ignore[arg-type]

    return RawGraph(
        name="multi",
        node_ids=NodeIds(ids),
        node_types=("person", "work"),
        node_type=torch.from_numpy(node_type.astype(np.int64)),
        relations={
            "knows": relation("knows", knows, "person", "person"),
            "alike": relation("alike", alike, "person", "person", symmetric=True),
            "made": relation("made", made, "person", "work", reverse="made_by"),
            "made_by": relation("made_by", made_by, "work", "person", reverse="made"),
            "likes": relation("likes", likes, "person", "work"),
        },
    )


def shuffled(graph: RawGraph, seed: int = 0) -> RawGraph:
    """The same graph with its nodes, relations, edges and node types in another order."""
    random = np.random.default_rng(seed)
    order = random.permutation(graph.num_nodes)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    types = random.permutation(len(graph.node_types))
    relations = {}
    for name in random.permutation(list(graph.relations)).tolist():
        relation = graph.relations[name]
        edges = relation.take(torch.from_numpy(random.permutation(relation.num_edges)))
        relations[name] = replace(edges, edge_index=torch.from_numpy(place)[edges.edge_index])
    return replace(
        graph,
        node_ids=graph.node_ids.take(order),
        node_types=tuple(graph.node_types[i] for i in types),
        node_type=torch.from_numpy(np.argsort(types))[graph.node_type[torch.from_numpy(order)]],
        relations=relations,
        content={modality: [items[row] for row in order.tolist()] for modality, items in graph.content.items()},
        columns=None if graph.columns is None else graph.columns.take(order),
    )
