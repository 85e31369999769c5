"""The edges of some relations as flat arrays in an order that depends on ids alone: what edge splitters work on."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.splits.base import PARTS, TEST, TRAIN, UNUSED, VALID, Split
from mmgraph.splits.shares import CODE

AnyGraph = MultimodalGraph | RawGraph
Together = Literal["pair", "relation"]
TOGETHER: tuple[Together, ...] = ("pair", "relation")


@dataclass(frozen=True, eq=False)
class EdgeRows:
    """Distinct rows (source, target, relation and, if there are times, time) of the relations that are split.

    Nodes are numbered by ascending id, so that neither the order of nodes, edges nor relations matters.

    Attributes:
        ids: Ids of the graph's nodes, ascending.
        node_type: `[num_nodes]`: index into the graph's node types, nodes by ascending id.
        names: Relations that are split, ascending; with each its reverse.
        source: `[num_rows]`: number of the source.
        target: `[num_rows]`: number of the target.
        relation: `[num_rows]`: index into `names`.
        time: `[num_rows]`, or `None` if not all these relations have times.
        family: `[num_names]`: a relation and its reverse have the same number.
        outside: `[num_pairs]`, ascending: pairs that relations outside of the split join.
        num_repeated: How many edges were the same row again.
    """

    ids: pa.Array
    node_type: np.ndarray
    names: tuple[str, ...]
    source: np.ndarray
    target: np.ndarray
    relation: np.ndarray
    time: np.ndarray | None
    family: np.ndarray
    outside: np.ndarray
    num_repeated: int

    @classmethod
    def of(cls, graph: AnyGraph, relations: Iterable[str] | None, *, attribute: str, need_time: bool) -> EdgeRows:
        """Collect the edges of relations and of their reverses.

        Args:
            graph: The graph with all its edges.
            relations: Names, all by default.
            attribute: Edge attribute that holds the time.
            need_time: Refuse relations without times; otherwise times are used if all these relations have them.

        Raises:
            InputError: If there is nothing to split, a relation is unknown, or times are missing.
        """
        names = _with_reverses(graph, relations)
        ids, number = number_by_id(graph.node_ids)
        chosen = {name: graph.relations[name] for name in names}
        times = {name: edge_times(relation, attribute) for name, relation in chosen.items()}
        without = [name for name, values in times.items() if values is None]
        if need_time and without:
            raise no_times(graph, without[0], attribute)
        ends = [number[relation.edge_index.numpy(force=True)] for relation in chosen.values()]
        source, target = np.concatenate([e[0] for e in ends]), np.concatenate([e[1] for e in ends])
        relation = np.repeat(np.arange(len(names), dtype=np.int32), [e.shape[1] for e in ends])
        time = None if without else np.concatenate([times[name] for name in names])
        pair = source.astype(np.int64) * len(ids) + target
        keys = [relation, pair] if time is None else [time, relation, pair]
        order = np.lexsort(keys)  # the last key counts most
        new = np.ones(len(order), dtype=bool)
        if len(order):
            new[1:] = np.logical_or.reduce([key[order[1:]] != key[order[:-1]] for key in keys])
        del pair, keys
        order = order[new]
        node_type = np.empty(len(ids), dtype=np.int64)
        node_type[number] = graph.node_type.numpy(force=True)
        return cls(
            ids=ids,
            node_type=node_type,
            names=names,
            source=source[order],
            target=target[order],
            relation=relation[order],
            time=None if time is None else time[order],
            family=_families(chosen),
            outside=pairs_outside(graph, names, number),
            num_repeated=len(new) - len(order),
        )

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def pair(self) -> np.ndarray:
        """Key of the undirected pair of each row, `[num_rows]`, int64."""
        return pair_keys(self.source, self.target, len(self.ids))

    def units(self, together: Together) -> np.ndarray:
        """Number of the unit of each row, `[num_rows]`: its pair, or its pair and relation; units ascend by id."""
        if together not in TOGETHER:
            raise unknown_choice("together", together, TOGETHER)
        unit = np.unique(self.pair, return_inverse=True)[1]
        if together == "relation":
            unit = np.unique(unit * len(self.names) + self.family[self.relation], return_inverse=True)[1]
        return unit

    def told(self, together: Together) -> np.ndarray:
        """Rows that cannot be asked, because a relation outside of the split joins the same pair, `[num_rows]`."""
        if together == "relation" or not len(self.outside):
            return np.zeros(len(self), dtype=bool)
        place = np.searchsorted(self.outside, self.pair).clip(max=len(self.outside) - 1)
        return np.asarray(self.outside[place] == self.pair)

    @property
    def loops(self) -> np.ndarray:
        """Edges from a node to itself, which nobody can be asked for, `[num_rows]`, bool."""
        return np.asarray(self.source == self.target)

    def split(self, part: np.ndarray, method: str, settings: dict[str, Any], together: Together) -> Split:
        """Make the split, with what the user should know about it in its settings.

        Args:
            part: `[num_rows]`: part of each row.
            method: Name of the method.
            settings: What the method was told.
            together: What moved together.
        """
        columns = {
            "source": self.ids.take(pa.array(self.source)),
            "target": self.ids.take(pa.array(self.target)),
            "relation": pa.array(self.names, pa.string()).take(pa.array(self.relation)),
        }
        if self.time is not None:
            columns["time"] = pa.array(self.time)
        columns["split"] = pa.array(PARTS).take(pa.array(part))
        told = {
            "relations": list(self.names),
            "together": together,
            "told_by_other_relations": len(np.unique(self.pair[self.told(together)])),
            "self_loops": int(np.count_nonzero(self.loops)),
            "repeated_edges": self.num_repeated,
            "cold_nodes": self._cold(part),
        }
        return Split("edge", pa.table(columns), method, {**settings, **told})

    def _cold(self, part: np.ndarray) -> dict[str, int]:
        """Numbers of nodes that are asked about and have no training edge: of the split relations, and at all."""
        asked, seen = (np.zeros(len(self.ids), dtype=bool) for _ in range(2))
        for side in (self.source, self.target):
            asked[side[(part == CODE[VALID]) | (part == CODE[TEST])]] = True
            seen[side[part == CODE[TRAIN]]] = True
        in_split = int(np.count_nonzero(asked & ~seen))
        for side in np.divmod(self.outside, len(self.ids)):
            seen[side] = True
        return {"in_these_relations": in_split, "in_all_relations": int(np.count_nonzero(asked & ~seen))}


def number_by_id(node_ids: NodeIds) -> tuple[pa.Array, np.ndarray]:
    """Ids in ascending order, and for each node its place in that order, `[num_nodes]`."""
    values = pa.array(node_ids.values, pa.string() if node_ids.values.dtype == object else pa.int64())
    order = pc.sort_indices(values).to_numpy()
    number = np.empty(len(order), dtype=np.int32 if len(order) < 2**31 else np.int64)
    number[order] = np.arange(len(order))
    return values.take(pa.array(order)), number


def pair_keys(one: np.ndarray, other: np.ndarray, num_nodes: int) -> np.ndarray:
    """One key for each pair of nodes, the same in both directions: `smaller * num_nodes + larger`, int64."""
    return np.asarray(np.minimum(one, other).astype(np.int64) * num_nodes + np.maximum(one, other))


def reserve(part: np.ndarray, blocked: np.ndarray) -> np.ndarray:
    """Take rows out of what is asked: what would be held out becomes `unused`, training rows stay."""
    return np.where(blocked & (part != CODE[TRAIN]), np.int8(CODE[UNUSED]), part)


def _with_reverses(graph: AnyGraph, relations: Iterable[str] | None) -> tuple[str, ...]:
    chosen = set(graph.relations) if relations is None else set(relations)
    for name in sorted(chosen):
        if name not in graph.relations:
            raise unknown_choice("relation", name, graph.relations)
    chosen |= {reverse for name in chosen if (reverse := graph.relations[name].reverse) is not None}
    if not chosen:
        raise InputError(f"graph {graph.name!r}: expected relations to split, got none")
    return tuple(sorted(chosen))


def no_times(graph: AnyGraph, name: str, attribute: str) -> InputError:
    """The error for a relation that cannot be split by time; says how many edges lack one."""
    relation = graph.relations[name]
    text = f"graph {graph.name!r}, relation {name!r}: expected one number {attribute!r} for every edge; "
    values = relation.attributes.get(attribute)
    if values is not None and values.dim() == 1 and values.is_floating_point():
        absent = int((~values.isfinite()).sum())
        return InputError(text + f"{absent:,} of {relation.num_edges:,} edges have none: complete or drop these rows")
    return InputError(text + f"its attributes are: {first_few(list(relation.attributes)) or '(none)'}")


def edge_times(relation: Relation, attribute: str) -> np.ndarray | None:
    """Times of all edges, int64 or float64, or `None` unless each edge has one."""
    if attribute not in relation.attributes:
        return None
    values = relation.attributes[attribute]
    array = (values.float() if values.dtype.itemsize == 2 and values.is_floating_point() else values).numpy(force=True)
    if array.ndim != 1 or array.dtype == bool or not np.isfinite(array).all():
        return None
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


def _families(relations: dict[str, Relation]) -> np.ndarray:
    names = list(relations)
    first = [min(name, relation.reverse or name) for name, relation in relations.items()]
    return np.array([names.index(name) for name in first], dtype=np.int64)


def pairs_outside(graph: AnyGraph, names: Collection[str | None], number: np.ndarray) -> np.ndarray:
    """Keys of the pairs that relations other than these join, ascending."""
    keys = []
    for name, relation in graph.relations.items():
        if name not in names:
            source, target = number[relation.edge_index.numpy(force=True)]
            keys.append(pair_keys(source, target, len(number)))
    return np.unique(np.concatenate(keys)) if keys else np.empty(0, dtype=np.int64)
