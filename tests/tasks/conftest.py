"""One planted graph with a task of every kind, and embeddings that know the plant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pytest
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.base import Task
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.testing.factories import make_graph

SPLITS = ("train", "train", "train", "valid", "test")


@dataclass(frozen=True)
class Setting:
    graph: MultimodalGraph
    table: EmbeddingTable
    tasks: dict[str, Task]

    def encode_query(self, queries: Sequence[str]) -> Tensor:
        """A query names a community; its vector is the mean of the nodes of that community and a trace of the node."""
        community = torch.tensor(self.graph.columns["community"].to_pylist())
        rows = []
        for query in queries:
            group, node = query.split("/")
            position = int(self.graph.node_ids.positions([node])[0])
            vector = self.table.vectors[community == int(group)].mean(dim=0)
            rows.append(vector + 0.5 * self.table.vectors[position])
        return torch.stack(rows)


@pytest.fixture(scope="session")
def make_setting() -> Callable[..., Setting]:
    return _make_setting


@pytest.fixture(scope="session")
def setting() -> Setting:
    return _make_setting()


def _make_setting(num_nodes: int = 240, num_edges: int = 1500, seed: int = 0) -> Setting:
    graph = make_graph(num_nodes, num_edges, missing=0.2, seed=seed)
    ids, community = graph.node_ids.values, graph.columns["community"].to_pylist()
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, 16, generator=random)
    vectors = centres[torch.tensor(community)] + 0.7 * torch.randn(num_nodes, 16, generator=random)
    split = [SPLITS[i % 5] for i in torch.randperm(num_nodes, generator=random).tolist()]
    labels = pa.table({"id": ids, "label": [f"c{c}" for c in community], "split": split})
    several = [[f"c{c}"] + (["even"] if c % 2 == 0 else []) for c in community]
    both = pa.table({"id": ids, "label": several, "split": split})
    relations, held = dict(graph.relations), {}
    for name, relation in graph.relations.items():
        order = torch.randperm(relation.num_edges, generator=random)
        cut = relation.num_edges // 5
        held[name] = [relation.edge_index[:, part].tolist() for part in (order[:cut], order[cut : 2 * cut])]
        relations[name] = relation.take(order[2 * cut :].sort().values)
    graph = replace(graph, relations=relations)
    edges = [
        {"source": ids[a], "target": ids[b], "relation": "similar", "split": split}
        for split, (sources, targets) in zip(("valid", "test"), held["similar"], strict=True)
        for a, b in zip(sources, targets, strict=True)
    ]
    likes = [
        {"user": ids[a], "item": ids[b], "split": split}
        for split, (users, items) in zip(("valid", "test"), held["likes"], strict=True)
        for a, b in zip(users, items, strict=True)
    ]
    chosen = [i for i in range(num_nodes) if i % 4 != 3][:40]
    queries = {
        "query": [f"{community[i]}/{ids[i]}" for i in chosen],
        "id": [ids[i] for i in chosen],
        "split": [SPLITS[i % 5] for i in range(40)],
    }
    tasks: list[Task] = [
        NodeClassificationTask("community", labels),
        NodeClassificationTask("traits", both, multi_label=True),
        LinkPredictionTask("links", pa.Table.from_pylist(edges)),
        RecommendationTask("recommend", "likes", "user", "item", pa.Table.from_pylist(likes)),
        NodeRetrievalTask("queries", "text", pa.table(queries)),
    ]
    values = [100.0 + c**2 + 0.1 * (i % 7) for i, c in enumerate(community)]
    tasks.append(NodeRegressionTask("price", pa.table({"id": ids, "value": values, "split": split})))
    table = EmbeddingTable.for_graph(graph, vectors, model="planted")
    return Setting(graph, table, {task.name: task for task in tasks})
