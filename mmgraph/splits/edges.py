"""Splits of edges: at random, by time, by relation, by nodes that are new.

What moves is the undirected pair of nodes, over all relations that are split: if one edge between two nodes is asked,
the training graph tells nothing about these two, in whatever direction or relation. So

- a relation and its declared reverse are split together, even if only one is named;
- a pair that a relation outside of the split joins too is not asked, because the graph tells it anyway: its edges stay
  in training, or become `unused` where that would put the future, or a held-out node, into the graph;
- an edge from a node to itself is never asked;
- a pair that occurs several times belongs where its earliest edge lies; what comes in a later part is `unused`.

With `together="relation"` different relations between the same two nodes may lie in different parts, as the protocols
of knowledge graphs have it; a relation and its reverse still move together. A scorer that knows no relations cannot be
tested so.

Each function returns a `Split` whose table lists every edge of these relations, exact repeats once. Its settings count
what the user should know: `told_by_other_relations` (pairs), `self_loops`, `repeated_edges`, and `cold_nodes`, nodes
that are asked about without any training edge (`in_these_relations`, or `in_all_relations`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from mmgraph.errors import InputError, unknown_choice
from mmgraph.seeding import generator
from mmgraph.splits.base import PARTS, TEST, TRAIN, UNUSED, VALID, Split
from mmgraph.splits.edge_rows import AnyGraph, EdgeRows, Together, reserve
from mmgraph.splits.groups import EDGE_SHARES
from mmgraph.splits.shares import CODE, TimeCut, check_shares, deal, settle


def split_edges_random(
    graph: AnyGraph,
    relations: Iterable[str] | None = None,
    *,
    shares: Mapping[str, float] = EDGE_SHARES,
    seed: int = 0,
    together: Together = "pair",
    attribute: str = "time",
) -> Split:
    """Deal pairs of nodes at random.

    Args:
        graph: The graph with all its edges.
        relations: Relations to split, all by default.
        shares: Shares of the pairs that can be asked (see above), by part.
        seed: Another seed, another split.
        together: `pair` or `relation`, see above.
        attribute: Edge attribute that tells repeated edges apart; not used unless all these relations have it.

    Raises:
        InputError: If a relation is unknown or the shares do not add up to 1.
    """
    shares = check_shares(shares)
    rows = EdgeRows.of(graph, relations, attribute=attribute, need_time=False)
    unit = rows.units(together)
    free = ~(rows.told(together) | rows.loops)
    chosen = np.zeros(int(unit.max(initial=-1)) + 1, dtype=np.int8)
    can_be_asked = np.zeros(len(chosen), dtype=bool)
    can_be_asked[unit[free]] = True
    chosen[can_be_asked] = deal(int(can_be_asked.sum()), shares, generator(seed, "split", "edges", "random"))
    settings = {"shares": shares, "seed": seed, "attribute": attribute}
    return rows.split(chosen[unit], "random", settings, together)


def split_edges_by_time(
    graph: AnyGraph,
    relations: Iterable[str] | None = None,
    *,
    attribute: str = "time",
    shares: Mapping[str, float] = EDGE_SHARES,
    together: Together = "pair",
) -> Split:
    """Train on the past, ask about the future. All edges of one moment lie on the same side.

    A pair belongs where its earliest edge lies. A later repeat past the cut is `unused`: in training it would put the
    future into the graph, and asking it would ask for what is known. Settings name the moments of the cuts.

    Args:
        graph: The graph with all its edges.
        relations: Relations to split, all by default.
        attribute: Edge attribute that holds the time, one number for each edge.
        shares: Shares of the pairs that can be asked, by their earliest edge, as closely as equal times allow.
        together: `pair` or `relation`, see above.

    Raises:
        InputError: If a relation is unknown or has no times, or the shares do not add up to 1.
    """
    shares = check_shares(shares)
    rows = EdgeRows.of(graph, relations, attribute=attribute, need_time=True)
    time, unit = np.asarray(rows.time), rows.units(together)
    _check_units(graph.name, rows, time)
    blocked = rows.told(together) | rows.loops
    first = np.full(int(unit.max(initial=-1)) + 1, time.max(initial=0), dtype=time.dtype)
    np.minimum.at(first, unit, time)
    can_be_asked = np.zeros(len(first), dtype=bool)
    can_be_asked[unit[~blocked]] = True
    cut = TimeCut.by_shares(first[can_be_asked], shares)
    part = reserve(settle(cut.parts(time), unit), blocked)
    return rows.split(part, "time", {"shares": shares, "attribute": attribute, **cut.to_dict()}, together)


def _check_units(graph: str, rows: EdgeRows, time: np.ndarray) -> None:
    """Refuse to compare seconds of one relation with microseconds of another.

    Raises:
        InputError: If both look like times since 1970 and differ a thousandfold.
    """
    present = np.unique(rows.relation).tolist()
    if len(present) < 2:
        return
    typical = {rows.names[code]: float(np.median(time[rows.relation == code])) for code in present}
    epochs = {name: value for name, value in typical.items() if value > 1e8}
    if epochs and max(epochs.values()) > 500 * min(epochs.values()):
        large, small = max(epochs, key=epochs.__getitem__), min(epochs, key=epochs.__getitem__)
        raise InputError(
            f"graph {graph!r}: times of relation {large!r} (around {epochs[large]:.4g}) and of {small!r} (around "
            f"{epochs[small]:.4g}) have other units; bring them to one, dates are microseconds since 1970"
        )


def split_edges_by_relation(
    graph: AnyGraph, parts: Mapping[str, str], *, together: Together = "pair", attribute: str = "time"
) -> Split:
    """Put whole relations into parts; relations that are not named are not split, they are training.

    A pair that relations of several parts join belongs to the earliest of them, its other edges are `unused`.

    Args:
        graph: The graph with all its edges.
        parts: Part by relation; its reverse follows.
        together: `pair` or `relation`, see above.
        attribute: Edge attribute that tells repeated edges apart; not used unless all these relations have it.

    Raises:
        InputError: If a relation or part is unknown, or a relation and its reverse are put into different parts.
    """
    rows = EdgeRows.of(graph, parts, attribute=attribute, need_time=False)
    chosen = dict(parts)
    for name, wanted in parts.items():
        if wanted not in PARTS:
            raise unknown_choice(f"part for relation {name!r}", wanted, PARTS)
        reverse = graph.relations[name].reverse
        if reverse is not None and chosen.setdefault(reverse, wanted) != wanted:
            raise InputError(
                f"graph {graph.name!r}: relation {name!r} and its reverse {reverse!r} must lie in the same part, "
                f"got {wanted!r} and {chosen[reverse]!r}"
            )
    part_of = np.array([CODE[chosen[name]] for name in rows.names], dtype=np.int8)[rows.relation]
    part = reserve(settle(part_of, rows.units(together)), rows.told(together) | rows.loops)
    return rows.split(part, "relation", {"parts": dict(sorted(chosen.items())), "attribute": attribute}, together)


def split_edges_cold_nodes(
    graph: AnyGraph,
    relations: Iterable[str] | None = None,
    *,
    node_type: str | None = None,
    shares: Mapping[str, float] = EDGE_SHARES,
    seed: int = 0,
    attribute: str = "time",
) -> Split:
    """Hold out nodes: all their edges of these relations leave training, as if the nodes were new.

    An edge between a validation and a test node is `unused`. Edges of held-out nodes in relations that are *not* split
    stay in the graph: they are what is known about a new node (its brand, its author). Split all relations, the
    default, to make them truly isolated.

    Args:
        graph: The graph with all its edges.
        relations: Relations to split, all by default.
        node_type: Type of the nodes to hold out; by default any that has an edge of these relations.
        shares: Shares of the *nodes* of this type that have an edge of these relations, by part.
        seed: Another seed, another split.
        attribute: Edge attribute that tells repeated edges apart; not used unless all these relations have it.

    Raises:
        InputError: If a relation or node type is unknown, no such node has an edge, or shares do not add up to 1.
    """
    shares = check_shares(shares)
    rows = EdgeRows.of(graph, relations, attribute=attribute, need_time=False)
    linked = np.zeros(len(rows.ids), dtype=bool)
    linked[rows.source] = linked[rows.target] = True
    if node_type is not None:
        if node_type not in graph.node_types:
            raise unknown_choice("node type", node_type, graph.node_types)
        linked &= rows.node_type == graph.node_types.index(node_type)
        if not linked.any():
            raise InputError(f"graph {graph.name!r}: no node of type {node_type!r} has an edge of {list(rows.names)}")
    side = np.zeros(len(rows.ids), dtype=np.int8)
    side[linked] = deal(int(linked.sum()), shares, generator(seed, "split", "edges", "cold nodes"))
    one, other = side[rows.source], side[rows.target]
    part = np.maximum(one, other)
    part[(one != other) & (one != CODE[TRAIN]) & (other != CODE[TRAIN])] = CODE[UNUSED]
    # Not back to training, as a random split would do it: a held-out node has no edge there.
    part = reserve(part, rows.told("pair") | rows.loops)
    nodes = {name: int((side[linked] == CODE[name]).sum()) for name in (TRAIN, VALID, TEST)}
    settings = {"shares": shares, "seed": seed, "node_type": node_type, "nodes": nodes, "attribute": attribute}
    return rows.split(part, "cold-node", settings, "pair")
