"""The splits of MM-Graph: nodes with labels, edges with fixed negatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.formats.bundle import OFFICIAL
from mmgraph.formats.by_row import id_lists
from mmgraph.formats.labels import official_split
from mmgraph.formats.mm_graph.contents import load_mapping, positions
from mmgraph.splits.base import PARTS, TEST, TRAIN, VALID, Split

NODE_KEYS = {TRAIN: "train_idx", VALID: "val_idx", TEST: "test_idx"}
NEGATIVES = "target_node_neg"


def read_node_split(path: Path, ids: NodeIds, labels: pa.Array) -> Split:
    """The split of nodes; those with a label that it does not name are `unused`.

    Args:
        path: `split.pt`.
        ids: Ids in the order of rows.
        labels: `[num_nodes]`, null where a node has none.

    Raises:
        InputError: If a row is in two parts, twice in one, or does not exist.
    """
    content = load_mapping(path, tuple(NODE_KEYS.values()))
    parts = {name: positions(f"{path}, {key}", content[key], len(ids), (None,)) for name, key in NODE_KEYS.items()}
    return official_split(str(path), ids.values, labels, parts, _digest(path))


def read_edge_split(path: Path, ids: NodeIds, relation: str) -> tuple[Split, np.ndarray, list[str]]:
    """The split of edges, its training edges as rows `[2, num_edges]`, and notes.

    An edge belongs to one part: what the file holds twice counts once, and what is asked in the test is not in
    validation, what is asked at all not in training. Notes say how often that happened.

    Args:
        path: The file.
        ids: Ids in the order of rows.
        relation: Name of the relation.

    Raises:
        InputError: If a part or a key is missing, or shapes do not fit.
    """
    content = load_mapping(path, (TRAIN, VALID, TEST))
    ends, negatives = {}, {}
    for part in (TEST, VALID, TRAIN):
        where, entry = f"{path}, {part}", content[part]
        missing = [key for key in ("source_node", "target_node") if not hasattr(entry, "keys") or key not in entry]
        if missing:
            raise InputError(f"{where}: expected a dictionary with source_node and target_node, missing {missing[0]!r}")
        source, target = (
            positions(f"{where}, {key}", entry[key], len(ids), (None,)) for key in ("source_node", "target_node")
        )
        if len(source) != len(target):
            raise InputError(f"{where}: source_node has {len(source):,} entries, target_node {len(target):,}")
        ends[part] = np.stack([source, target])
        if part != TRAIN and NEGATIVES in entry:
            others = positions(f"{where}, {NEGATIVES}", entry[NEGATIVES], len(ids), (len(source), None))
            if len(source):
                negatives[part] = others
    asked = [part for part in (TEST, VALID) if ends[part].shape[1]]
    if negatives and set(negatives) != set(asked):
        raise InputError(f"{path}: {NEGATIVES} must be in both valid and test or in neither, got {sorted(negatives)}")
    if any(others.shape[1] == 0 for others in negatives.values()):
        raise InputError(f"{path}: {NEGATIVES} must hold at least one negative for each edge, got none")

    both = np.concatenate(list(ends.values()), axis=1)  # test, valid, train
    code = np.repeat([PARTS.index(part) for part in ends], [pairs.shape[1] for pairs in ends.values()])
    first = np.sort(np.unique(both[0] * len(ids) + both[1], return_index=True)[1])
    notes, settings = _repeats(path, code, first), {"relations": [relation], **_digest(path)}
    columns = {
        "source": ids.arrow.take(pa.array(both[0, first])),
        "target": ids.arrow.take(pa.array(both[1, first])),
        "relation": pa.repeat(relation, len(first)),
        "split": pa.array(PARTS).take(pa.array(code[first])),
    }
    if negatives:
        columns["negatives"] = _lists([negatives[part] for part in asked], first, both.shape[1], ids)
        settings["negatives"] = {part: int(negatives[part].shape[1]) for part in asked}
    split = Split("edge", pa.table(columns), OFFICIAL, settings)
    return split, both[:, first[code[first] == PARTS.index(TRAIN)]], notes


def _digest(path: Path) -> dict[str, Any]:
    return {"file": path.name, "sha256": file_digest(path)}


def _repeats(path: Path, code: np.ndarray, first: np.ndarray) -> list[str]:
    """How many rows of each part were left out."""
    left_out = np.bincount(code, minlength=len(PARTS)) - np.bincount(code[first], minlength=len(PARTS))
    told = {
        TRAIN: "twice in it, or asked in valid or test",
        VALID: "twice in it, or asked in test",
        TEST: "twice in it",
    }
    return [
        f"{path.name}: {left_out[PARTS.index(part)]:,} edges of {part} left out: {why}"
        for part, why in told.items()
        if left_out[PARTS.index(part)]
    ]


def _lists(blocks: list[np.ndarray], first: np.ndarray, num_rows: int, ids: NodeIds) -> pa.ListArray:
    """Ids of the negatives of the rows that are kept; null where a row has none."""
    lengths = np.zeros(num_rows, dtype=np.int64)
    start = 0
    for block in blocks:  # as the rows: test, valid, and nothing for train
        lengths[start : start + len(block)] = block.shape[1]
        start += len(block)
    offsets = np.cumsum(lengths) - lengths
    flat = np.concatenate([block.reshape(-1) for block in blocks])
    kept = lengths[first]
    within = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    return id_lists(ids, flat[np.repeat(offsets[first], kept) + within], kept)
