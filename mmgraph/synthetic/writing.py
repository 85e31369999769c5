"""Synthetic graphs on disk, as large as they may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mmgraph.config import from_mapping
from mmgraph.data.graph import CHECKED_AT_ONCE
from mmgraph.data.store import MANIFEST
from mmgraph.errors import InputError, unknown_choice
from mmgraph.files import atomic_folder, read_json
from mmgraph.sealed import read_sealed_json, write_sealed_json
from mmgraph.synthetic.filling import write_graph
from mmgraph.synthetic.planted import PlantedTruth
from mmgraph.synthetic.planted_config import PlantedConfig
from mmgraph.synthetic.planted_model import PlantedModel
from mmgraph.synthetic.tasks import MOST_ROWS, label_tasks, link_tasks, user_item_tasks
from mmgraph.synthetic.user_item import UserItemTruth, as_interactions
from mmgraph.synthetic.user_item_config import UserItemConfig
from mmgraph.synthetic.user_item_model import UserItemModel
from mmgraph.tasks.base import save_tasks
from mmgraph.untrusted import reads

FORMAT, VERSION = "mmgraph.synthetic", 1
KINDS: dict[str, type[PlantedConfig] | type[UserItemConfig]] = {"planted": PlantedConfig, "user-item": UserItemConfig}
LABEL_ROWS = 2**20


def write_synthetic_graph(
    folder: Path | str, config: PlantedConfig | UserItemConfig, seed: int = 0, *, overwrite: bool = False
) -> Path:
    """Write a synthetic graph with its tasks, block by block, whole or not at all.

    The folder is a dataset folder like those of real graphs, so `load_graph`, `pretrain` and `evaluate` take it:

    - `encoded/`: the graph, equal to that of `planted_graph` or `user_item_graph` for the same config and seed
    - `labels.parquet`, `held_out.parquet`: what the graph must not hold, as in `PlantedGraph` and `UserItemGraph`
    - `tasks/`: of the first 20,000 labels, and as many held-out edges of each relation
    - `synthetic.json`: config, seed and the best scores that any method can reach; `load_truth` gives the truth

    Memory holds some 30 bytes per node and one block, whatever the number of edges. A killed call leaves at most a
    hidden folder beside `folder`; call again with the same arguments to get the same graph.

    Args:
        folder: Where to write.
        config: What to write.
        seed: Seed of everything.
        overwrite: Replace the folder, if it holds a synthetic graph.

    Returns:
        The folder.

    Raises:
        InputError: If the folder exists and is not to be overwritten or holds something else, or a relation asks for more
            edges than there are pairs of nodes.
    """
    folder = Path(folder)
    if overwrite and folder.exists() and any(folder.iterdir()) and not (folder / "synthetic.json").exists():
        raise InputError(f"{folder}: refusing to overwrite a folder that holds no synthetic graph")
    with atomic_folder(folder, overwrite=overwrite) as new:
        held_out = new / "held_out.parquet"
        if isinstance(config, PlantedConfig):
            kind, planted = "planted", PlantedModel(config, seed)
            first = write_graph(planted, new / "encoded", held_out, most=MOST_ROWS)
            _write_labels(planted, new / "labels.parquet")
            some = {name: (planted.held_out(name, edges), edges.edge_index) for name, edges in first.items()}
            links = link_tasks(some, _stored_edges(new / "encoded"), planted.num_nodes)
            labels = planted.labels(np.arange(min(MOST_ROWS, planted.num_nodes)))
            save_tasks([*label_tasks(labels), *links], new)
            best = _planted_best(PlantedTruth(planted))
        else:
            kind, tastes = "user-item", UserItemModel(config, seed)
            first = write_graph(tastes, new / "encoded", held_out, most=MOST_ROWS)
            tables = [as_interactions(tastes.held_out(name, edges)) for name, edges in first.items()]
            save_tasks([task for table in tables for task in user_item_tasks(table)], new)
            best = _user_item_best(UserItemTruth(tastes)) if config.holdout else {}
        header = {"format": FORMAT, "version": VERSION, "kind": kind, "seed": seed}
        write_sealed_json(new / "synthetic.json", {**header, "config": asdict(config), "best": best})
    return folder


@reads("a synthetic graph")
def load_truth(folder: Path | str) -> PlantedTruth | UserItemTruth:
    """Read the truth about a graph that `write_synthetic_graph` wrote; what it holds is drawn again.

    Raises:
        InputError: If the folder holds no synthetic graph, or its config is not valid.
    """
    path = Path(folder) / "synthetic.json"
    header = read_sealed_json(path)
    if not isinstance(header, dict) or (header.get("format"), header.get("version")) != (FORMAT, VERSION):
        raise InputError(f"{path}: expected format {FORMAT!r} version {VERSION}")
    kind, values, seed = (header.get(key) for key in ("kind", "config", "seed"))
    if kind not in KINDS:
        raise unknown_choice(f"kind in {path}:", str(kind), KINDS)
    if not isinstance(values, dict) or type(seed) is not int:
        raise InputError(f"{path}: expected a config and an integer as seed, got {values!r} and {seed!r}")
    config = from_mapping(KINDS[kind], values, where=str(path))
    if isinstance(config, PlantedConfig):
        return PlantedTruth(PlantedModel(config, seed))
    return UserItemTruth(UserItemModel(config, seed))


def _write_labels(model: PlantedModel, path: Path) -> None:
    schema = model.labels(np.arange(0)).schema
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, model.num_nodes, LABEL_ROWS):
            writer.write_table(model.labels(np.arange(start, min(start + LABEL_ROWS, model.num_nodes))))


def _stored_edges(folder: Path) -> Iterator[np.ndarray]:
    """All edges of a graph folder, in pieces `[2, any]`."""
    for entry in read_json(folder / MANIFEST)["relations"].values():
        path, length = folder / entry["edge_index"]["file"], entry["edge_index"]["shape"][1]
        for start in range(0, length, CHECKED_AT_ONCE):
            # Opened anew for every piece: what stays mapped counts as memory of this process.
            yield np.array(np.load(path, mmap_mode="r", allow_pickle=False)[:, start : start + CHECKED_AT_ONCE])


def _planted_best(truth: PlantedTruth) -> dict[str, Any]:
    modalities, relations = list(truth.model.modalities), list(truth.model.laws)
    seen: dict[str, tuple[list[str], list[str]]] = {"chance": ([], [])}
    seen |= {name: ([name], []) for name in modalities}
    seen |= {"all modalities": (modalities, []), "neighbours": ([], relations), "all": (modalities, relations)}
    accuracy = {name: asdict(truth.best_accuracy(modalities=m, relations=r)) for name, (m, r) in seen.items()}
    linked = [name for name, law in truth.model.laws.items() if law.scale > 0]
    return {"accuracy": accuracy, "links": {name: asdict(truth.best_links(name, filtered=True)) for name in linked}}


def _user_item_best(truth: UserItemTruth) -> dict[str, Any]:
    return {"recommendation": asdict(truth.expected())}
