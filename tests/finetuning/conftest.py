"""The toy dataset with a task of every kind, encoded by fakes, and small settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from mmgraph.cli.main import main
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import load_graph
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.nn.build import Encoder
from mmgraph.tasks.base import Task, load_tasks
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.testing.datasets import fake_encoders, make_dataset
from mmgraph.testing.factories import make_encoder

SMALL = FinetuneConfig(steps=12, batch_size=32, eval_every=3, patience=10, num_negatives=32, rank=2, device="cpu")


@dataclass(frozen=True)
class Toy:
    folder: Path
    graph: MultimodalGraph
    tasks: dict[str, Task]


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    folder = tmp_path_factory.mktemp("finetune") / "toy"
    with pytest.MonkeyPatch.context() as patch, fake_encoders():
        patch.setenv("MMGRAPH_CACHE", str(folder.parent / "cache"))
        make_dataset(folder)
        assert main(["encode", "--graph", str(folder)]) == 0
        tasks = load_tasks(folder)
        queries = tasks["descriptions"]
        assert isinstance(queries, NodeRetrievalTask)
        # The toy has queries for valid and test only: half of the first kind become train.
        split = [
            "train" if name == "valid" and i % 4 < 2 else name
            for i, name in enumerate(queries.queries["split"].to_pylist())
        ]
        table = queries.queries.set_column(2, "split", pa.array(split))
        tasks["descriptions"] = NodeRetrievalTask("descriptions", "text", table, folder)
        # A number that the community and chance decide.
        community = tasks["community"]
        assert isinstance(community, NodeClassificationTask)
        graph = load_graph(folder)
        noise = torch.randn(graph.num_nodes, generator=torch.Generator().manual_seed(0)).tolist()
        group = [int(label.split()[1]) for label in community.labels["label"].to_pylist()]
        prices = [50 + 10 * number + 3 * extra for number, extra in zip(group, noise, strict=True)]
        table = pa.table({"id": community.labels["id"], "value": prices, "split": community.labels["split"]})
        tasks["price"] = NodeRegressionTask("price", table)
        yield Toy(folder, graph, tasks)


@pytest.fixture
def encoder_of() -> Callable[..., Encoder]:
    return make_encoder


@pytest.fixture
def settings() -> Callable[..., FinetuneConfig]:
    return lambda **changes: replace(SMALL, **changes)
