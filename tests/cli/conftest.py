from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmgraph.cli.main import main
from mmgraph.testing.datasets import fake_encoders, make_dataset

SMALL = [
    "--steps=4",
    "--encoder.dim=16",
    "--encoder.moe.num_experts=2",
    "--encoder.moe.top_k=1",
    "--encoder.gnn.num_layers=1",
    "--encoder.gnn.heads=2",
    "--sampling.batch_size=16",
    "--device=cpu",
]


@dataclass(frozen=True)
class Workspace:
    """What the commands before the tested one have made."""

    folder: Path

    @property
    def graph(self) -> Path:
        return self.folder / "toy"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def table(self) -> Path:
        return self.folder / "toy.parquet"


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Encoded toy graph, finished run and exported table, all made through the command line."""
    made = Workspace(tmp_path_factory.mktemp("workspace"))
    with pytest.MonkeyPatch.context() as patch, fake_encoders():
        patch.setenv("MMGRAPH_CACHE", str(made.folder / "cache"))
        make_dataset(made.graph)
        assert main(["encode", "--graph", str(made.graph)]) == 0
        assert main(["pretrain", "--graphs", str(made.graph), "--out", str(made.run), *SMALL]) == 0
        export = ["export", "--run", str(made.run), "--graph", str(made.graph), "--out", str(made.table)]
        assert main(export) == 0
        yield made


@pytest.fixture
def small() -> list[str]:
    return SMALL
