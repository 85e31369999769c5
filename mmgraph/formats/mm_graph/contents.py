"""Contents of MM-Graph's files: lists, arrays or tensors, checked and turned into arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.ids import NodeIds, as_ids
from mmgraph.errors import InputError, first_few
from mmgraph.formats.by_row import check_rows
from mmgraph.formats.labels import label_column
from mmgraph.formats.safe_pickle import load_pt

NC_EDGES, LABELS, NC_SPLIT, MAPPING = "nc_edges-nodeid.pt", "labels-w-missing.pt", "split.pt", "node_mapping.pt"
LP_SPLITS = ("lp-edge-split.pt", "lp-edge-split-hard.pt", "lp-edge-split-random.pt")
FEATURES = "_feat.pt"
"""End of the names of feature files; the first part names the encoder."""

IDS = ("mapping", "rows")
"""Where ids come from: `node_mapping.pt` if it is there, or the numbers of rows."""


def load_mapping(path: Path, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """Load a dictionary that has these keys.

    Raises:
        InputError: If it is none, or lacks one.
    """
    content = load_pt(path)
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected a dictionary with {', '.join(keys)}, got {type(content).__name__}")
    missing = [key for key in keys if key not in content]
    if missing:
        raise InputError(f"{path}: missing {first_few(missing)}; found: {first_few(list(content), 10) or '(nothing)'}")
    return content


def as_array(where: str, content: Any) -> np.ndarray:
    """An array from a list, array or tensor.

    Raises:
        InputError: If it is anything else, or a list whose items differ in shape.
    """
    try:
        if isinstance(content, Tensor):
            return content.detach().numpy(force=True)
        if isinstance(content, (list, tuple)) and content and isinstance(content[0], Tensor):
            return torch.stack(list(content)).numpy(force=True)
        if isinstance(content, (list, tuple, np.ndarray)):
            return np.asarray(content)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{where}: expected an array, got items of different kinds: {error}") from None
    raise InputError(f"{where}: expected a list, array or tensor, got {type(content).__name__}")


def positions(where: str, content: Any, num_nodes: int, shape: tuple[int | None, ...]) -> np.ndarray:
    """Rows of nodes as int64.

    Args:
        where: Named in errors: the file, and what in it.
        content: List, array or tensor of integers.
        num_nodes: Rows must lie below.
        shape: Expected shape, `None` for any length.

    Raises:
        InputError: On another shape, other than integers, or rows that do not exist.
    """
    values = as_array(where, content)
    if values.size == 0:
        values = values.reshape([size or 0 for size in shape]).astype(np.int64)
    fits = values.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, values.shape, strict=True))
    if not fits or values.dtype.kind not in "iu":
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(f"{where}: expected integers [{wanted}], got {values.dtype} {list(values.shape)}")
    return check_rows(where, values, num_nodes)


def read_labels(path: Path, num_nodes: int | None) -> tuple[pa.Array, tuple[str, ...]]:
    """Labels `[num_nodes]`, int64, and notes; NaN and negative ones are none.

    Raises:
        InputError: On another length than the number of nodes, or labels that are no whole numbers.
    """
    values = as_array(str(path), load_pt(path))
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or (num_nodes is not None and len(values) != num_nodes):
        wanted = "num_nodes" if num_nodes is None else num_nodes
        raise InputError(f"{path}: expected one label for each node [{wanted}], got shape {list(values.shape)}")
    column, notes = label_column(str(path), values, len(values))
    if not pa.types.is_integer(column.type):
        raise InputError(f"{path}: expected whole numbers as labels, got {column.type}")
    return column, notes


def read_ids(path: Path, num_nodes: int | None) -> NodeIds:
    """Raw ids in the order of rows, from a dictionary {raw id: row}, {row: raw id} or a list of raw ids.

    If both readings of a dictionary are possible, it is {raw id: row}, as in the benchmark.

    Raises:
        InputError: If not every row has exactly one id.
    """
    content, where = load_pt(path), str(path)
    if isinstance(content, Mapping):
        content = {_plain(key): _plain(value) for key, value in content.items()}
        count = len(content) if num_nodes is None else num_nodes
        for raw, rows in ((list(content), list(content.values())), (list(content.values()), list(content))):
            if len(rows) == count and _is_permutation(rows):
                ordered: list[Any] = [None] * count
                for item, row in zip(raw, rows, strict=True):
                    ordered[row] = item
                return NodeIds(as_ids(ordered, where=where), where=where)
        raise InputError(
            f"{path}: expected each of the {count:,} rows once, got {len(content):,} entries "
            f"({first_few(list(content.items()), 2)}); to number nodes by row instead, pass ids='rows'"
        )
    values = as_array(where, content)
    if values.ndim != 1 or (num_nodes is not None and len(values) != num_nodes):
        wanted = "num_nodes" if num_nodes is None else num_nodes
        raise InputError(f"{path}: expected one id for each row [{wanted}], got shape {list(values.shape)}")
    return NodeIds(as_ids(values, where=where), where=where)


def _plain(value: Any) -> Any:
    """A Python number instead of one of numpy or a tensor without dimensions."""
    return value.item() if isinstance(value, (np.generic, Tensor)) and value.ndim == 0 else value


def _is_permutation(rows: list[Any]) -> bool:
    if not all(isinstance(row, int) and not isinstance(row, bool) for row in rows):
        return False
    return sorted(rows) == list(range(len(rows)))
