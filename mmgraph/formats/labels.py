"""Splits of nodes from arrays of labels and the parts that a benchmark declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.errors import InputError
from mmgraph.formats.bundle import OFFICIAL
from mmgraph.formats.by_row import check_rows
from mmgraph.splits.base import PARTS, TEST, TRAIN, UNUSED, VALID, Split
from mmgraph.splits.shares import CODE


def label_column(where: str, values: Any, num_nodes: int) -> tuple[pa.Array, tuple[str, ...]]:
    """Turn an array of labels into a column.

    Args:
        where: Named in errors and notes.
        values: `[num_nodes]` or `[num_nodes, 1]`: one label per node; NaN and negative whole numbers mean none. `[num_nodes,
            num_labels]` of 0 and 1: any number of labels per node; a row of NaN means that they are unknown.
        num_nodes: How many rows there must be.

    Returns:
        One value per node, or for several labels the list of their numbers; and notes.

    Raises:
        InputError: On a wrong shape, or several columns that hold anything but 0, 1 and NaN.
    """
    array = np.asarray(values)
    if array.ndim not in (1, 2) or len(array) != num_nodes or array.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: expected numbers [{num_nodes}] or [{num_nodes}, num_labels], got {array.dtype} {list(array.shape)}"
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        return _single(where, array)
    unknown = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
    if not np.isin(array[~unknown], (0, 1)).all():
        raise InputError(f"{where}: several labels per node must be columns of 0 and 1, got other values")
    given = np.where(unknown, 0, array).astype(bool)
    offsets = np.concatenate([[0], given.sum(axis=1).cumsum()]).astype(np.int32)
    column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.nonzero(given)[1].astype(np.int64)))
    notes = []
    absent, some = unknown.all(axis=1), unknown.any(axis=1)
    if absent.any():
        column = pa.ListArray.from_arrays(column.offsets, column.values, mask=pa.array(absent))
    if (some & ~absent).any():
        count = int((some & ~absent).sum())
        notes.append(f"{where}: {count:,} nodes have labels that are partly unknown; what is unknown counts as absent")
    return column, tuple(notes)


def _single(where: str, array: np.ndarray) -> tuple[pa.Array, tuple[str, ...]]:
    absent = np.isnan(array) if array.dtype.kind == "f" else array < 0 if array.dtype.kind == "i" else None
    absent = np.zeros(len(array), dtype=bool) if absent is None else absent
    notes = []
    if array.dtype.kind == "i" and absent.any():
        notes.append(f"{where}: {int(absent.sum()):,} nodes have a negative label, which is taken for none")
    if array.dtype.kind in "iub":
        array = array.astype(np.int64)
    elif bool((array[~absent] == np.floor(array[~absent])).all()):  # classes, floats only because some are NaN
        return _single(where, np.where(absent, -1, array).astype(np.int64))
    return pa.array(array, mask=absent), tuple(notes)


def official_split(
    where: str,
    ids: np.ndarray,
    labels: pa.Array | None,
    parts: Mapping[str, Any],
    settings: Mapping[str, Any],
    method: str = OFFICIAL,
) -> Split:
    """A split of nodes whose parts are given by position. Nodes without a label and a part are left out.

    Args:
        where: Named in errors.
        ids: Ids of the nodes, `[num_nodes]`.
        labels: One label per node, if there are any.
        parts: For each of `train`, `valid`, `test` positions among the ids, or a mask `[num_nodes]`; the rest is
            `unused`.
        settings: What the split should tell about itself.
        method: Method of the split.

    Raises:
        InputError: If positions lie outside or come twice, a mask has another length, or parts overlap.
    """
    code = np.full(len(ids), CODE[UNUSED], dtype=np.int8)
    for part in (TRAIN, VALID, TEST):
        if part not in parts:
            continue
        chosen = np.asarray(parts[part])
        if chosen.dtype == bool:
            if chosen.shape != (len(ids),):
                raise InputError(f"{where}, {part}: expected a mask [{len(ids)}], got {list(chosen.shape)}")
            chosen = np.flatnonzero(chosen)
        chosen = np.sort(check_rows(f"{where}, {part}", chosen, len(ids)).reshape(-1))
        twice = chosen[1:][chosen[1:] == chosen[:-1]]
        if len(twice):
            raise InputError(f"{where}, {part}: expected each position once, got {int(twice[0])} again")
        taken = code[chosen] != CODE[UNUSED]
        if taken.any():
            first = int(chosen[taken][0])
            node = ids[first] if ids.dtype == object else int(ids[first])
            others = PARTS[int(code[first])]
            raise InputError(f"{where}: {int(taken.sum()):,} nodes are in {others} and in {part}, first: {node!r}")
        code[chosen] = CODE[part]
    keep = code != CODE[UNUSED]
    if labels is not None:
        keep |= labels.is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(keep)
    table = {"id": pa.array(ids[rows], pa.string() if ids.dtype == object else pa.int64())}
    if labels is not None:
        table["label"] = labels.take(pa.array(rows))
    table["split"] = pa.array(PARTS, pa.string()).take(pa.array(code[rows]))
    return Split("node", pa.table(table), method, settings)
