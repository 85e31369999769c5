"""The writing half of `mmgraph.formats.tables`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.errors import InputError, first_few
from mmgraph.files import atomic_folder, write_json
from mmgraph.formats.tables.canonical import MODALITIES
from mmgraph.formats.tables.relations import edge_schema, edge_tables
from mmgraph.formats.tables.source import ENDINGS

_OURS = {
    *(f"{stem}{ending}" for stem in ("nodes", "edges") for ending in ENDINGS),
    *("graph.json", "tasks", "splits", "encoded", "README.md", "dataset.json"),
    *("labels.parquet", "mapping.yaml", "quarantine.csv", "report.html", "statistics.json"),
}


def write_tables(raw: RawGraph, folder: Path | str, *, overwrite: bool = False, copy_files: bool = True) -> Path:
    """Write a raw graph as a folder of tables that `read_tables` reads, whole or not at all.

    Files of content (images) are copied into the folder: to the same relative path if they were in it before, else
    to `images/`. A file that is missing on disk keeps its path and is missing in the copy too.

    Args:
        raw: What to write.
        folder: Where to write.
        overwrite: Replace the dataset that is there, with all that belongs to it (tasks, encoded graph).
        copy_files: Copy files of content. Otherwise they stay where they are, and the tables name their relative
            paths: that saves room, and breaks when one of the folders is moved.

    Returns:
        The folder.

    Raises:
        InputError: If the folder exists and is not to be overwritten, or holds other things than a dataset.
    """
    folder = Path(folder)
    if overwrite:
        check_overwrite(folder, raw)
    kinds = {modality: _kind(modality, items) for modality, items in raw.content.items()}
    with atomic_folder(folder, overwrite=overwrite) as new:
        columns: dict[str, Any] = {
            "id": pa.array(raw.node_ids.values),
            "type": pa.array(np.asarray(raw.node_types, dtype=object)[raw.node_type.numpy(force=True)]),
        }
        for modality, items in raw.content.items():
            if kinds[modality] == "file":
                items = _copy_files(items, modality, old=folder, new=new) if copy_files else _relative_to(items, folder)
            columns[modality] = pa.array(items, pa.string())
        extra = raw.columns if raw.columns is not None else pa.table({})
        for name, column in zip(extra.column_names, extra.columns, strict=True):
            if name in columns:
                raise InputError(f"graph {raw.name!r}: a column cannot be named {name!r}")
            columns[name] = column
        pq.write_table(pa.table(columns), new / "nodes.parquet")
        with pq.ParquetWriter(new / "edges.parquet", edge_schema(raw.relations, raw.node_ids)) as writer:
            for edges in edge_tables(raw.relations, raw.node_ids):
                writer.write_table(edges)
        write_json(new / "graph.json", _settings(raw, kinds))
    return folder


def check_overwrite(folder: Path, graph: RawGraph | MultimodalGraph) -> None:
    """Refuse to overwrite a folder that is no dataset of this graph.

    Raises:
        InputError: Names what else it holds.
    """
    modalities = graph.content if isinstance(graph, RawGraph) else graph.features
    ours = _OURS | {_folder_of(modality) for modality in modalities}
    strangers = [path.name for path in sorted(folder.iterdir()) if path.name not in ours] if folder.is_dir() else []
    if strangers:
        raise InputError(f"{folder}: refusing to overwrite a folder that also holds {first_few(strangers)}")


def _settings(raw: RawGraph, kinds: dict[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "name": raw.name,
        "symmetric": [name for name, relation in raw.relations.items() if relation.symmetric],
    }
    empty = {
        name: [relation.source_type, relation.target_type]
        for name, relation in raw.relations.items()
        if relation.num_edges == 0
    }
    reverse = {name: relation.reverse for name, relation in raw.relations.items() if relation.reverse is not None}
    other = {modality: kind for modality, kind in kinds.items() if MODALITIES.get(modality) != kind}
    optional: dict[str, Any] = {"reverse": reverse, "empty_relations": empty, "modalities": other}
    return settings | {key: value for key, value in optional.items() if value}


def _kind(modality: str, items: Sequence[Any]) -> str:
    present = [(row, item) for row, item in enumerate(items) if item is not None]
    default = MODALITIES.get(modality, "text")
    kind = "file" if present and all(isinstance(item, Path) for _, item in present) else default
    for row, item in present:
        if not isinstance(item, str) and not (kind == "file" and isinstance(item, Path)):
            raise InputError(f"{modality}: tables hold texts or paths of files, got {type(item).__name__} (row {row})")
    return kind


def _folder_of(modality: str) -> str:
    return "images" if modality == "image" else modality


def _relative_to(items: Sequence[Path | str | None], folder: Path) -> list[str | None]:
    # Links are followed: from a folder that is one, a path with `..` leads elsewhere.
    start = folder.resolve()
    return [None if item is None else Path(os.path.relpath(Path(item).resolve(), start)).as_posix() for item in items]


def _copy_files(items: Sequence[Path | str | None], modality: str, *, old: Path, new: Path) -> list[str | None]:
    """Copy files into the new folder; returns their paths relative to it."""
    chosen: dict[Path, str] = {}
    taken: set[str] = set()
    paths = [None if item is None else Path(item) for item in items]
    for row, item in enumerate(paths):
        if item is None or item in chosen:
            continue
        inside = item.resolve().is_relative_to(old.resolve())
        relative = item.resolve().relative_to(old.resolve()) if inside else Path(_folder_of(modality), item.name)
        while relative.as_posix().casefold() in taken:  # another file of the same name
            relative = relative.with_name(f"{row}-{relative.name}")
        taken.add(relative.as_posix().casefold())
        chosen[item] = relative.as_posix()
        if item.is_file():
            (new / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(item, new / relative)
    return [None if item is None else chosen[item] for item in paths]
