"""Official splits of edges of the Open Graph Benchmark (link property prediction)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few
from mmgraph.formats.bundle import OFFICIAL
from mmgraph.formats.by_row import check_rows, id_lists
from mmgraph.formats.safe_pickle import load_pt
from mmgraph.splits.base import PARTS, TEST, TRAIN, UNUSED, VALID, Split
from mmgraph.splits.edge_rows import pair_keys
from mmgraph.splits.shares import CODE, settle

RELATION = "edge"
REDUCED = {"edge_weight": np.add, "edge_year": np.maximum}
"""How an attribute of several edges of a pair becomes one: weights add up, the latest year counts."""


def read_edge_parts(name: str, folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read `train.pt`, `valid.pt` and `test.pt`, or `split_dict.pt`, without running what they hold.

    Raises:
        InputError: If a file is missing or holds anything but arrays.
    """
    whole = folder / "split_dict.pt"
    found = (
        load_pt(whole) if whole.is_file() else {part: load_pt(folder / f"{part}.pt") for part in (TRAIN, VALID, TEST)}
    )
    result = {}
    for part in (TRAIN, VALID, TEST):
        if not isinstance(found, dict) or not isinstance(found.get(part), dict):
            raise InputError(f"{folder}, {part}: expected a dictionary of arrays, got {type(found).__name__}")
        result[part] = {
            str(key): np.asarray(value) for key, value in found[part].items() if not isinstance(value, list)
        }
        if "head" in result[part]:
            raise InputError(
                f"{name}: its split asks for heads and tails of typed facts (knowledge graph completion); "
                "only links and citations are read"
            )
    return result


def edge_split(
    where: str,
    node_ids: NodeIds,
    parts: Mapping[str, Mapping[str, np.ndarray]],
    settings: Mapping[str, Any],
    *,
    symmetric: bool,
) -> tuple[Split, tuple[str, ...]]:
    """Turn the official parts into a split of edges.

    A pair belongs to the earliest part that lists it: training edges that come again as validation or test edges are
    known by then and cannot be asked, as with all splits here. Negatives that belong to an edge become the column
    `negatives`; negatives that are shared by all edges have no place in a split and are told in a note.

    Args:
        where: Named in errors and notes.
        node_ids: Ids of the nodes, in the order of OGB.
        parts: For each part `edge` `[num_edges, 2]`, or `source_node` and `target_node` `[num_edges]` with
            `target_node_neg` `[num_edges, num_negatives]` in all but training.
        settings: What the split should tell about itself.
        symmetric: Whether edges read the same both ways.

    Raises:
        InputError: If keys are missing, shapes do not fit, or positions lie outside.
    """
    ends = [_ends(f"{where}, {part}", parts[part], len(node_ids)) for part in (TRAIN, VALID, TEST)]
    code = np.repeat(np.array([CODE[p] for p in (TRAIN, VALID, TEST)], dtype=np.int8), [e.shape[1] for e in ends])
    source, target = np.concatenate(ends, axis=1)
    del ends
    pair = pair_keys(source, target, len(node_ids))
    part = settle(code, np.unique(pair, return_inverse=True)[1])
    row = pair if symmetric else source * len(node_ids) + target
    keep = np.sort(np.unique(row, return_index=True)[1])  # the first of equal rows, which is in the earliest part
    notes = []
    for name in (VALID, TEST):
        mine = code == CODE[name]
        asked = int(np.count_nonzero(part[keep] == CODE[name]))
        if asked < mine.sum():
            notes.append(
                f"{where}: {int(mine.sum()) - asked:,} of {int(mine.sum()):,} {name} edges are not asked: their pair is "
                "listed before, in an earlier part or twice"
            )
        if "edge_neg" in parts[name]:
            notes.append(
                f"{where}: {len(parts[name]['edge_neg']):,} negatives of {name} are shared by all edges; they are left "
                "out, so edges are ranked among all nodes and scores are not those of OGB's Hits@K"
            )
    arrow = node_ids.arrow
    table = {
        "source": arrow.take(pa.array(source[keep])),
        "target": arrow.take(pa.array(target[keep])),
        "relation": pa.repeat(RELATION, len(keep)),
        "split": pa.array(PARTS, pa.string()).take(pa.array(part[keep])),
    }
    negatives = _negatives(where, node_ids, parts, code, part, keep)
    if negatives is not None:
        table["negatives"] = negatives
    return Split("edge", pa.table(table), OFFICIAL, {**settings, "relation": RELATION}), tuple(notes)


def _ends(where: str, arrays: Mapping[str, np.ndarray], num_nodes: int) -> np.ndarray:
    """Source and target of the edges of a part, `[2, num_edges]`, int64."""
    if {"source_node", "target_node"} <= set(arrays):
        if arrays["source_node"].shape != arrays["target_node"].shape or arrays["source_node"].ndim != 1:
            shapes = [list(arrays[key].shape) for key in ("source_node", "target_node")]
            raise InputError(
                f"{where}: expected source_node and target_node of one length, got {shapes[0]} and {shapes[1]}"
            )
        found = np.stack([arrays["source_node"], arrays["target_node"]])
    elif "edge" in arrays:
        if arrays["edge"].ndim != 2 or arrays["edge"].shape[1] != 2:
            raise InputError(f"{where}: expected edge [num_edges, 2], got {list(arrays['edge'].shape)}")
        found = arrays["edge"].T
    else:
        raise InputError(
            f"{where}: expected edge, or source_node and target_node; found {first_few(sorted(arrays)) or '(nothing)'}"
        )
    return check_rows(where, found, num_nodes)


def _negatives(
    where: str,
    node_ids: NodeIds,
    parts: Mapping[str, Mapping[str, np.ndarray]],
    code: np.ndarray,
    part: np.ndarray,
    keep: np.ndarray,
) -> pa.Array | None:
    """Lists of ids for the kept rows that are asked, null for all others; `None` if there are no such negatives."""
    if not any("target_node_neg" in parts[name] for name in (VALID, TEST)):
        return None
    chosen, lengths = [], np.zeros(len(keep), dtype=np.int64)
    for name in (VALID, TEST):
        first, count = int(np.argmax(code == CODE[name])), int((code == CODE[name]).sum())
        values = parts[name].get("target_node_neg")
        if values is None or values.ndim != 2 or len(values) != count:
            got = "nothing" if values is None else str(list(values.shape))
            raise InputError(f"{where}, {name}: expected target_node_neg [{count}, num_negatives], got {got}")
        mine = (code[keep] == CODE[name]) & (part[keep] != CODE[UNUSED])
        chosen.append(
            check_rows(f"{where}, {name}, target_node_neg", values[keep[mine] - first], len(node_ids)).ravel()
        )
        lengths[mine] = values.shape[1]
    return id_lists(node_ids, np.concatenate(chosen), lengths)


def fold_repeats(relation: Relation) -> tuple[Relation, int]:
    """Store each pair of an undirected relation once, with one value of each attribute.

    Returns:
        The symmetric relation, and how many edges were repeats (ogbl-collab has one edge for each year of a pair).
    """
    low, high = np.sort(relation.edge_index.numpy(), axis=0)
    width = int(high.max(initial=0)) + 1
    key, first, place = np.unique(low * width + high, return_index=True, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(key)))
    attributes = {}
    for name, values in relation.attributes.items():
        function, rows = REDUCED.get(name), values.numpy()
        reduced = rows[first] if function is None or not len(key) else function.reduceat(rows[order], starts)
        attributes[name] = torch.from_numpy(np.ascontiguousarray(reduced))
    folded = Relation(
        torch.from_numpy(np.stack([low, high])[:, first]),
        relation.source_type,
        relation.target_type,
        symmetric=True,
        attributes=attributes,
    )
    return folded, relation.num_edges - len(key)
