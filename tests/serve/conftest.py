from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mmgraph.cli.main import main
from mmgraph.data.store import load_graph
from mmgraph.serve.app import make_app
from mmgraph.serve.index import Sources
from mmgraph.serve.settings import Limits
from mmgraph.testing.datasets import fake_encoders, make_dataset

SMALL = ["--steps=2", "--encoder.dim=16", "--sampling.batch_size=16", "--device=cpu"]


@dataclass(frozen=True)
class Workspace:
    """A toy dataset with pictures, a trained run and exported embeddings."""

    folder: Path

    @property
    def graph(self) -> Path:
        return self.folder / "toy"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def store(self) -> Path:
        return self.folder / "store"


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = Workspace(tmp_path_factory.mktemp("serve"))
    with pytest.MonkeyPatch.context() as patch, fake_encoders():
        patch.setenv("MMGRAPH_CACHE", str(made.folder / "cache"))
        make_dataset(made.graph)
        assert main(["encode", "--graph", str(made.graph)]) == 0
        assert main(["pretrain", "--graphs", str(made.graph), "--out", str(made.run), *SMALL]) == 0
        words = ["export", "--run", str(made.run), "--graph", str(made.graph)]
        assert main([*words, "--to", "faiss", "--out", str(made.store)]) == 0
        yield made


@pytest.fixture(scope="session")
def client(workspace: Workspace) -> Iterator[TestClient]:
    """Everything: run, graph and store."""
    app = make_app(Sources(workspace.run, workspace.graph, workspace.store), reload_seconds=0)
    with TestClient(app) as made:
        yield made


@pytest.fixture
def limited(workspace: Workspace) -> Iterator[Callable[..., TestClient]]:
    """Makes clients of a server with other limits."""
    opened: list[TestClient] = []

    def make(*, api_key: str | None = None, **limits: float) -> TestClient:
        app = make_app(
            Sources(workspace.run, workspace.graph, workspace.store),
            limits=Limits(**limits),  # type: ignore[arg-type]
            api_key=api_key,
            reload_seconds=0,
        )
        opened.append(TestClient(app))
        return opened[-1].__enter__()

    yield make
    for item in opened:
        item.__exit__()


@pytest.fixture(scope="session")
def pictured(workspace: Workspace) -> tuple[str, Path]:
    """Id and file of a node that has a picture and a text."""
    graph = load_graph(workspace.graph)
    assert graph.columns is not None
    columns = graph.columns.to_pydict()
    row = next(i for i, path in enumerate(columns["image"]) if path and columns["text"][i])
    return graph.node_ids[row], workspace.graph / columns["image"][row]
