"""Files of OGB beside the graph: ids, labels and the parts of splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmgraph.archives import LIMITS
from mmgraph.errors import InputError, first_few
from mmgraph.formats.safe_pickle import load_pt
from mmgraph.splits.base import TEST, TRAIN, VALID
from mmgraph.untrusted import damaged


def read_ids(folder: Path, graph: Mapping[str, Any]) -> dict[str, Any]:
    """Ids of nodes by node type, from the folder `mapping`; types without a file are left out.

    They are integers if all are, else strings; where a graph has several types, `type:id`.

    Raises:
        InputError: If a file does not name every node once.
    """
    mapping = folder / "mapping"
    if "num_nodes_dict" in graph:
        files = {kind: mapping / f"{kind}_entidx2name.csv.gz" for kind in graph["num_nodes_dict"]}
        return {
            kind: [f"{kind}:{name}" for name in _mapped(path, int(graph["num_nodes_dict"][kind]))]
            for kind, path in files.items()
            if path.is_file()
        }
    found = sorted(mapping.glob("nodeidx2*.csv.gz"))
    if len(found) != 1:  # none, or several that mean different things
        return {}
    names = _mapped(found[0], int(graph["num_nodes"]))
    try:
        numbers = names.astype(np.int64)
    except (ValueError, OverflowError):
        return {"node": names}
    # Strings that a number does not give back, such as 0012, stay strings.
    same = np.array_equal(numbers.astype(str), names.astype(str))
    return {"node": numbers if same else names}


def _mapped(path: Path, num_nodes: int) -> np.ndarray:
    """Second column of a mapping in the order of the first, `[num_nodes]`, strings."""
    table = pd.read_csv(path, header=None, dtype=str, keep_default_na=False)
    if table.shape[1] < 2:
        raise InputError(f"{path}: expected a column of positions and one of ids, got {table.shape[1]} column")
    if len(table) and not str(table.iloc[0, 0]).isdigit():
        table = table.iloc[1:]  # the header
    try:
        positions = table[0].to_numpy().astype(np.int64)
    except ValueError as error:
        raise InputError(f"{path}: expected positions of nodes in the first column: {error}") from None
    if len(positions) != num_nodes or not np.array_equal(np.sort(positions), np.arange(num_nodes)):
        raise InputError(f"{path}: expected each position 0..{num_nodes - 1} once, got {len(positions):,} rows")
    names = np.empty(num_nodes, dtype=object)
    names[positions] = table[1].to_numpy()
    return names


def read_parts(folder: Path, kind: str | None) -> dict[str, np.ndarray]:
    """Positions of the nodes of each part; of one type, if the graph has several.

    Raises:
        InputError: If a file is missing or holds anything but arrays of numbers.
    """
    whole = folder / "split_dict.pt"
    if whole.is_file():
        found = load_pt(whole)
        return {part: np.asarray(_entry(whole, found, part, kind)) for part in (TRAIN, VALID, TEST)}
    inside = folder if kind is None else folder / kind
    return {part: read_csv(inside / f"{part}.csv.gz")[:, 0] for part in (TRAIN, VALID, TEST)}


def _entry(path: Path, content: Any, part: str, kind: str | None) -> Any:
    for key in (part,) if kind is None else (part, kind):
        if not isinstance(content, dict) or key not in content:
            found = first_few(list(content)) if isinstance(content, dict) else type(content).__name__
            raise InputError(f"{path}: expected a dictionary with {key!r}, got {found or 'an empty one'}")
        content = content[key]
    return content


def read_csv(path: Path) -> np.ndarray:
    """Numbers of a file without a header, `[num_rows, num_columns]`."""
    if not path.is_file():
        raise InputError(f"{path}: file not found")
    try:
        values = pd.read_csv(path, header=None).to_numpy()
    except pd.errors.EmptyDataError:  # an empty part
        return np.empty((0, 1), dtype=np.int64)
    if values.dtype.kind not in "iuf":
        raise InputError(f"{path}: expected numbers, got {values.dtype}")
    return values


def read_npz(path: Path, *keys: str) -> Mapping[str, np.ndarray]:
    """Arrays by name.

    Raises:
        InputError: If the file is missing or damaged, or lacks one of the arrays that must be there.
    """
    if not path.is_file():
        raise InputError(f"{path}: file not found")
    try:
        with np.load(path, allow_pickle=False) as archive:
            sizes = [entry.file_size for entry in archive.zip.infolist()]
            LIMITS.check(path, len(sizes), sum(sizes), path.stat().st_size)
            arrays = dict(archive)
    except InputError:
        raise
    except damaged(OSError) as error:
        raise InputError(f"{path}: cannot be read as arrays: {' '.join(str(error).split())}") from None
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise InputError(f"{path}: missing {first_few(missing)}; found: {first_few(list(arrays)) or '(nothing)'}")
    return arrays


def labelled_types(path: Path) -> list[str]:
    """Node types that a file with a header of types and one row of True and False names."""
    if not path.is_file():
        raise InputError(f"{path}: file not found")
    table = pd.read_csv(path)
    return [str(kind) for kind in table.columns if bool(table[kind].iloc[0])]
