"""Split a dataset folder: the same nodes without the held-out edges, the split, and the task that it makes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import save_graph
from mmgraph.errors import InputError
from mmgraph.files import atomic_folder
from mmgraph.formats.tables import write_tables
from mmgraph.formats.tables.writing import check_overwrite
from mmgraph.splits.base import Split, load_splits, save_splits
from mmgraph.splits.edge_rows import AnyGraph, pair_keys
from mmgraph.splits.message import message_graph
from mmgraph.tasks.base import Task, load_tasks, save_tasks
from mmgraph.tasks.bundle_folder import read_graph
from mmgraph.tasks.from_split import task_from_split
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask

COPIED = ("labels.parquet", "README.md")
"""Files of a dataset that are as true of the new one; others (statistics, report) describe the old one."""


@dataclass(frozen=True, eq=False)
class SplitFolder:
    """What `split_folder` did.

    Attributes:
        split: The split.
        task: Its task.
        edges: Number of edges by relation, before and after.
        kept: Tasks and splits of the input folder that are in the new one too, as `tasks/name` and `splits/name`.
        left_out: Those that are not, with the reason.
        hidden_before: Tasks of the input folder that hold out edges, which its graph therefore does not have.
        is_encoded: The folder holds an encoded graph and no tables.
    """

    split: Split
    task: Task
    edges: Mapping[str, tuple[int, int]]
    kept: tuple[str, ...]
    left_out: Mapping[str, str]
    hidden_before: tuple[str, ...]
    is_encoded: bool


def split_folder(
    folder: Path | str,
    out: Path | str,
    name: str,
    make: Callable[[AnyGraph], Split],
    *,
    regression: bool = False,
    copy_files: bool = True,
    overwrite: bool = False,
) -> SplitFolder:
    """Split the graph of a dataset folder and write a new folder.

    The new folder holds the graph that training may see, `splits/<name>` and `tasks/<name>`. What the input folder
    holds besides stays where it is as true as before:

    - labels, tasks about nodes (classification, regression, retrieval), tasks with fixed negatives, and splits of nodes: always;
    - a task that ranks links or recommends: unless a pair that it takes as known leaves the graph. It would become a
      wrong answer there, and the numbers of both folders could not be compared;
    - a split of edges or interactions: unless one of its rows leaves the graph.

    Args:
        folder: Folder with tables, or else with an encoded graph.
        out: Folder to create.
        name: Name of the split and of its task.
        make: Makes the split.
        regression: For a split of nodes: its labels are numbers to be predicted, not classes.
        copy_files: Copy images; otherwise the tables of the new folder name those of the old one.
        overwrite: Replace the dataset that is at `out`.

    Raises:
        InputError: If the folder holds no graph or a task or split of this name, `out` exists, or nothing can be asked.
    """
    folder, out = Path(folder), Path(out)
    if out.exists() and out.resolve() == folder.resolve():
        raise InputError(f"{out}: expected another folder than that of the graph, which is not changed")
    if out.exists() and not overwrite:
        raise InputError(f"{out} already exists; give another folder or ask to overwrite it")
    graph = read_graph(folder)
    if overwrite:
        check_overwrite(out, graph)
    tasks, splits = load_tasks(folder), load_splits(folder)
    for kind, names in (("task", tasks), ("split", splits)):
        if name in names:
            raise InputError(f"{folder}: already has a {kind} {name!r}; give the new split another name")
    split = make(graph)
    task = task_from_split(name, split, regression=regression)
    rest = message_graph(graph, split)
    left = pairs_that_left(graph, rest)
    reasons = {f"tasks/{key}": reason_to_leave_task(graph, left, other) for key, other in tasks.items()}
    reasons |= {f"splits/{key}": reason_to_leave_split(graph, left, other) for key, other in splits.items()}
    kept = tuple(key for key, reason in reasons.items() if reason is None)
    with atomic_folder(out, overwrite=overwrite) as new:
        if isinstance(rest, MultimodalGraph):
            save_graph(rest, new / "encoded")
        else:
            write_tables(rest, new, overwrite=True, copy_files=copy_files)
        save_splits({name: split}, new)
        save_tasks([task], new)
        for key in kept:
            shutil.copytree(folder / key, new / key)
        for other in tasks.values():
            if isinstance(other, NodeRetrievalTask) and other.modality == "image":
                _copy_pictures(folder, new, other)
        for file in COPIED:
            if (folder / file).is_file():
                shutil.copyfile(folder / file, new / file)
    return SplitFolder(
        split=split,
        task=task,
        edges={key: (before.num_edges, rest.relations[key].num_edges) for key, before in graph.relations.items()},
        kept=kept,
        left_out={key: reason for key, reason in reasons.items() if reason is not None},
        hidden_before=tuple(
            f"tasks/{key}" for key, other in tasks.items() if isinstance(other, LinkPredictionTask | RecommendationTask)
        ),
        is_encoded=isinstance(rest, MultimodalGraph),
    )


def pairs_that_left(before: AnyGraph, after: AnyGraph) -> np.ndarray:
    """Pairs of nodes that a relation joins before and no longer after, by position, `[2, num_pairs]`."""
    keys = [np.empty(0, dtype=np.int64)]
    for name, relation in before.relations.items():
        old, new = (_keys(edges.edge_index.numpy(force=True), before) for edges in (relation, after.relations[name]))
        keys.append(np.setdiff1d(old, new))
    return np.stack(np.divmod(np.unique(np.concatenate(keys)), before.num_nodes))


def reason_to_leave_task(graph: AnyGraph, left: np.ndarray, task: Task) -> str | None:
    """Why a task is no longer what it was once these pairs have left the graph; `None` if it is."""
    node_type = graph.node_type.numpy(force=True)
    if isinstance(task, LinkPredictionTask) and task.negatives_digest is None:
        ends = [graph.node_ids.positions(task.edges[side], where=task.where) for side in ("source", "target")]
        queries = np.unique(np.concatenate(ends))
        is_candidate = np.isin(node_type, node_type[queries])
    elif isinstance(task, RecommendationTask):
        queries = np.unique(graph.node_ids.positions(task.interactions["user"], where=task.where))
        is_candidate = node_type == graph.node_types.index(task.item_type)
    else:
        return None
    known = [np.isin(one, queries) & is_candidate[other] for one, other in (left, left[::-1])]
    count = int(np.count_nonzero(known[0] | known[1]))
    return f"{count:,} pairs that it takes as known are now held out" if count else None


def reason_to_leave_split(graph: AnyGraph, left: np.ndarray, split: Split) -> str | None:
    """Why a split does not fit the graph once these pairs have left it; `None` if it does."""
    if split.kind == "node":
        return None
    sides = ("source", "target") if split.kind == "edge" else ("user", "item")
    ends = [graph.node_ids.positions(split.table[side], where=f"{split.where}, column {side!r}") for side in sides]
    gone = np.intersect1d(_keys(np.stack(ends), graph), _keys(left, graph))
    return f"{len(gone):,} of its pairs are now held out" if len(gone) else None


def _keys(ends: np.ndarray, graph: AnyGraph) -> np.ndarray:
    """Keys of pairs `[2, num_pairs]`."""
    return pair_keys(ends[0], ends[1], graph.num_nodes)


def _copy_pictures(folder: Path, new: Path, task: NodeRetrievalTask) -> None:
    """Pictures that only queries name."""
    for query in task.queries["query"].unique().to_pylist():
        if (folder / query).is_file() and not Path(query).is_absolute() and not (new / query).exists():
            (new / query).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / query, new / query)
