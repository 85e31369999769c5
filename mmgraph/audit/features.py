"""Features that were computed from held-out data: by what is declared, and by what columns say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.audit.edges import positions_of
from mmgraph.audit.findings import Finding
from mmgraph.audit.material import AnyGraph, HeldOut, Material
from mmgraph.errors import InputError, first_few
from mmgraph.files import read_json
from mmgraph.splits.base import PARTS, TRAIN

DECLARATION = "derived.json"
"""File of a dataset folder that says what columns and modalities were computed from:
`{"popularity": {"parts": ["train"], "split": "<digest or name of the split>"}}`."""


def check_declared_features(material: Material) -> Iterator[Finding]:
    """Compare the declared origin of features with the splits of the folder.

    Raises:
        InputError: If the declaration is not of the form above.
    """
    path = material.folder / DECLARATION
    if not path.is_file():
        return
    for name, entry in _read(path).items():
        parts = [part for part in entry["parts"] if part != TRAIN]
        where = f"feature {name!r}"
        if parts:
            detail = f"it was computed from held-out rows too: {', '.join(parts)}"
            yield Finding("features-from-held-out", where, 1, detail)
        digests = _digests(material.folder)
        split = entry.get("split")
        if split is not None and split not in digests and split not in digests.values():
            known = ", ".join(f"{key} {value[:12]}" for key, value in digests.items()) or "none"
            detail = f"it was computed on split {str(split)[:12]!r}, which is none of this folder ({known})"
            yield Finding("features-from-held-out", where, 1, detail)


def _read(path: Path) -> Mapping[str, Mapping[str, Any]]:
    declared = read_json(path)
    if not isinstance(declared, dict):
        raise InputError(f"{path}: expected an object with one entry per feature, got {type(declared).__name__}")
    for name, entry in declared.items():
        parts = entry.get("parts") if isinstance(entry, dict) else None
        if not isinstance(parts, list) or not set(parts) <= set(PARTS):
            raise InputError(f"{path}, {name}: expected 'parts', a list of {', '.join(PARTS)}, got {parts!r}")
    return declared


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.parent.name: str(read_json(path).get("digest"))
        for pattern in ("splits/[!.]*/split.json", "tasks/[!.]*/task.json")
        for path in sorted(folder.glob(pattern))
    }


def check_count_columns(material: Material) -> Iterator[Finding]:
    """Look for columns that are the number of a node's edges with the held-out ones among them.

    Such a column (popularity, number of reviews) tells who gets a held-out edge. It is found whether or not anybody
    declared it.
    """
    for held in material.of_kind("edge", "interaction"):
        for name, graph in material.graphs.items():
            columns = _columns_that_count(held, graph)
            if columns:
                detail = f"columns count edges with the held-out ones among them: {first_few(columns)}"
                yield Finding("column-counts-held-out", f"{held.where}, {name}", len(columns), detail)


def _columns_that_count(held: HeldOut, graph: AnyGraph) -> list[str]:
    numeric = {name: values for name in _column_names(graph) if (values := _numbers(graph, name)) is not None}
    if not numeric or not held.asked.num_rows:
        return []
    asked = positions_of(held, held.asked, graph)
    asked = asked[:, (asked >= 0).all(axis=0)]
    names = [name for name in held.relation_of(held.asked).unique().to_pylist() if name in graph.relations]
    edges = [graph.relations[name].edge_index.numpy(force=True) for name in names]
    found = []
    for sides in ((0,), (1,), (0, 1)):
        known = sum((_count(part, sides, graph.num_nodes) for part in edges), np.zeros(graph.num_nodes, dtype=np.int64))
        # The task may list users first where the relation lists them last: count both ways.
        for turned in {sides, tuple(1 - side for side in sides)}:
            full = known + _count(asked, turned, graph.num_nodes)
            for name, values in numeric.items():
                there = ~np.isnan(values)
                same, differs = values[there] == full[there], full[there] != known[there]
                if same.all() and differs.sum() >= 3 and name not in found:
                    found.append(name)
    return found


def _count(ends: np.ndarray, sides: tuple[int, ...], num_nodes: int) -> np.ndarray:
    counts = [np.bincount(ends[side], minlength=num_nodes) for side in sides]
    return np.asarray(sum(counts, np.zeros(num_nodes, dtype=np.int64)))


def _column_names(graph: AnyGraph) -> list[str]:
    return [] if graph.columns is None else list(graph.columns.column_names)


def _numbers(graph: AnyGraph, name: str) -> np.ndarray | None:
    assert graph.columns is not None
    column = graph.columns[name]
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
