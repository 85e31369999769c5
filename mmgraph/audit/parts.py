"""Parts that overlap: a pair, a node or a query in two of them, the future in training, new nodes that are not new."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.audit.edges import positions_of
from mmgraph.audit.findings import Finding, examples, pairs_of
from mmgraph.audit.material import AnyGraph, HeldOut, Material, known_parts
from mmgraph.splits.base import TRAIN

NEW_NODES = {"cold-node": None, "cold-item": "item", "cold-user": "user"}
"""Splits that ask about new nodes, and the column of the new ones; `None` if either end may be new."""


def check_parts(material: Material) -> Iterator[Finding]:
    """Look for rows of different parts that are the same thing."""
    for held in material.held_out:
        if held.kind in ("edge", "interaction"):
            yield from _pairs_in_two_parts(held)
        else:
            column = "id" if held.kind == "node" else "query"
            torn = _torn(
                pd.DataFrame({"unit": held.table[column].to_pylist(), "part": held.table["split"].to_pylist()})
            )
            if torn:
                what = "nodes" if held.kind == "node" else "queries"
                detail = f"{len(torn):,} {what} lie in two parts, for example {examples(torn)}"
                yield Finding("id-in-two-parts", held.where, len(torn), detail)


def _pairs_in_two_parts(held: HeldOut) -> Iterator[Finding]:
    rows = known_parts(held)
    one, other = (rows[side].to_pylist() for side in held.ends)
    frame = pd.DataFrame({"one": one, "other": other, "part": rows["split"].to_pylist()})
    if held.kind == "edge":
        turned = frame["one"].astype(str) > frame["other"].astype(str)
        frame.loc[turned, ["one", "other"]] = frame.loc[turned, ["other", "one"]].to_numpy()
    unit = pairs_of(frame["one"], frame["other"])
    if held.settings.get("together", "pair") == "relation":  # a relation and its reverse are told in the graph
        unit = pairs_of(frame["one"], frame["other"], held.relation_of(rows).to_pylist())
    torn = _torn(pd.DataFrame({"unit": unit, "part": frame["part"]}))
    if torn:
        detail = f"{len(torn):,} pairs lie in two parts, for example {examples(torn)}"
        yield Finding("pair-in-two-parts", held.where, len(torn), detail)


def _torn(frame: pd.DataFrame) -> list[object]:
    """Units that occur in more than one part."""
    parts = frame.drop_duplicates().groupby("unit", sort=True)["part"].size()
    return parts[parts > 1].index.tolist()


def check_time(material: Material) -> Iterator[Finding]:
    """Look for training edges that are younger than the first one that is asked, if a split is by time."""
    for held in material.of_kind("edge", "interaction"):
        if held.method != "time" or "time" not in held.table.column_names or not held.asked.num_rows:
            continue
        first = pc.min(held.asked["time"]).as_py()
        late = held.part(TRAIN).filter(pc.greater_equal(held.part(TRAIN)["time"], first))
        if late.num_rows:
            pairs = pairs_of(*(late[side].to_pylist()[:4] for side in held.ends))
            detail = (
                f"{late.num_rows:,} training rows are not older than the first asked one ({first}): {examples(pairs)}"
            )
            yield Finding("future-in-training", held.where, late.num_rows, detail)
        for name, graph in material.graphs.items():
            count = _late_edges(held, graph, first)
            if count:
                detail = f"{count:,} edges of the graph are not older than the first asked one ({first})"
                yield Finding("future-in-training", f"{held.where}, {name}", count, detail)


def _late_edges(held: HeldOut, graph: AnyGraph, first: float) -> int:
    attribute = str(held.settings.get("attribute", "time"))
    names = set(held.relation_of(held.table).unique().to_pylist())
    times = [graph.relations[name].attributes.get(attribute) for name in sorted(names & set(graph.relations))]
    return sum(int((time >= first).sum()) for time in times if time is not None and time.dim() == 1)


def check_new_nodes(material: Material) -> Iterator[Finding]:
    """Look for edges of nodes that should be new."""
    for held in material.of_kind("edge", "interaction"):
        if held.method not in NEW_NODES:
            continue
        for name, graph in material.graphs.items():
            old = _old_nodes(held, graph)
            if old.num_rows:
                pairs = pairs_of(*(old[side].to_pylist()[:4] for side in held.ends))
                detail = f"{old.num_rows:,} asked rows concern no new node: all have training edges: {examples(pairs)}"
                yield Finding("new-node-with-edges", f"{held.where}, {name}", old.num_rows, detail)


def _old_nodes(held: HeldOut, graph: AnyGraph) -> pa.Table:
    """Rows that are asked although no end that could be new is."""
    linked = np.zeros(graph.num_nodes, dtype=bool)
    for name in set(held.relation_of(held.table).unique().to_pylist()) & set(graph.relations):
        linked[graph.relations[name].edge_index.numpy(force=True).ravel()] = True
    ends = positions_of(held, held.asked, graph)
    side = NEW_NODES[held.method]
    chosen = [held.ends.index(side)] if side else [0, 1]
    return held.asked.filter(pa.array(linked[ends[chosen]].all(axis=0)))
