from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmgraph.encoders.folder import encode_folder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.sharing.model_card import write_model_card
from mmgraph.testing.datasets import fake_encoders, make_dataset
from mmgraph.training.config import PretrainConfig
from mmgraph.training.evaluate import evaluate_run
from mmgraph.training.pretrain import pretrain

ENCODER = EncoderConfig(dim=16, moe=MoEConfig(num_experts=2, top_k=1), gnn=GNNConfig(conv="sign"))


@dataclass(frozen=True)
class Places:
    """A toy graph, a run on it that was not evaluated, a copy that was, and the card of that."""

    folder: Path

    @property
    def graph(self) -> Path:
        return self.folder / "toy"

    @property
    def plain(self) -> Path:
        return self.folder / "plain"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def card(self) -> Path:
        return self.folder / "card"


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    made = Places(tmp_path_factory.mktemp("sharing"))
    with pytest.MonkeyPatch.context() as patch, fake_encoders():
        patch.setenv("MMGRAPH_CACHE", str(made.folder / "cache"))
        make_dataset(made.graph)
        encode_folder(made.graph, encoders={"text": None, "image": None})
        (made.graph / "README.md").write_text("# Toy\n\nDrawn for <tests>. Licence: none.\n", encoding="utf-8")
        pretrain([made.graph], PretrainConfig(steps=2, device="cpu", encoder=ENCODER), out=made.plain)
        shutil.copytree(made.plain, made.run)
        evaluate_run(made.run, made.graph, tasks=["community", "links"], controls=("raw features", "smoothed features"))
        write_model_card(made.run, made.card, name="toy model", licence="apache-2.0")
        yield made


@pytest.fixture
def model(places: Places, tmp_path: Path) -> Path:
    """A copy of the model folder that a test may break."""
    return Path(shutil.copytree(places.card, tmp_path / "model"))
