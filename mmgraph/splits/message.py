"""Which edges may carry messages: the graph that a model may see at each stage of a split."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, unknown_choice
from mmgraph.splits.base import TEST, TRAIN, VALID, Split
from mmgraph.splits.edge_rows import edge_times, pair_keys

G = TypeVar("G", bound=MultimodalGraph | RawGraph)
Stage = Literal["train", "valid", "test"]


def message_graph(
    graph: G, split: Split, stage: Stage = "train", *, with_valid: bool = False, with_fold_in: bool = False
) -> G:
    """Take out of a graph all edges that must not carry messages at a stage.

    Allowed are the training rows of the split and everything that the split does not name. Removed is

    1. every edge that the split lists in another part: the row with the same source, target and relation (and time,
       if the split has times); a symmetric relation is read both ways, a row of the declared reverse the other way
       round;
    2. every edge that tells a pair that is still to be asked, a row of `valid` or `test`: in both directions and in
       *any* relation, or with `together="relation"` in its own relation and the declared reverse.

    A split of nodes holds out labels, which no graph contains: the graph comes back as it is.

    Args:
        graph: The graph with all its edges, or without those that are held out: doing it twice changes nothing.
        split: The split.
        stage: What the graph is for. The graphs for `train` and `valid` are the same.
        with_valid: At the test, let validation rows carry messages too.
        with_fold_in: Let those interactions of a cold user carry messages that the split sets apart for this stage.

    Returns:
        The same nodes with fewer edges; relations stay, even without edges.

    Raises:
        InputError: If the stage is unknown, the split names nodes that the graph lacks, or a relation lacks the times
            that the split has.
    """
    if stage not in (TRAIN, VALID, TEST):
        raise unknown_choice("stage", stage, (TRAIN, VALID, TEST))
    if with_valid and stage != TEST:
        raise InputError(f"validation edges may carry messages at the test only, got stage {stage!r}")
    if split.kind == "node":
        return graph
    parts = {TRAIN, VALID} if with_valid else {TRAIN}
    hidden = _Hidden(graph, split, parts, parts | {stage} if with_fold_in else set())
    relations = {}
    for name, relation in graph.relations.items():
        keep = ~hidden.edges(name, relation)
        relations[name] = relation if keep.all() else relation.take(torch.from_numpy(keep).to(graph.node_type.device))
    return replace(graph, relations=relations)


class _Hidden:
    """Rows of a split that must not be seen, as positions in a graph.

    Args:
        graph: The graph.
        split: A split of edges or interactions.
        parts: Parts that may be seen.
        fold_in: Stages whose fold-in rows may be seen.
    """

    def __init__(
        self, graph: MultimodalGraph | RawGraph, split: Split, parts: Collection[str], fold_in: Collection[str]
    ) -> None:
        self.num_nodes = graph.num_nodes
        self.where = split.where
        self.attribute = str(split.settings.get("attribute", "time"))
        self.any_relation = split.settings.get("together", "pair") == "pair"
        self.relations = graph.relations
        hidden = pc.invert(pc.is_in(split.table["split"], pa.array(sorted(parts))))
        if fold_in and "fold_in" in split.table.column_names:
            folded = pc.is_in(split.table["fold_in"], pa.array(sorted(fold_in)))
            hidden = pc.and_not(hidden, folded)
        rows = split.table.filter(hidden)
        columns = ("source", "target") if split.kind == "edge" else ("user", "item")
        self.source, self.target = (
            graph.node_ids.positions(rows[side], where=f"{split.where}, column {side!r}") for side in columns
        )
        if split.kind == "edge":
            self.relation = rows["relation"].combine_chunks()
        else:
            name, flip = interaction_relation(graph, split)
            self.relation = pa.array([name]).take(pa.array(np.zeros(len(rows), dtype=np.int64)))
            if flip:
                self.source, self.target = self.target, self.source
        self.time = rows["time"].to_numpy() if "time" in rows.column_names else None
        self.asked = pc.is_in(rows["split"], pa.array([VALID, TEST])).to_numpy()

    def edges(self, name: str, relation: Relation) -> np.ndarray:
        """Which edges of a relation must not be seen, `[num_edges]`, bool."""
        if not relation.num_edges:  # on disk, a relation without edges has no attributes either
            return np.zeros(0, dtype=bool)
        source, target = relation.edge_index.numpy(force=True)
        hidden = self._tells_a_pair(name, relation, source, target)
        own, reverse = self._rows_of(name), self._rows_of(relation.reverse)
        forward = self._keys(own), *([self._keys(own, flip=True)] if relation.symmetric else [])
        keys = np.concatenate([*forward, self._keys(reverse, flip=True)])
        if not len(keys):
            return hidden
        key = source * self.num_nodes + target
        if self.time is None:
            return np.asarray(hidden | _contains(np.unique(keys), key))
        time = edge_times(relation, self.attribute)
        if time is None:
            raise InputError(
                f"{self.where} tells edges apart by time, but relation {name!r} has no complete attribute "
                f"{self.attribute!r}"
            )
        times = np.concatenate([self.time[own]] * len(forward) + [self.time[reverse]])
        return np.asarray(hidden | _contains_at(keys, times, key, time))

    def _tells_a_pair(self, name: str, relation: Relation, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        pairs = self._all_pairs
        if not self.any_relation:
            pairs = self._pairs(self.asked & (self._rows_of(name) | self._rows_of(relation.reverse)))
        return _contains(pairs, pair_keys(source, target, self.num_nodes))

    @cached_property
    def _all_pairs(self) -> np.ndarray:
        return self._pairs(self.asked)

    def _pairs(self, rows: np.ndarray) -> np.ndarray:
        return np.unique(pair_keys(self.source[rows], self.target[rows], self.num_nodes))

    def _rows_of(self, relation: str | None) -> np.ndarray:
        """Rows of a relation, `[num_rows]`, bool."""
        if relation is None:
            return np.zeros(len(self.source), dtype=bool)
        return np.asarray(pc.equal(self.relation, relation).to_numpy(zero_copy_only=False))

    def _keys(self, rows: np.ndarray, *, flip: bool = False) -> np.ndarray:
        one, other = (self.target, self.source) if flip else (self.source, self.target)
        return np.asarray(one[rows] * self.num_nodes + other[rows])


def interaction_relation(graph: MultimodalGraph | RawGraph, split: Split) -> tuple[str, bool]:
    """The relation that a split of interactions is about, and whether it leads from items to users.

    Raises:
        InputError: If the settings of the split do not name it, or the graph lacks it.
    """
    name, user_type = split.settings.get("relation"), split.settings.get("user_type")
    if not isinstance(name, str) or not isinstance(user_type, str):
        raise InputError(f"{split.where}: expected settings 'relation' and 'user_type', got {sorted(split.settings)}")
    if name not in graph.relations:
        raise unknown_choice("relation", name, graph.relations)
    relation = graph.relations[name]
    if user_type not in (relation.source_type, relation.target_type):
        raise unknown_choice("type of users", user_type, (relation.source_type, relation.target_type))
    return name, user_type != relation.source_type


def _contains(ascending: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which keys are in an ascending array, `[num_keys]`, bool."""
    if not len(ascending):
        return np.zeros(len(keys), dtype=bool)
    return np.asarray(ascending[np.searchsorted(ascending, keys).clip(max=len(ascending) - 1)] == keys)


def _contains_at(row_keys: np.ndarray, row_times: np.ndarray, keys: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Which pairs of key and time are among those of the rows, `[num_keys]`, bool."""
    if row_times.dtype != times.dtype:  # an integer column of the one is a column of floats in the other
        row_times, times = row_times.astype(np.float64), times.astype(np.float64)
    known, moments = np.unique(row_keys), np.unique(row_times)
    found = _contains(known, keys) & _contains(moments, times)

    def code(key: np.ndarray, time: np.ndarray) -> np.ndarray:
        return np.asarray(np.searchsorted(known, key) * len(moments) + np.searchsorted(moments, time))

    found[found] = _contains(np.unique(code(row_keys, row_times)), code(keys[found], times[found]))
    return np.asarray(found)
