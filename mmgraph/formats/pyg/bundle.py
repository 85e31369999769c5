"""Benchmarks of PyTorch Geometric: the graph, and apart from it the labels and the split that came along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from mmgraph.data.features import FeatureSpec
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, first_few
from mmgraph.formats.bundle import OFFICIAL, Bundle
from mmgraph.formats.labels import label_column, official_split
from mmgraph.formats.pyg.graph import from_pyg
from mmgraph.formats.pyg.hetero import SCHEMA
from mmgraph.splits.base import Split

MASKS = {"train": "train_mask", "valid": "val_mask", "test": "test_mask"}
"""Masks of nodes by part."""

READ = ("x", "edge_index", "edge_type", "edge_attr", "edge_weight", "node_id", "num_nodes", *MASKS.values())
"""Keys that `from_pyg` and the split read."""


def bundle_from_pyg(
    data: Any,
    *,
    name: str | None = None,
    specs: Mapping[str, FeatureSpec] | None = None,
    symmetric: bool | None = None,
    split: int = 0,
    label: str = "y",
) -> Bundle:
    """Turn a `Data` or `HeteroData` with labels and masks into a graph and its official split.

    Labels and masks are aligned with nodes by position, so their lengths are checked; the split holds ids. Each node
    type with labels or masks gives a split `official` (`official-<type>` if several types have some) with the column
    `label`; nodes in no mask are `unused`. Labels without masks give a split `labels` in which every node is `unused`;
    its table is what `mmgraph.splits.nodes` takes to make a split.

    Args:
        data: As for `from_pyg`.
        name: See `from_pyg`.
        specs: See `from_pyg`.
        symmetric: See `from_pyg`.
        split: Which column of masks `[num_nodes, num_splits]` to take; the settings of the split tell it.
        label: Key of the labels: `[num_nodes]`, or `[num_nodes, num_labels]` of 0 and 1; NaN and negative whole
            numbers mean none. See `mmgraph.formats.labels.label_column`.

    Raises:
        InputError: If labels or masks do not fit the nodes, masks overlap, or there is no such column.
    """
    graph = from_pyg(data, name=name, specs=specs, symmetric=symmetric)
    splits: dict[str, Split] = {}
    notes: list[str] = []
    found = [
        (kind, store, ids)
        for kind, store, ids in _stores(data, graph)
        if any(_given(store, key) for key in (label, *MASKS.values()))
    ]
    for kind, store, ids in found:
        where = f"PyG object {graph.name!r}" if kind is None else f"PyG object {graph.name!r}, node type {kind!r}"
        suffix = f"-{kind}" if len(found) > 1 else ""
        labels = None
        if _given(store, label):
            labels, told = label_column(f"{where}, {label}", _array(store, label), len(ids))
            notes += told
        parts, columns = _parts(where, store, len(ids), split)
        settings = {"source": "pyg", "label": label} | ({"column": split} if columns else {})
        if parts:
            splits[f"{OFFICIAL}{suffix}"] = official_split(where, ids, labels, parts, settings)
        else:
            splits[f"labels{suffix}"] = official_split(where, ids, labels, {}, settings, method="none")
            notes.append(f"{where}: has labels and no masks; every node is unused until a splitter deals them")
        if columns:
            notes.append(f"{where}: took split {split} of {columns}")
    left = _left(data, label)
    if left:
        notes.append(f"PyG object {graph.name!r}: not read: {first_few(left, 20)}")
    return Bundle(graph, splits, tuple(notes))


def _stores(data: Any, graph: MultimodalGraph) -> Iterator[tuple[str | None, Any, np.ndarray]]:
    """Node type (`None` in a `Data`), store and ids in the order of the store."""
    from torch_geometric.data import HeteroData

    if not isinstance(data, HeteroData):
        yield None, data, graph.node_ids.values
        return
    keys = data[SCHEMA]["node_types"] if SCHEMA in data else {kind: kind for kind in data.node_types}
    for kind, key in keys.items():
        # `to_hetero_pyg` keeps the order of the graph within a type, all other objects define it.
        yield kind, data.get_node_store(key), graph.node_ids.values[graph.nodes_of_type(kind).numpy(force=True)]


def _given(store: Any, key: str) -> bool:
    return store.get(key) is not None


def _array(store: Any, key: str) -> np.ndarray:
    value = store[key]
    return value.numpy(force=True) if isinstance(value, Tensor) else np.asarray(value)


def _parts(where: str, store: Any, num_nodes: int, split: int) -> tuple[dict[str, np.ndarray], int]:
    """Masks by part, and how many splits there are to choose from (0 if the masks have no columns)."""
    parts, columns = {}, 0
    for part, key in MASKS.items():
        if not _given(store, key):
            continue
        mask = _array(store, key)
        if mask.dtype != bool or mask.ndim not in (1, 2) or len(mask) != num_nodes:
            raise InputError(
                f"{where}, {key}: expected bool [{num_nodes}] or [{num_nodes}, num_splits], "
                f"got {mask.dtype} {list(mask.shape)}"
            )
        if mask.ndim == 2:
            if not 0 <= split < mask.shape[1]:
                raise InputError(f"{where}, {key}: expected a split in 0..{mask.shape[1] - 1}, got {split}")
            columns, mask = mask.shape[1], mask[:, split]
        parts[part] = mask
    if split and not columns:
        raise InputError(f"{where}: split {split} was asked for, but no mask has several columns")
    return parts, columns


def _left(data: Any, label: str) -> list[str]:
    """Keys that nobody read; none in what we made, where users may add labels and masks only."""
    return [] if SCHEMA in data else sorted(key for key in data.keys() if key not in (*READ, label))  # noqa: SIM118
