"""External ids of nodes: strings or integers, unique, and the only way to join tables."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.errors import InputError, first_few


def as_ids(values: Iterable[Any], *, where: str = "ids") -> np.ndarray:
    """Turn ids into an array of `int64` or of Python strings; never mix, never guess.

    Args:
        values: Integers or strings, in a list, array, pandas or pyarrow column.
        where: Named in the error, for example a file and a column.

    Raises:
        InputError: If a value is missing, is a float, or strings and integers are mixed.
    """
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        if values.null_count:
            row = values.is_null().to_pylist().index(True)
            raise InputError(f"{where}: missing id in row {row}")
        values = values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy()
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.dtype != np.uint64:
        return values.astype(np.int64)
    items = values.tolist() if isinstance(values, (np.ndarray, pd.Series, pd.Index)) else list(values)
    if all(isinstance(item, str) for item in items):
        out = np.empty(len(items), dtype=object)
        out[:] = items
        return out
    if all(map(_is_integer, items)):
        if min(items) < -(2**63) or max(items) >= 2**63:
            raise InputError(f"{where}: expected integers of 64 bits, got {min(items)}..{max(items)}; use strings")
        return np.asarray(items, dtype=np.int64)
    first_is_text = isinstance(items[0], str)
    row = next(i for i, item in enumerate(items) if not (isinstance(item, str) if first_is_text else _is_integer(item)))
    kinds = sorted({type(item).__name__ for item in items})
    raise InputError(
        f"{where}: expected all strings or all integers, got {', '.join(kinds)} (row {row}: {items[row]!r})"
    )


def _is_integer(item: object) -> bool:
    return isinstance(item, (int, np.integer)) and not isinstance(item, bool)


class NodeIds:
    """The ids of a graph's nodes, in row order, with a fast lookup.

    Args:
        values: Unique strings or unique integers.
        where: Named in errors.

    Raises:
        InputError: If an id occurs twice; the message lists the first five.
    """

    def __init__(self, values: Iterable[Any], *, where: str = "node ids") -> None:
        self.values: np.ndarray = values.values if isinstance(values, NodeIds) else as_ids(values, where=where)
        self.where = where
        if pc.count_distinct(self.arrow).as_py() != len(self.values):
            counts = pc.value_counts(self.arrow)
            duplicates = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
            raise InputError(f"{where}: {len(duplicates):,} duplicate ids: {first_few(duplicates.to_pylist())}")

    @cached_property
    def arrow(self) -> pa.Array:
        """The ids as an Arrow array of strings or 64-bit integers."""
        return pa.array(self.values, pa.string() if self.values.dtype == object else pa.int64())

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeIds) and np.array_equal(self.values, other.values)

    def __repr__(self) -> str:
        return f"NodeIds({len(self):,}: {first_few(self.values[:3].tolist())})"

    def take(self, index: np.ndarray) -> NodeIds:
        """Ids at these positions, as a new object."""
        return NodeIds(self.values[index], where=self.where)

    def find(self, ids: Iterable[Any], *, where: str = "ids") -> np.ndarray:
        """Positions of ids `[len(ids)]`, -1 where unknown."""
        wanted = as_ids(ids, where=where)
        if len(wanted) == 0:
            return np.empty(0, dtype=np.int64)
        if len(self) == 0:
            return np.full(len(wanted), -1, dtype=np.int64)
        if wanted.dtype != self.values.dtype:
            raise InputError(
                f"{where}: {self.where} are {_kind(self.values)}, got {_kind(wanted)} (first: {wanted[0]!r})"
            )
        found = pc.index_in(pa.array(wanted), value_set=self.arrow)
        return np.asarray(found.fill_null(-1), dtype=np.int64)

    def positions(self, ids: Iterable[Any], *, where: str = "ids") -> np.ndarray:
        """Positions of ids `[len(ids)]`.

        Raises:
            InputError: If some are unknown; the message counts them and lists the first five.
        """
        wanted = as_ids(ids, where=where)
        found = self.find(wanted, where=where)
        missing = wanted[found < 0]
        if len(missing):
            raise InputError(
                f"{where}: {len(missing):,} unknown ids: {first_few(list(dict.fromkeys(missing.tolist())))}"
            )
        return found


def _kind(values: np.ndarray) -> str:
    return "strings" if values.dtype == object else "integers"
