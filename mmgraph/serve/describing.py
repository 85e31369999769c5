"""What an index says about itself: its columns, labels, pictures and examples."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.store import find_graph
from mmgraph.errors import InputError
from mmgraph.export.store import Store
from mmgraph.files import read_json
from mmgraph.inference.query import QueryEncoder
from mmgraph.serve.models import About
from mmgraph.serve.pictures import Pictures
from mmgraph.serve.rows import NodeRows
from mmgraph.serve.settings import Limits
from mmgraph.tasks.base import load_task
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.versions import installed_version

EXAMPLES = 3

_logger = logging.getLogger(__name__)


def describe(
    store: Store,
    rows: NodeRows,
    graph: MultimodalGraph | None,
    encoder: QueryEncoder | None,
    pictures: Pictures,
    limits: Limits,
) -> About:
    """Answer of `/about`."""
    codes, names = rows.groups("type")
    counts = np.bincount(codes, minlength=len(names)).tolist()
    return About(
        name=store.manifest["graph"],
        graph=store.manifest["graph"],
        model=store.manifest["model"],
        version=installed_version("mmgraph") or "unknown",
        nodes=len(store),
        dim=store.dim,
        exact=bool(store.exact),
        node_types=dict(zip(names, counts, strict=True)),
        relations=[] if graph is None else list(graph.relations),
        modalities=[] if encoder is None else list(encoder.encoders),
        columns=rows.described,
        colours=list(rows.groupings),
        id_type="string" if store.manifest["id_type"] == "string" else "int",
        max_k=limits.max_k,
        max_upload_bytes=limits.max_upload_bytes,
        examples=[store.node_ids[position] for position in _examples(rows, pictures)],
    )


def _examples(rows: NodeRows, pictures: Pictures) -> Iterator[int]:
    """Positions of some nodes that show something, evenly spread."""
    text, picture = rows.has_text(), pictures.present(rows.count)
    shown = np.flatnonzero(text & picture)
    if len(shown) < EXAMPLES:
        shown = np.flatnonzero(text | picture)
    if len(shown):
        chosen = shown[np.linspace(0, len(shown) - 1, EXAMPLES + 2).astype(np.int64)[1:-1]]
        yield from dict.fromkeys(chosen.tolist())


def task_labels(graph: Path, node_ids: NodeIds) -> dict[str, pa.Array]:
    """Labels of the classification tasks of a dataset folder, joined by id: colours for the map and nothing else."""
    found: dict[str, pa.Array] = {}
    for path in sorted((picture_root(graph) / "tasks").glob("[!.]*/task.json")):
        try:
            if read_json(path).get("kind") != NodeClassificationTask.kind:
                continue
            task = load_task(path.parent)
            if not isinstance(task, NodeClassificationTask) or task.multi_label:
                continue
            positions = node_ids.find(task.labels["id"])
        except InputError as error:
            _logger.warning("the map goes without the labels of a task: %s", error)
            continue
        values = np.full(len(node_ids), None, dtype=object)
        values[positions[positions >= 0]] = np.asarray(task.labels["label"].to_pylist(), dtype=object)[positions >= 0]
        found[task.name] = pa.array(values, pa.string())
    return found


def picture_root(graph: Path) -> Path:
    """Folder to which the paths of pictures in a graph are relative: that of the tables it was encoded from."""
    found = find_graph(graph).resolve()
    return found.parent if found.name == "encoded" else found
