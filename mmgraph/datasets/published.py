"""Datasets that others published: what is written of them, and how their counts compare with the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmgraph.data.graph import MultimodalGraph
from mmgraph.datasets.manifest import BuildRecord
from mmgraph.errors import InputError
from mmgraph.formats.bundle import Bundle
from mmgraph.progress import console
from mmgraph.tasks.bundle_folder import write_bundle

TASK_NAMES = {"node": "labels", "edge": "links"}
"""Name of the official split and its task, by kind of split."""


def write_published(
    name: str,
    folder: Path,
    bundle: Bundle,
    sources: Mapping[str, str],
    published: Mapping[str, int],
    notice: str,
    *,
    pinned: Mapping[str, str] = MappingProxyType({}),
    expected: Mapping[str, int] = MappingProxyType({}),
) -> BuildRecord:
    """Write the folder of a dataset, and tell if it is not as large as published.

    Args:
        name: Name of the dataset.
        folder: Empty folder to fill.
        bundle: The graph and its official split.
        sources: SHA-256 by name of what was read.
        published: Published counts: `nodes`, `edges`, and `train`, `valid`, `test` of the split.
        notice: Content of the file `README.md`.
        pinned: SHA-256 of the files that the card was written from, where these could be had.
        expected: Counts of the card for these files, see `BuildRecord`; they are compared after the build.
    """
    if not isinstance(bundle.graph, MultimodalGraph):
        raise InputError(f"{name}: expected a graph with features")
    splits = {TASK_NAMES[split.kind]: split for split in bundle.splits.values()}
    write_bundle(replace(bundle, splits=splits), folder, overwrite=True)
    (folder / "README.md").write_text(notice, encoding="utf-8")
    found: dict[str, int] = {"nodes": bundle.graph.num_nodes}
    for split in splits.values():
        if split.kind == "node":  # of edges, those that repeat are folded; these counts differ on purpose
            found |= {"edges": bundle.graph.num_edges} | {
                part: split.counts[part] for part in ("train", "valid", "test")
            }
    differences = {
        key: {"published": count, "found": found[key]}
        for key, count in published.items()
        if found.get(key, count) != count
    }
    if differences and not pinned:
        told = ", ".join(
            f"{key} {row['found']:,} (published: {row['published']:,})" for key, row in differences.items()
        )
        console.print(
            f"{name}: not the published dataset: {told}", style="yellow", highlight=False, markup=False, soft_wrap=True
        )
    facts: dict[str, Any] = {"published": dict(published), "differs": differences, "notes": list(bundle.notes)}
    return BuildRecord(dict(sources), pinned=pinned, expected=expected, facts=facts)
