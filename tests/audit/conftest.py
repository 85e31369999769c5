"""A dataset folder with a split of every kind and nothing wrong; tests plant one leak each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from mmgraph.data.graph import encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.formats.tables import write_tables
from mmgraph.splits.base import Split, save_splits
from mmgraph.splits.content import content_groups
from mmgraph.splits.edges import split_edges_by_time, split_edges_cold_nodes, split_edges_random
from mmgraph.splits.message import message_graph
from mmgraph.splits.nodes import split_nodes_random
from mmgraph.tasks.base import save_tasks
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask

NUM_ITEMS, NUM_USERS = 40, 20


def whole_graph(folder: Path, seed: int = 0) -> RawGraph:
    """Items with texts and pictures, `cites` and its reverse, symmetric `near`, users who `buy` at some time."""
    random = np.random.default_rng(seed)
    names = [f"i{k:02d}" for k in range(NUM_ITEMS)] + [f"u{k:02d}" for k in range(NUM_USERS)]
    node_types, node_type = encode_node_types(["item"] * NUM_ITEMS + ["user"] * NUM_USERS)
    pairs = np.array([(a, b) for a in range(NUM_ITEMS) for b in range(a + 1, NUM_ITEMS)])
    order = random.permutation(len(pairs))
    cites, near = pairs[order[:80]].T, pairs[order[80:140]].T
    bought = np.array([(NUM_ITEMS + u, i) for u in range(NUM_USERS) for i in range(NUM_ITEMS)])
    buys = bought[random.permutation(len(bought))[:120]].T
    cites_index = torch.from_numpy(np.ascontiguousarray(cites))
    relations = {
        "buys": Relation(
            torch.from_numpy(np.ascontiguousarray(buys)),
            "user",
            "item",
            attributes={"time": torch.from_numpy(random.permutation(120))},
        ),
        "cited_by": Relation(cites_index.flip(0), "item", "item", reverse="cites"),
        "cites": Relation(cites_index, "item", "item", reverse="cited_by"),
        "near": Relation(torch.from_numpy(np.ascontiguousarray(near)), "item", "item", symmetric=True),
    }
    (folder / "drawn").mkdir(parents=True)
    images: list[Path | None] = []
    for k in range(NUM_ITEMS):
        path = folder / "drawn" / f"i{k:02d}.png"
        Image.new("RGB", (6, 6), (k, 2 * k, 3 * k)).save(path)
        images.append(path)
    return RawGraph(
        "planted",
        NodeIds(names),
        node_types,
        node_type,
        relations,
        {
            "text": [f"item number {k}" for k in range(NUM_ITEMS)] + [None] * NUM_USERS,
            "image": images + [None] * NUM_USERS,
        },
        pa.table({"price": pa.array([float(k % 7) for k in range(NUM_ITEMS)] + [None] * NUM_USERS)}),
    )


class Planted:
    """What a dataset folder is made of; a test changes one thing and writes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = whole_graph(folder)
        self.splits: dict[str, Split] = {
            "links": split_edges_random(self.whole, ["cites"], shares={"train": 0.7, "valid": 0.1, "test": 0.2}),
            "future": split_edges_by_time(self.whole, ["buys"], shares={"train": 0.7, "valid": 0.1, "test": 0.2}),
        }
        graph = self.whole
        for split in self.splits.values():
            graph = message_graph(graph, split)
        self.graph = graph
        groups = content_groups(self.whole)
        nodes = split_nodes_random(pa.table({"id": self.whole.node_ids.arrow}), groups=groups, seed=1)
        part = dict(zip(nodes.table["id"].to_pylist(), nodes.table["split"].to_pylist(), strict=True))
        self.labels = [{"id": f"i{k:02d}", "label": "ab"[k % 2], "split": part[f"i{k:02d}"]} for k in range(NUM_ITEMS)]
        self.queries = [{"query": f"something like {k}", "id": f"i{k:02d}", "split": "test"} for k in range(10)]

    def cold(self) -> None:
        """Ask about new items instead of random edges."""
        shares = {"train": 0.7, "valid": 0.1, "test": 0.2}
        self.splits = {"links": split_edges_cold_nodes(self.whole, ["cites"], node_type="item", shares=shares)}
        self.graph = message_graph(self.whole, self.splits["links"])

    def asked(self, name: str, row: int = 0) -> dict[str, Any]:
        """A row of the test part of a split."""
        return dict(self.splits[name].part("test").slice(row, 1).to_pylist()[0])

    def add_edge(self, relation: str, source: str, target: str, **attributes: float) -> None:
        """Put an edge into the graph."""
        old = self.graph.relations[relation]
        ends = torch.from_numpy(self.graph.node_ids.positions([source, target])).reshape(2, 1)
        new = Relation(
            torch.cat([old.edge_index, ends], dim=1),
            old.source_type,
            old.target_type,
            symmetric=old.symmetric,
            attributes={
                key: torch.cat([values, torch.tensor([attributes.get(key, 0)], dtype=values.dtype)])
                for key, values in old.attributes.items()
            },
            reverse=old.reverse,
        )
        self.graph = replace(self.graph, relations={**self.graph.relations, relation: new})

    def set_content(self, modality: str, node: str, item: Any) -> None:
        """Give a node other content."""
        items = list(self.graph.content[modality])
        items[int(self.graph.node_ids.positions([node])[0])] = item
        self.graph = replace(self.graph, content={**self.graph.content, modality: items})

    def write(self) -> Path:
        """Write the folder."""
        out = self.folder / "data"
        write_tables(self.graph, out)
        save_splits(self.splits, out)
        labels = NodeClassificationTask("topic", pa.Table.from_pylist(self.labels))
        queries = NodeRetrievalTask("queries", "text", pa.Table.from_pylist(self.queries), out)
        save_tasks([labels, queries], out)
        return out


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


Plant = Callable[[Planted], None]
