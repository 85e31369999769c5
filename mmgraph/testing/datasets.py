"""A toy dataset folder with a task of every kind, as builders of real datasets write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pyarrow as pa
import torch

from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.encoders.base import ModalityEncoder
from mmgraph.encoders.registry import load_encoder_by_name
from mmgraph.formats.tables import write_tables
from mmgraph.seeding import generator
from mmgraph.tasks.base import save_tasks
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.testing.encoders import FakeImageEncoder, FakeTextEncoder
from mmgraph.testing.factories import make_raw_graph

SPLITS = ("train", "train", "train", "valid", "test")


def make_dataset(folder: Path | str, *, name: str = "toy", num_nodes: int = 60, seed: int = 0) -> Path:
    """Write a dataset folder: items with texts and drawn pictures, users who like items, and four tasks.

    The tasks are `community` (classification), `links` (held-out `similar` edges), `recommend` (held-out likes) and
    `descriptions` (text queries). Held-out edges are not in the tables.

    Args:
        folder: Folder to create.
        name: Name of the graph.
        num_nodes: Number of nodes.
        seed: Seed of everything.
    """
    folder = Path(folder)
    with TemporaryDirectory() as drawn:
        raw = make_raw_graph(drawn, num_nodes, 4 * num_nodes, seed=seed, name=name)
        _write(raw, folder, seed)
    return folder


def _write(raw: RawGraph, folder: Path, seed: int) -> None:
    held_out = {}
    relations = dict(raw.relations)
    for relation in ("likes", "similar"):
        relations[relation], held_out[relation] = _hold_out(raw, relation, seed)
    ids = raw.node_ids.values.tolist()
    labels = [
        {"id": node, "label": f"group {group}", "split": SPLITS[row % len(SPLITS)]}
        for row, (node, group) in enumerate(zip(ids, raw.columns["community"].to_pylist(), strict=True))  # type: ignore[index]
    ]
    described = [(ids[row], text) for row, text in enumerate(raw.content["text"]) if text]
    queries = [
        {"query": f"the {text}", "id": node, "split": ("valid", "test")[row % 2]}
        for row, (node, text) in enumerate(described)
    ]
    likes = held_out["likes"].rename_columns(["user", "item", "relation", "split"]).drop_columns(["relation"])
    write_tables(replace(raw, relations=relations), folder)
    tasks = [
        NodeClassificationTask("community", pa.Table.from_pylist(labels)),
        LinkPredictionTask("links", held_out["similar"]),
        RecommendationTask("recommend", "likes", "user", "item", likes),
        NodeRetrievalTask("descriptions", "text", pa.Table.from_pylist(queries), folder),
    ]
    save_tasks(tasks, folder)


def _hold_out(raw: RawGraph, name: str, seed: int) -> tuple[Relation, pa.Table]:
    relation = raw.relations[name]
    order = torch.randperm(relation.num_edges, generator=generator(seed, "held out", name))
    split = torch.zeros(relation.num_edges, dtype=torch.int64)
    split[order[: relation.num_edges // 5]] = 2
    split[order[: relation.num_edges // 10]] = 1
    ids = raw.node_ids
    rows = [
        {"source": ids[source], "target": ids[target], "relation": name, "split": ("train", "valid", "test")[code]}
        for source, target, code in zip(*relation.edge_index.tolist(), split.tolist(), strict=True)
        if code
    ]
    return relation.take(split == 0), pa.Table.from_pylist(rows)


@contextmanager
def fake_encoders() -> Iterator[None]:
    """For a while, load fakes wherever an encoder is named `minilm`, `efficientnet-lite0` or like a fake."""

    def load(
        name: str, *, modality: str | None = None, device: torch.device | str = "cpu", download: bool = True
    ) -> ModalityEncoder:
        fakes: dict[str, Callable[[], ModalityEncoder]] = {
            "minilm": FakeTextEncoder,
            "fake-text": FakeTextEncoder,
            "efficientnet-lite0": FakeImageEncoder,
            "fake-image": FakeImageEncoder,
        }
        if name in fakes:
            return fakes[name]()
        return load_encoder_by_name(name, modality=modality, device=device, download=download)

    with (
        mock.patch("mmgraph.encoders.folder.load_encoder_by_name", load),
        mock.patch("mmgraph.training.evaluate.load_encoder_by_name", load),
    ):
        yield
