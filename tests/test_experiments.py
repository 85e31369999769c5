"""Every configuration under experiments/ is read strictly and runs."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mmgraph.config import from_mapping, read_mapping
from mmgraph.testing.factories import make_graph
from mmgraph.training.config import PretrainConfig
from mmgraph.training.presets import PRESETS
from mmgraph.training.pretrain import pretrain

FOLDER = Path(__file__).parents[1] / "experiments" / "pretrain"
FILES = sorted(FOLDER.glob("*.yaml"))


def read(path: Path) -> PretrainConfig:
    values = read_mapping(path)
    assert values.pop("graphs")
    assert values.pop("out")
    return from_mapping(PretrainConfig, values, where=str(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_two_steps_of_every_configuration(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))
    config = read(path)
    small = replace(config, steps=2, device="cpu", sampling=replace(config.sampling, batch_size=8))
    run = pretrain([make_graph(name="a"), make_graph(name="b", seed=1)], small, out=tmp_path / "run")
    assert (run.folder / "model" / "model.safetensors").exists()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_and_their_files_agree(name: str) -> None:
    assert asdict(read(FOLDER / f"{name}.yaml")) == asdict(PRESETS[name]())
