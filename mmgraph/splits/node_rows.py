"""Nodes in ascending order of their ids, with their groups and labels: what splitters of nodes work on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError, first_few
from mmgraph.splits.base import PARTS, Split
from mmgraph.splits.edge_rows import number_by_id


@dataclass(frozen=True, eq=False)
class NodeRows:
    """A table of nodes in ascending order of id.

    Attributes:
        table: All columns as they were given.
        group: `[num_nodes]`: number of the group; groups ascend by their smallest id.
        sizes: `[num_groups]`: number of members.
        grouped: Whether groups were given at all.
    """

    table: pa.Table
    group: np.ndarray
    sizes: np.ndarray
    grouped: bool

    @classmethod
    def of(cls, nodes: pa.Table, groups: Mapping[Any, Any] | None) -> NodeRows:
        """Sort and group a table.

        Raises:
            InputError: If there is no column `id`, an id is missing or occurs twice.
        """
        if "id" not in nodes.column_names:
            raise InputError(f"nodes to split: missing column 'id'; got {first_few(nodes.column_names, 10)}")
        if "split" in nodes.column_names:
            nodes = nodes.drop_columns(["split"])
        ids = NodeIds(nodes["id"], where="nodes to split, column 'id'")
        values, number = number_by_id(ids)
        table = nodes.take(pa.array(np.argsort(number)))
        names: list[Any] = values.to_pylist()
        if groups is None:
            group = np.arange(len(names), dtype=np.int64)
        else:
            # A pair of a flag and a name: a group may be called like a node that has none.
            named = [(name, groups.get(name)) for name in names]
            keys = [(False, name) if group is None else (True, group) for name, group in named]
            group = np.asarray(pd.factorize(pd.Series(keys, dtype=object))[0], dtype=np.int64)
        return cls(table, group, np.bincount(group), groups is not None)

    def __len__(self) -> int:
        return len(self.group)

    def times(self, column: str) -> np.ndarray:
        """Times of all nodes, int64 or float64.

        Raises:
            InputError: If the column is missing, holds no numbers or dates, or a node has none.
        """
        if column not in self.table.column_names:
            raise InputError(f"nodes to split: missing column {column!r}; got {first_few(self.table.column_names, 10)}")
        values = self.table[column]
        if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
            values = values.cast(pa.timestamp("us")).cast(pa.int64())
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            raise InputError(f"nodes to split, column {column!r}: expected numbers or dates, got {values.type}")
        values = values.cast(pa.float64() if pa.types.is_floating(values.type) else pa.int64())
        absent = int(pc.sum(pc.is_null(values, nan_is_null=pa.types.is_floating(values.type))).as_py() or 0)
        if absent:
            raise InputError(f"nodes to split, column {column!r}: {absent:,} nodes have no time; leave them out")
        return np.asarray(values.to_numpy())

    def split(self, part: np.ndarray, method: str, settings: dict[str, Any]) -> Split:
        """Make the split."""
        table = self.table.append_column("split", pa.array(PARTS).take(pa.array(part)))
        found = {"groups": int(np.count_nonzero(self.sizes > 1))} if self.grouped else {}
        return Split("node", table, method, {**settings, **found})


@dataclass(frozen=True, eq=False)
class Strata:
    """Groups of nodes by label; iterating gives each label with the numbers of its groups, labels in ascending order.

    Attributes:
        rows: The nodes.
        names: Labels, ascending.
        label: `[num_nodes]`: number of the label of each node, -1 without one.
        stratum: `[num_groups]`: number of the label that a group counts for, -1 without one.
        sizes: `[num_groups]`: number of members that have a label.
    """

    rows: NodeRows
    names: tuple[str, ...]
    label: np.ndarray
    stratum: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, rows: NodeRows) -> Strata:
        """Read the labels of nodes.

        Raises:
            InputError: If there is no column `label`, or it holds nothing.
        """
        if "label" not in rows.table.column_names:
            raise InputError(f"nodes to split: missing column 'label'; got {first_few(rows.table.column_names, 10)}")
        single = _single_labels(rows.table["label"])
        names = sorted({name for name in single if name is not None})
        if not names:
            raise InputError("nodes to split, column 'label': expected labels, got none")
        number = {name: code for code, name in enumerate(names)}
        label = np.array([-1 if name is None else number[name] for name in single], dtype=np.int64)
        known = label >= 0
        # The most frequent label of a group, the smallest among equals, comes first among its rows.
        pair, count = np.unique(rows.group[known] * len(names) + label[known], return_counts=True)
        order = np.lexsort((pair, -count, pair // len(names)))
        group, first = np.unique(pair[order] // len(names), return_index=True)
        stratum = np.full(len(rows.sizes), -1, dtype=np.int64)
        stratum[group] = pair[order][first] % len(names)
        sizes = np.bincount(rows.group[known], minlength=len(rows.sizes))
        return cls(rows, tuple(names), label, stratum, sizes)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        order = np.argsort(self.stratum, kind="stable")
        bounds = np.searchsorted(self.stratum[order], np.arange(len(self.names) + 1))
        for code, name in enumerate(self.names):
            if bounds[code] < bounds[code + 1]:
                yield name, order[bounds[code] : bounds[code + 1]]

    def representatives(self, random: torch.Generator) -> np.ndarray:
        """One random member of each group that has the label the group counts for, `[num_groups_with_a_label]`."""
        members = np.flatnonzero((self.label >= 0) & (self.label == self.stratum[self.rows.group]))
        members = members[torch.randperm(len(members), generator=random).numpy()]
        return np.asarray(members[np.unique(self.rows.group[members], return_index=True)[1]])


def _single_labels(column: pa.ChunkedArray) -> list[str | None]:
    """One label per node as text: of a list the rarest one, the smallest among equals; `None` without any.

    NaN is no label: tables mark an absent number so.
    """
    labels = column.to_pylist()
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return [str(label) if _is_label(label) else None for label in labels]
    lists = [sorted({str(label) for label in some or () if _is_label(label)}) for some in labels]
    counts = Counter(label for some in lists for label in some)
    return [min(some, key=lambda label: (counts[label], label), default=None) for some in lists]


def _is_label(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
