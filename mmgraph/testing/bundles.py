"""Small graphs with splits, one for each kind that public formats hold."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.formats.bundle import Bundle
from mmgraph.splits.base import Split
from mmgraph.splits.message import message_graph

PARTS = ("train", "train", "train", "train", "valid", "test", "test", "train")


def make_bundle(kind: Literal["nodes", "edges", "shop", "raw shop"]) -> Bundle:
    """Twelve nodes with features (or texts) and an official split.

    Args:
        kind: Labelled nodes; edges with negatives; users who take turns with items; the same with texts and columns.
    """
    ids = [f"n{i}" for i in range(12)]
    if kind == "raw shop":
        ids = [f"{'item' if i % 2 else 'user'}:{i}" for i in range(12)]
    if kind in ("nodes", "edges"):
        return _one_type(ids, labelled=kind == "nodes")
    user, item = torch.tensor([[0, 2, 4, 0, 2, 4, 0, 6], [1, 3, 5, 3, 5, 7, 9, 1]])
    trained = torch.tensor([part == "train" for part in PARTS])
    time = torch.arange(8) + 1_390_694_400
    table = {"user": [ids[i] for i in user.tolist()], "item": [ids[i] for i in item.tolist()], "split": list(PARTS)}
    settings = {"relation": "interacts", "user_type": "user", "item_type": "item"}
    split = Split("interaction", pa.table(table | {"time": time.numpy()}), "official", settings)
    likes = Relation(torch.stack([user, item])[:, trained], "user", "item", attributes={"time": time[trained]})
    node_type = torch.arange(12) % 2
    if kind == "shop":
        graph = MultimodalGraph(
            "toy", NodeIds(ids), ("user", "item"), node_type, {"interacts": likes}, _features(node_type == 1)
        )
        return Bundle(graph, {"official": split})
    texts = [None if i % 3 == 0 else f"No. {i}" for i in range(12)]
    columns = pa.table({"price": [i / 3 for i in range(12)], "job": list("abcdefghijkl")})
    raw = RawGraph("toy", NodeIds(ids), ("user", "item"), node_type, {"interacts": likes}, {"text": texts}, columns)
    return Bundle(raw, {"official": split})


def _features(present: torch.Tensor) -> dict[str, ModalityFeatures]:
    count = len(present)
    return {
        name: ModalityFeatures(FeatureSpec(name, "enc", 4), torch.arange(4.0 * count).reshape(count, 4), present)
        for name in ("text", "image")
    }


def _one_type(ids: list[str], *, labelled: bool) -> Bundle:
    pairs = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 0], [1, 2, 3, 4, 5, 6, 7, 11]])
    graph = MultimodalGraph(
        "toy",
        NodeIds(ids),
        ("node",),
        torch.zeros(12, dtype=torch.int64),
        {"edge": Relation(pairs, "node", "node", symmetric=True)},
        _features(torch.ones(12, dtype=torch.bool)),
    )
    if labelled:
        table = pa.table({"id": ids, "split": [PARTS[i % 8] for i in range(12)], "label": [i % 3 for i in range(12)]})
        split = Split("node", table, "official")
    else:
        source, target = ([ids[i] for i in ends] for ends in pairs.tolist())
        others = [None if part == "train" else [ids[(i + 5) % 12], ids[8]] for i, part in enumerate(PARTS)]
        negatives = pa.array(others, pa.list_(pa.string()))
        columns = {"source": source, "target": target, "relation": ["edge"] * 8, "split": list(PARTS)}
        split = Split("edge", pa.table({**columns, "negatives": negatives}), "official")
    return Bundle(message_graph(graph, split), {"official": split})
