"""Negatives that are drawn once and stored with a split, so that everybody ranks against the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mmgraph.errors import InputError, unknown_choice
from mmgraph.files import content_digest
from mmgraph.seeding import generator
from mmgraph.splits.base import KEYS, PARTS, TEST, VALID, Split
from mmgraph.splits.column_bytes import column_bytes
from mmgraph.splits.edge_rows import AnyGraph, number_by_id

_DRAWS_PER_CHUNK = 2**22


def sample_negatives(
    graph: AnyGraph,
    split: Split,
    count: int,
    *,
    parts: Sequence[str] = (VALID, TEST),
    distinct: bool = True,
    seed: int = 0,
) -> Split:
    """Draw nodes that are no targets, for each edge that is asked.

    Negatives are uniform over the nodes of the target's type without the source itself and without every node that is
    known to be linked to it: in the graph or in any part of the split, in either direction, and in any relation. If the
    split moved relations apart (`together="relation"`), only its own relation and the declared reverse count.

    Repeats of an edge at other times share their negatives. Report metrics over sampled negatives as such: they can
    reverse the order of systems (see `mmgraph.metrics.sampled`).

    Args:
        graph: The graph, with or without what the split holds out.
        split: A split of edges.
        count: Negatives of each edge.
        parts: Parts whose edges get negatives.
        distinct: No negative twice for the same edge.
        seed: Another seed, other negatives.

    Returns:
        The split with the column `negatives`, lists of ids in ascending order, null in other parts. Its settings say
        how they were drawn, and hold their digest.

    Raises:
        InputError: If the split is none of edges, names nodes or relations that the graph lacks, or a node has too few
            nodes that it is not linked to.
    """
    if split.kind != "edge":
        raise InputError(f"{split.where}: negatives are drawn for splits of edges, got one of kind {split.kind!r}")
    if count < 1:
        raise InputError(f"number of negatives must be at least 1, got {count}")
    for part in parts:
        if part not in PARTS:
            raise unknown_choice("part of a split", part, PARTS)
    names = split.table["relation"].unique().sort()
    for name in names.to_pylist():
        if name not in graph.relations:
            raise unknown_choice("relation", name, graph.relations)
    ids, number = number_by_id(graph.node_ids)
    source, target = (
        number[graph.node_ids.positions(split.table[side], where=f"{split.where}, column {side!r}")].astype(np.int64)
        for side in ("source", "target")
    )
    relation = np.asarray(pc.index_in(split.table["relation"], names), dtype=np.int64)
    apart = split.settings.get("together", "pair") == "relation"
    wanted = pc.is_in(split.table["split"], pa.array(list(parts), pa.string())).to_numpy()
    random = generator(seed, "split", "negatives")

    drawn = np.empty((int(wanted.sum()), count), dtype=np.int64)
    for code, name in enumerate(names.to_pylist()):
        rows = np.flatnonzero(wanted & (relation == code))
        if not len(rows):
            continue
        members = {name, graph.relations[name].reverse} - {None} if apart else set(graph.relations)
        inside = np.isin(relation, np.flatnonzero(pc.is_in(names, pa.array(sorted(members)))))
        known = [(source[inside], target[inside])]
        known += [tuple(number[graph.relations[other].edge_index.numpy(force=True)]) for other in sorted(members)]
        target_type = graph.relations[name].target_type
        candidates = np.sort(number[graph.node_type.numpy(force=True) == graph.node_types.index(target_type)])
        strangers = Strangers.of(np.unique(source[rows]), candidates, known, len(ids))
        # Rows are sorted by their ends, so repeats at other times follow each other.
        new = np.append(True, np.diff(source[rows] * len(ids) + target[rows]) != 0)[: len(rows)]
        asked = source[rows][new]
        short = np.flatnonzero(strangers.counts_of(asked) < (count if distinct else 1))
        if len(short):
            node, free = ids[int(asked[short[0]])].as_py(), int(strangers.counts_of(asked)[short[0]])
            raise InputError(
                f"{split.where}, relation {name!r}: {node!r} has {free:,} {target_type!r} nodes that it is not linked "
                f"to, {count:,} negatives were asked for{'' if distinct else ' (at least 1 is needed)'}"
            )
        found = strangers.draw(asked, count, random, distinct=distinct)
        drawn[np.cumsum(wanted)[rows] - 1] = found[np.cumsum(new) - 1]
    offsets = np.append(0, np.cumsum(np.where(wanted, count, 0)))
    column = pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), ids.take(pa.array(drawn.reshape(-1))), mask=pa.array(~wanted)
    )
    table = split.table
    if "negatives" in table.column_names:
        table = table.drop_columns(["negatives"])
    table = table.append_column("negatives", column)
    how = {"count": count, "parts": list(parts), "distinct": distinct, "seed": seed, "digest": negatives_digest(table)}
    return Split(split.kind, table, split.method, {**split.settings, "negatives": how})


def negatives_digest(table: pa.Table) -> str:
    """SHA-256 of the negatives of edges.

    Rows without negatives do not count, nor does the order of rows, nor repeats at other times.

    Args:
        table: Columns `source`, `target`, `relation` and `negatives`, a list of ids.
    """
    keys = KEYS["edge"]
    rows = table.filter(pc.is_valid(table["negatives"])).select([*keys, "negatives"])
    rows = rows.sort_by([(name, "ascending") for name in keys]).combine_chunks()
    new = np.zeros(max(rows.num_rows - 1, 0), dtype=bool)
    for name in keys:
        new |= pc.not_equal(rows[name].slice(1), rows[name].slice(0, len(new))).to_numpy()
    rows = rows.filter(pa.array(np.append(True, new)[: rows.num_rows]))
    return content_digest(*(part for name in rows.column_names for part in column_bytes(rows[name])))


@dataclass(frozen=True, eq=False)
class Strangers:
    """For some nodes the candidates that they are not linked to, by number, without listing them.

    If the columns of a node's linked candidates are `k[0] < k[1] < ...`, then `k[i] - i` candidates before `k[i]` are
    not linked. So the r-th candidate that is not linked has column `r + #{i: k[i] - i <= r}`, which a binary search
    finds. That is exact and takes the same time however many are linked, where rejection would need many draws.

    Attributes:
        queries: `[num_queries]`, ascending: the nodes.
        candidates: `[num_candidates]`, ascending.
        start: `[num_queries + 1]`: where the linked candidates of each node begin in `keys`.
        keys: For each linked candidate, `query * (num_candidates + 1) + k[i] - i`, ascending.
    """

    queries: np.ndarray
    candidates: np.ndarray
    start: np.ndarray
    keys: np.ndarray

    @classmethod
    def of(
        cls, queries: np.ndarray, candidates: np.ndarray, linked: Iterable[Sequence[np.ndarray]], num_nodes: int
    ) -> Strangers:
        """Look up the candidates that are linked to each query.

        Args:
            queries: `[num_queries]`, ascending.
            candidates: `[num_candidates]`, ascending.
            linked: Pairs of ends, read in both directions; a node also counts as linked to itself.
            num_nodes: Number of nodes.
        """
        row, column = np.full((2, num_nodes), -1, dtype=np.int64)
        row[queries], column[candidates] = np.arange(len(queries)), np.arange(len(candidates))
        width = len(candidates)
        found = []
        for one, other in [*linked, (queries, queries)]:
            for query, candidate in ((one, other), (other, one)):
                keep = (row[query] >= 0) & (column[candidate] >= 0)
                found.append(row[query[keep]] * width + column[candidate[keep]])
        query, place = np.divmod(np.unique(np.concatenate(found)), max(width, 1))
        start = np.searchsorted(query, np.arange(len(queries) + 1))
        before = place - (np.arange(len(query)) - start[query])
        return cls(queries, candidates, start, query * (width + 1) + before)

    def counts_of(self, nodes: np.ndarray) -> np.ndarray:
        """How many candidates each of these queries is not linked to, `[num_nodes]`."""
        return np.asarray((len(self.candidates) - np.diff(self.start))[np.searchsorted(self.queries, nodes)])

    def draw(self, nodes: np.ndarray, count: int, random: torch.Generator, *, distinct: bool) -> np.ndarray:
        """Draw candidates that are not linked, uniformly.

        Args:
            nodes: `[n]`: queries, in any order, repeats allowed.
            count: How many of each; there must be enough.
            random: Where the numbers come from.
            distinct: Draw without replacement for each node.

        Returns:
            `[n, count]`, each row ascending.
        """
        drawn = np.empty((len(nodes), count), dtype=np.int64)
        step = max(1, _DRAWS_PER_CHUNK // count)
        for begin in range(0, len(nodes), step):
            chunk = nodes[begin : begin + step]
            free, query = self.counts_of(chunk), np.searchsorted(self.queries, chunk)[:, None]
            rank = _distinct_numbers(free, count, random) if distinct else _numbers(free[:, None], count, random)
            linked_before = np.searchsorted(self.keys, query * (len(self.candidates) + 1) + rank, side="right")
            drawn[begin : begin + step] = self.candidates[np.sort(rank + linked_before - self.start[query], axis=1)]
        return drawn


def _numbers(below: np.ndarray, count: int, random: torch.Generator) -> np.ndarray:
    """Whole numbers from 0 to below each bound, `[len(below), count]` for bounds `[n, 1]`."""
    chance = torch.rand(len(below), count, generator=random, dtype=torch.float64).numpy()
    return np.asarray(np.minimum((chance * below).astype(np.int64), below - 1))


def _distinct_numbers(below: np.ndarray, count: int, random: torch.Generator) -> np.ndarray:
    """As `_numbers` for bounds `[n]`, each row without repeats."""
    drawn = np.empty((len(below), count), dtype=np.int64)
    tight = below < 2 * count
    if tight.any():  # few to choose from: put all in random order
        width = int(below[tight].max())
        chance = torch.rand(int(tight.sum()), width, generator=random, dtype=torch.float64).numpy()
        chance[np.arange(width) >= below[tight, None]] = 2.0
        drawn[tight] = np.argsort(chance, axis=1)[:, :count]
    open_rows = np.flatnonzero(~tight)
    drawn[open_rows] = _numbers(below[open_rows, None], count, random)
    while len(open_rows):  # draw again what came twice: less than half of the numbers are taken
        rows = np.sort(drawn[open_rows], axis=1)
        again = np.zeros(rows.shape, dtype=bool)
        again[:, 1:] = rows[:, 1:] == rows[:, :-1]
        bounds = np.broadcast_to(below[open_rows, None], rows.shape)[again]
        rows[again] = _numbers(bounds[:, None], 1, random)[:, 0]
        drawn[open_rows] = rows
        open_rows = open_rows[again.any(axis=1)]
    return drawn
