"""Everything that reads files from outside, with a small valid folder for each: what fuzzers run through."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from mmgraph.data.store import load_graph, save_graph
from mmgraph.errors import InputError
from mmgraph.files import content_digest, file_digest, write_json
from mmgraph.inference.table import EmbeddingTable
from mmgraph.testing.factories import make_raw_graph
from mmgraph.testing.model_readers import MODEL_READERS
from mmgraph.testing.reader import Reader, sign_files, small_graph
from mmgraph.testing.run_readers import RUN_READERS

SUFFIXES = {"checkpoint": ".pt", "graphml": ".graphml", "gexf": ".gexf", "store parquet": ".parquet"}
"""Endings of what a reader wants to be a file of a certain name."""


def _sign_graph(folder: Path) -> None:
    """Digests of files, and of `graph.json` itself."""
    path = folder / "graph.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    files = manifest.get("files", {})
    for name in files:
        if (folder / name).is_file():
            files[name] = file_digest(folder / name)
    plain = {key: manifest[key] for key in manifest if key != "digest"}
    write_json(path, {**plain, "digest": content_digest(json.dumps(plain))})


def _read_graph(path: Path) -> None:
    graph = load_graph(path)
    graph.summary()
    for relation in graph.relations.values():
        relation.edge_index.sum()


def _make_tasks(path: Path) -> None:
    from mmgraph.tasks.base import save_tasks
    from mmgraph.tasks.link_prediction import LinkPredictionTask
    from mmgraph.tasks.node_classification import NodeClassificationTask
    from mmgraph.tasks.node_regression import NodeRegressionTask
    from mmgraph.tasks.recommendation import RecommendationTask
    from mmgraph.tasks.retrieval import NodeRetrievalTask

    ids = [f"n{i:04d}" for i in range(10)]
    parts = ["train", "train", "valid", "test", "test"] * 2
    held = ["valid", "test"]
    save_tasks(
        [
            NodeClassificationTask("labels", pa.table({"id": ids, "label": list("ababababab"), "split": parts})),
            NodeRegressionTask("values", pa.table({"id": ids, "value": np.arange(10.0), "split": parts})),
            LinkPredictionTask(
                "links",
                pa.table({"source": ids[:2], "target": ids[2:4], "relation": ["similar"] * 2, "split": held}),
            ),
            RecommendationTask(
                "likes", "likes", "user", "item", pa.table({"user": ["n0003", "n0007"], "item": ids[:2], "split": held})
            ),
            NodeRetrievalTask("queries", "text", pa.table({"query": ["a", "b"], "id": ids[:2], "split": held})),
        ],
        path,
    )


def _read_tasks(path: Path) -> None:
    from mmgraph.tasks.base import load_tasks

    graph = small_graph()
    table = EmbeddingTable.for_graph(graph, torch.ones(graph.num_nodes, 2), model="m")
    for task in load_tasks(path).values():
        repr(task)
        _ = task.protocol, task.digest
        task.evaluate(table, graph, encode_query=lambda queries: torch.ones(len(queries), 2))


def _make_split(path: Path) -> None:
    from mmgraph.splits.base import Split

    ids = [f"n{i:04d}" for i in range(6)]
    parts = ["train", "train", "train", "valid", "test", "unused"]
    Split("node", pa.table({"id": ids, "split": parts, "label": [1, 2] * 3}), "random", {"seed": 0}).save(path / "node")
    edges = {"source": ids[:2], "target": ids[2:4], "relation": ["similar"] * 2, "split": ["train", "test"]}
    Split("edge", pa.table({**edges, "time": [1, 2]}), "time", {"seed": 0}).save(path / "edge")


def _read_split(path: Path) -> None:
    from mmgraph.splits.base import Split

    for name in ("node", "edge"):
        split = Split.load(path / name)
        _ = split.counts, split.digest, split.part("train").num_rows


def _make_tables(path: Path) -> None:
    from mmgraph.formats.tables import write_tables

    write_tables(make_raw_graph(path.parent / f"{path.name}-drawn", 12, 20), path)


def _read_tables(path: Path) -> None:
    from mmgraph.formats.tables import read_tables

    read_tables(path)


def _make_shop(path: Path) -> None:
    from mmgraph.config import save_yaml
    from mmgraph.formats.tables.mapping import EdgeTable, InteractionTable, NodeTable, TablesMapping
    from mmgraph.testing.shops import make_shop

    make_shop(path)
    mapping = TablesMapping(
        nodes=(
            NodeTable("products.csv", "sku", type="product", text=("title",), image="photo", image_folder="images"),
        ),
        edges=(EdgeTable("also_bought.tsv", "from", "to"),),
        interactions=(InteractionTable("ratings.jsonl", "user_id", "sku"),),
    )
    save_yaml(mapping, path / "mapping.yaml")


def _read_shop(path: Path) -> None:
    from mmgraph.formats.tables.defects import Defects
    from mmgraph.formats.tables.mapping import load_mapping
    from mmgraph.formats.tables.reading import import_tables

    found = import_tables(path, load_mapping(path / "mapping.yaml"), defects=Defects("quarantine"))
    found.defects.lines()


def _guess_shop(path: Path) -> None:
    from mmgraph.formats.tables.guess import guess_mapping

    guess_mapping(path)


def _format(name: str, kind: Any, *, writing: dict[str, Any] | None = None, **options: Any) -> Reader:
    """A public format, with a graph that it can hold."""

    def make(path: Path) -> None:
        from mmgraph.formats.registry import write_format
        from mmgraph.testing.bundles import make_bundle

        write_format(make_bundle(kind), path, name, **(writing or {}))

    def read(path: Path) -> None:
        from mmgraph.formats.registry import read_format

        read_format(path, name, name="toy", **options)
        with contextlib.suppress(InputError):
            read_format(path, name="toy")

    return Reader(make, read)


def _ogb(name: str, writer: str) -> Reader:
    def make(path: Path) -> None:
        from mmgraph.testing import ogb_files

        getattr(ogb_files, writer)(path)

    def read(path: Path) -> None:
        from mmgraph.formats.ogb import bundle_from_ogb

        bundle_from_ogb(name, path)

    return Reader(make, read)


def _make_planetoid(path: Path) -> None:
    from mmgraph.testing.planetoid_files import write_planetoid

    write_planetoid(path)


def _read_planetoid(path: Path) -> None:
    from mmgraph.datasets.planetoid import read_planetoid

    read_planetoid(path, "cora")


def _make_pickles(path: Path) -> None:
    path.mkdir()
    content = {
        "a": np.arange(3),
        "b": torch.arange(4.0),
        "c": [np.float32(1), "x", (1, None)],
        "d": np.array(["p", "q"]),
    }
    torch.save(content, path / "zip.pt")
    torch.save(content, path / "four.pt", pickle_protocol=4)
    torch.save(content, path / "old.pt", _use_new_zipfile_serialization=False)


def _read_pickles(path: Path) -> None:
    from mmgraph.formats.safe_pickle import load_pickle, load_pt

    for name in ("zip.pt", "four.pt", "old.pt"):
        load_pt(path / name)
        with contextlib.suppress(InputError):
            load_pickle(path / name)


READERS: dict[str, Reader] = {
    "graph": Reader(lambda path: save_graph(small_graph(), path), _read_graph, _sign_graph),
    "tasks": Reader(_make_tasks, _read_tasks, sign_files("task.json", "files")),
    "splits": Reader(_make_split, _read_split, sign_files("split.json", "file")),
    "tables": Reader(_make_tables, _read_tables),
    "import": Reader(_make_shop, _read_shop),
    "guess": Reader(_make_shop, _guess_shop),
    "mm-graph nodes": _format("mm-graph", "nodes"),
    "mm-graph edges": _format("mm-graph", "edges"),
    "mmrec": _format("mmrec", "shop", encoders={"text": "enc", "image": "enc"}),
    "recbole": _format("recbole", "raw shop", writing={"text_field": "words"}, text_field="words"),
    "ogb arxiv": _ogb("ogbn-arxiv", "write_arxiv"),
    "ogb mag": _ogb("ogbn-mag", "write_mag"),
    "ogb papers": _ogb("ogbn-papers100M", "write_papers"),
    "ogb citation": _ogb("ogbl-citation2", "write_citation"),
    "ogb collab": _ogb("ogbl-collab", "write_collab"),
    "planetoid": Reader(_make_planetoid, _read_planetoid),
    "pickles": Reader(_make_pickles, _read_pickles),
    **MODEL_READERS,
    **RUN_READERS,
}
"""By name. A new reader of files gets a line here, and both fuzzers run through it."""
