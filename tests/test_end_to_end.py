"""Promises that hold over the whole way from tables to trained vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import mmgraph as mg
from mmgraph.data.sampling import SamplingConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.testing.datasets import make_dataset
from mmgraph.testing.encoders import FakeImageEncoder, FakeTextEncoder

CONFIG = mg.PretrainConfig(
    steps=6,
    device="cpu",
    encoder=mg.EncoderConfig(dim=16, moe=MoEConfig(num_experts=4), gnn=GNNConfig(conv="sign")),
    sampling=SamplingConfig(batch_size=16),
)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "shop", name="shop")


def encode(folder: Path) -> mg.MultimodalGraph:
    return mg.encode(mg.read_tables(folder), cache=False, text=FakeTextEncoder(), image=FakeImageEncoder())


def train(graph: mg.MultimodalGraph, out: Path) -> mg.EmbeddingTable:
    return mg.embed(mg.pretrain([graph], CONFIG, out=out).encoder, graph)


def rewrite(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_shuffled_rows_give_every_id_the_same_trained_vector(folder: Path, tmp_path: Path) -> None:
    before = train(encode(folder), tmp_path / "a")
    for name in ("nodes.parquet", "edges.parquet"):
        rewrite(folder / name, lambda table: table.sample(frac=1, random_state=3))
    after = train(encode(folder), tmp_path / "b")
    assert torch.equal(before.vectors, after.vectors_of(before.node_ids.values))
    assert before.vectors.std() > 0.1


def test_a_deleted_image_changes_only_that_node_s_mask(folder: Path) -> None:
    before = encode(folder)
    present = before.features["image"].present
    row = int(torch.nonzero(present)[3])
    (folder / before.columns["image"][row].as_py()).unlink()
    after = encode(folder)
    expected = present.clone()
    expected[row] = False
    assert torch.equal(after.features["image"].present, expected)
    assert torch.equal(after.features["image"].values[expected], before.features["image"].values[expected])
    assert torch.equal(after.features["text"].values, before.features["text"].values)
    assert torch.equal(after.features["text"].present, before.features["text"].present)


def test_garbage_behind_an_absent_mask_changes_no_bit_of_training_or_output(folder: Path, tmp_path: Path) -> None:
    graph = encode(folder)

    def spoil(features: mg.ModalityFeatures) -> mg.ModalityFeatures:
        values = features.values.clone()
        absent = torch.nonzero(~features.present).flatten()
        assert absent.numel() > 3
        values[absent] = torch.tensor([float("nan"), float("inf"), 1e30, -7.0])[absent % 4].unsqueeze(1)
        return replace(features, values=values)

    spoilt = replace(graph, features={name: spoil(features) for name, features in graph.features.items()})
    clean, dirty = train(graph, tmp_path / "a"), train(spoilt, tmp_path / "b")
    assert torch.equal(clean.vectors, dirty.vectors)


def test_the_readme_path_from_tables_to_search(folder: Path, tmp_path: Path) -> None:
    text, image = FakeTextEncoder(), FakeImageEncoder()
    graph = mg.encode(mg.read_tables(folder), text=text, image=image)
    mg.save_graph(graph, tmp_path / "encoded")
    run = mg.pretrain([tmp_path / "encoded"], CONFIG, out=tmp_path / "run")
    table = mg.embed(run.encoder, graph)
    mg.write_table(table, tmp_path / "shop.parquet")
    again = mg.read_table(tmp_path / "shop.parquet")
    assert np.array_equal(again.node_ids.values, table.node_ids.values)
    queries = mg.QueryEncoder(run.encoder, graph, {"text": text, "image": image})
    result = again.search(queries.encode(text=["red round"]), k=5)
    assert len(result.ids()[0]) == 5
    assert set(result.ids()[0]) <= set(table.node_ids.values)
