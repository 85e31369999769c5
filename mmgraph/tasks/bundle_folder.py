"""A graph with its splits, to and from a dataset folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.data.store import find_graph, load_graph, save_graph
from mmgraph.errors import InputError
from mmgraph.files import atomic_folder
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.tables import read_tables, write_tables
from mmgraph.formats.tables.source import ENDINGS
from mmgraph.formats.tables.writing import check_overwrite
from mmgraph.splits.base import Split, load_splits, save_splits
from mmgraph.tasks.base import Task, save_tasks
from mmgraph.tasks.from_split import task_from_split


@dataclass(frozen=True, eq=False)
class BundleFolder:
    """What `write_bundle` wrote.

    Attributes:
        folder: The folder.
        tasks: The tasks, each of the split of the same name.
        without_task: Splits that ask nothing, with the reason.
    """

    folder: Path
    tasks: tuple[Task, ...]
    without_task: dict[str, str]


def write_bundle(bundle: Bundle, folder: Path | str, *, overwrite: bool = False) -> BundleFolder:
    """Write a graph, its splits, and the tasks that they make, whole or not at all.

    Raw content becomes tables (files are copied), features the encoded graph in `encoded/`. The edges that splits hold
    out must be gone from the graph, as in every `Bundle`; the tasks check it again when they are evaluated.

    Args:
        bundle: What a reader of a format returns.
        folder: Folder to create.
        overwrite: Replace the dataset that is there.

    Raises:
        InputError: If the folder exists and is not to be overwritten, or holds other things than a dataset.
    """
    folder = Path(folder)
    if overwrite:
        check_overwrite(folder, bundle.graph)
    tasks, without = [], {}
    for name, split in bundle.splits.items():
        reason = reason_without_task(split)
        if reason is None:
            tasks.append(task_from_split(name, split))
        else:
            without[name] = reason
    with atomic_folder(folder, overwrite=overwrite) as new:
        if isinstance(bundle.graph, MultimodalGraph):
            save_graph(bundle.graph, new / "encoded")
        else:
            write_tables(bundle.graph, new, overwrite=True)
        save_splits(bundle.splits, new)
        save_tasks(tasks, new)
    return BundleFolder(folder, tuple(tasks), without)


def reason_without_task(split: Split) -> str | None:
    """Why a split makes no task; `None` if it does."""
    if not (split.counts["valid"] or split.counts["test"]):
        return "it holds nothing out"
    if split.kind == "node" and (
        "label" not in split.table.column_names or split.table["label"].null_count == len(split.table)
    ):
        return "it has no labels"
    return None


def read_bundle(folder: Path | str, *, holds: Literal["content", "features"] | None = None) -> Bundle:
    """Read the graph and the splits of a dataset folder.

    Args:
        folder: A folder with tables, an encoded graph, or both.
        holds: What the graph is to consist of; by default raw content where there are tables, else features.

    Raises:
        InputError: If the folder holds no such graph.
    """
    return Bundle(read_graph(folder, holds=holds), load_splits(folder))


def read_graph(
    folder: Path | str, *, holds: Literal["content", "features"] | None = None
) -> RawGraph | MultimodalGraph:
    """The graph of `read_bundle`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected the folder of a graph, found {'a file' if folder.exists() else 'nothing'}"
        )
    has_tables = any((folder / f"nodes{ending}").exists() for ending in ENDINGS)
    only_encoded = not has_tables and (folder / "encoded").is_dir()
    if holds == "content" and only_encoded:
        raise InputError(f"{folder}: expected tables of nodes and edges, found only an encoded graph")
    if holds == "features" or only_encoded:
        return load_graph(find_graph(folder))
    return read_tables(folder)
