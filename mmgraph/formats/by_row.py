"""From rows of files to ids of nodes: formats that name nodes by their position."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError


def check_rows(where: str, rows: np.ndarray, num_nodes: int) -> np.ndarray:
    """The positions as int64, in the shape that they have.

    Args:
        where: Named in errors: the file, and what in it.
        rows: Positions of nodes; floating point numbers only if there are none.
        num_nodes: They must lie below.

    Raises:
        InputError: If they are no integers, or lie outside.
    """
    if rows.size and rows.dtype.kind not in "iu":
        raise InputError(f"{where}: expected positions of nodes, got {rows.dtype}")
    if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < num_nodes:
        raise InputError(f"{where}: positions must lie in 0..{num_nodes - 1}, got {int(rows.min())}..{int(rows.max())}")
    return rows.astype(np.int64, copy=False)


def id_lists(ids: NodeIds, rows: np.ndarray, lengths: np.ndarray) -> pa.ListArray:
    """Lists of ids, such as the negatives of edges; null where a list is empty.

    Args:
        ids: Ids of the nodes.
        rows: Positions of the nodes of all lists, one list after the other.
        lengths: `[num_lists]`: how many belong to each.
    """
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), ids.arrow.take(pa.array(rows)), mask=pa.array(lengths == 0))
