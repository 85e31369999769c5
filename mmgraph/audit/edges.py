"""Held-out edges in the graph: as they are, turned round, under the name of the reverse relation, or of another one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.audit.findings import Finding, examples, pairs_of
from mmgraph.audit.material import AnyGraph, HeldOut, Material

_ORDER = ("edge-in-graph", "reversed-edge-in-graph", "reverse-relation-in-graph", "pair-in-other-relation")
_HOW = {
    "edge-in-graph": "held-out edges are in the graph",
    "reversed-edge-in-graph": "held-out edges are in the graph the other way round",
    "reverse-relation-in-graph": "held-out edges are in the graph as edges of the declared reverse relation",
    "pair-in-other-relation": "held-out pairs are joined in the graph by another relation",
}


def check_edges(material: Material) -> Iterator[Finding]:
    """Look for held-out edges in every graph of the folder."""
    for held in material.of_kind("edge", "interaction"):
        for name, graph in material.graphs.items():
            yield from _check(held, name, graph)


def positions_of(held: HeldOut, rows: pa.Table, graph: AnyGraph) -> np.ndarray:
    """Positions of both ends of rows `[2, num_rows]`, -1 where an id is unknown."""
    return np.stack([graph.node_ids.find(rows[side], where=held.where) for side in held.ends])


def _check(held: HeldOut, name: str, graph: AnyGraph) -> Iterator[Finding]:
    where = f"{held.where}, {name}"
    rows = held.asked
    ends = positions_of(held, rows, graph)
    unknown = (ends < 0).any(axis=0)
    if unknown.any():
        listed = [rows[side][int(i)].as_py() for i in np.flatnonzero(unknown)[:3] for side in held.ends]
        detail = f"{int(unknown.sum()):,} held-out rows name ids that are no nodes, for example {examples(listed)}"
        yield Finding("unknown-id", where, int(unknown.sum()), detail)
        rows, ends = rows.filter(pa.array(~unknown)), ends[:, ~unknown]
    found = told_by_graph(held, rows, ends, graph)
    for check in _ORDER:
        hit = found[check]
        if hit.any():
            shown = rows.filter(pa.array(hit))
            pairs = pairs_of(*(shown[side].to_pylist()[:4] for side in held.ends))
            detail = f"{int(hit.sum()):,} {_HOW[check]}, for example {examples(pairs)}"
            yield Finding(check, where, int(hit.sum()), detail)


def told_by_graph(held: HeldOut, rows: pa.Table, ends: np.ndarray, graph: AnyGraph) -> dict[str, np.ndarray]:
    """For each way in which a graph can tell a held-out edge, which rows it tells so, `[num_rows]`, bool.

    A row is counted once, under the plainest way.
    """
    n = graph.num_nodes
    forward, backward = ends[0] * n + ends[1], ends[1] * n + ends[0]
    relation_of_row = held.relation_of(rows)
    asks_relations = held.settings.get("together", "pair") == "relation"
    found = {check: np.zeros(rows.num_rows, dtype=bool) for check in _ORDER}
    for name, relation in graph.relations.items():
        source, target = relation.edge_index.numpy(force=True)
        keys = np.unique(source * n + target)
        as_is, turned = _in(keys, forward), _in(keys, backward)
        own = np.asarray(pc.fill_null(pc.equal(relation_of_row, name), False).to_numpy(zero_copy_only=False))
        mirrored = np.asarray(
            pc.fill_null(pc.equal(relation_of_row, relation.reverse or ""), False).to_numpy(zero_copy_only=False)
        )
        if relation.symmetric or held.kind == "interaction":
            as_is = as_is | turned
        found["edge-in-graph"] |= own & as_is
        found["reversed-edge-in-graph"] |= own & turned
        found["reverse-relation-in-graph"] |= mirrored & (as_is | turned)
        if not asks_relations:
            found["pair-in-other-relation"] |= ~own & ~mirrored & (as_is | turned)
    seen = np.zeros(rows.num_rows, dtype=bool)
    for check in _ORDER:
        found[check] &= ~seen
        seen |= found[check]
    return found


def check_negatives(material: Material) -> Iterator[Finding]:
    """Look for known positives among fixed negatives."""
    for held in material.of_kind("edge", "interaction"):
        if "negatives" not in held.table.column_names:
            continue
        for name, graph in material.graphs.items():
            wrong = _wrong_negatives(held, graph)
            if wrong:
                detail = f"{len(wrong):,} fixed negatives are known positives, for example {examples(wrong)}"
                yield Finding("negative-is-positive", f"{held.where}, {name}", len(wrong), detail)


def _wrong_negatives(held: HeldOut, graph: AnyGraph) -> list[tuple[object, object]]:
    """Node and negative where the two are known to be joined, in the graph or in any part, or are the same."""
    n = graph.num_nodes
    rows = held.table.filter(pc.is_valid(held.table["negatives"]))
    lists = rows["negatives"].combine_chunks()
    owner = np.asarray(pc.list_parent_indices(lists))
    negative = graph.node_ids.find(lists.flatten(), where=f"{held.where}, negatives")
    source = positions_of(held, rows, graph)[0][owner]
    known = [relation.edge_index.numpy(force=True) for relation in graph.relations.values()]
    known.append(positions_of(held, held.table, graph))
    ends = np.concatenate(known, axis=1)
    keys = np.unique(np.concatenate([ends[0] * n + ends[1], ends[1] * n + ends[0]]))
    wrong = (_in(keys, source * n + negative) | (source == negative)) & (negative >= 0)
    ids = graph.node_ids.values
    return [(ids[source[i]], ids[negative[i]]) for i in np.flatnonzero(wrong).tolist()]


def _in(ascending: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which keys are in an ascending array, `[num_keys]`, bool."""
    if not len(ascending):
        return np.zeros(len(keys), dtype=bool)
    return np.asarray(ascending[np.searchsorted(ascending, keys).clip(max=len(ascending) - 1)] == keys)
