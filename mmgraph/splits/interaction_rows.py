"""The interactions of users with items as flat arrays in an order that depends on ids alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.errors import InputError, unknown_choice
from mmgraph.splits.base import PARTS, TEST, TRAIN, VALID, Split
from mmgraph.splits.edge_rows import AnyGraph, edge_times, no_times, number_by_id, pair_keys, pairs_outside
from mmgraph.splits.shares import CODE


@dataclass(frozen=True, eq=False)
class InteractionRows:
    """Distinct interactions (user, item and, if there are times, time) of a relation and its declared reverse.

    Attributes:
        relation: Name of the relation.
        user_type: Type of the users.
        item_type: Type of the items.
        ids: Ids of the graph's nodes, ascending; users and items are numbered so.
        user: `[num_rows]`, ascending.
        item: `[num_rows]`.
        time: `[num_rows]`, or `None` if not every interaction has one.
        attribute: Edge attribute that holds the time.
        outside: Pairs that other relations join.
    """

    relation: str
    user_type: str
    item_type: str
    ids: pa.Array
    user: np.ndarray
    item: np.ndarray
    time: np.ndarray | None
    attribute: str
    outside: np.ndarray

    @classmethod
    def of(
        cls, graph: AnyGraph, relation: str, user_type: str | None, *, attribute: str, need_time: bool
    ) -> InteractionRows:
        """Collect the interactions.

        Args:
            graph: The graph with all its edges.
            relation: Name of the relation.
            user_type: Which of its two node types are the users; by default that of the sources.
            attribute: Edge attribute that holds the time.
            need_time: Refuse interactions without times; otherwise times are used if all have them.

        Raises:
            InputError: If the relation or type is unknown, both ends have the same type, or times are missing.
        """
        if relation not in graph.relations:
            raise unknown_choice("relation", relation, graph.relations)
        edges = graph.relations[relation]
        types = (edges.source_type, edges.target_type)
        user_type = edges.source_type if user_type is None else user_type
        if user_type not in types:
            raise unknown_choice("type of users", user_type, types)
        if types[0] == types[1]:
            raise InputError(
                f"graph {graph.name!r}, relation {relation!r}: expected users and items of two node types, "
                f"got {types[0]!r} at both ends; split it as edges"
            )
        ids, number = number_by_id(graph.node_ids)
        users: list[np.ndarray] = []
        items: list[np.ndarray] = []
        times: list[np.ndarray | None] = []
        for name in (relation, *([edges.reverse] if edges.reverse else [])):
            part = graph.relations[name]
            ends = number[part.edge_index.numpy(force=True)]
            user, item = ends if part.source_type == user_type else ends[::-1]
            time = edge_times(part, attribute)
            if need_time and time is None:
                raise no_times(graph, name, attribute)
            users.append(user)
            items.append(item)
            times.append(time)
        known = [time for time in times if time is not None]
        user, item = np.concatenate(users), np.concatenate(items)
        keys = [item, user] if len(known) < len(times) else [np.concatenate(known), item, user]
        order = np.lexsort(keys)  # the last key counts most
        new = np.ones(len(order), dtype=bool)
        if len(order):
            new[1:] = np.logical_or.reduce([key[order[1:]] != key[order[:-1]] for key in keys])
        order = order[new]
        return cls(
            relation=relation,
            user_type=user_type,
            item_type=types[1] if user_type == types[0] else types[0],
            ids=ids,
            user=user[order],
            item=item[order],
            time=keys[0][order] if len(keys) == 3 else None,
            attribute=attribute,
            outside=pairs_outside(graph, (relation, edges.reverse), number),
        )

    def __len__(self) -> int:
        return len(self.user)

    @property
    def repeat(self) -> np.ndarray:
        """Rows whose user had this item before, `[num_rows]`, bool."""
        same = np.zeros(len(self), dtype=bool)
        same[1:] = (self.user[1:] == self.user[:-1]) & (self.item[1:] == self.item[:-1])
        return same

    def split(
        self, part: np.ndarray, method: str, settings: dict[str, Any], fold_in: np.ndarray | None = None
    ) -> Split:
        """Make the split, with what the user should know about it in its settings.

        Args:
            part: `[num_rows]`: part of each row; repeats become `unused`.
            method: Name of the method.
            settings: What the method was told.
            fold_in: `[num_rows]`: the stage at which a row may be used as input, -1 for none.
        """
        columns = {"user": self.ids.take(pa.array(self.user)), "item": self.ids.take(pa.array(self.item))}
        if self.time is not None:
            columns["time"] = pa.array(self.time)
        columns["split"] = pa.array(PARTS).take(pa.array(part))
        if fold_in is not None:
            columns["fold_in"] = pa.array(PARTS).take(pa.array(fold_in, mask=fold_in < 0))
        asked = (part == CODE[VALID]) | (part == CODE[TEST])
        pairs = np.unique(pair_keys(self.user[asked], self.item[asked], len(self.ids)))
        told = {
            "relation": self.relation,
            "user_type": self.user_type,
            "item_type": self.item_type,
            "attribute": self.attribute,
            "repeats": int(np.count_nonzero(self.repeat)),
            "told_by_other_relations": int(np.isin(pairs, self.outside).sum()),
            "cold_users": self._cold(self.user, part),
            "cold_items": self._cold(self.item, part),
        }
        return Split("interaction", pa.table(columns), method, {**settings, **told})

    def _cold(self, side: np.ndarray, part: np.ndarray) -> dict[str, int]:
        """Number of users or items that are asked about in a part and have no training interaction."""
        seen = np.zeros(len(self.ids), dtype=bool)
        seen[side[part == CODE[TRAIN]]] = True
        return {name: int(np.count_nonzero(~seen[np.unique(side[part == CODE[name]])])) for name in (VALID, TEST)}
