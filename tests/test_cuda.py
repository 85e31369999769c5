"""Everything that trains or embeds does so on a GPU, and says there what it says on a CPU, up to rounding.

Runs where there is a GPU. `MMGRAPH_TEST_DEVICE=cpu` runs it without one, to try the tests themselves.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mmgraph as mg
from mmgraph.baselines.fit import BASELINES, fit_baseline
from mmgraph.cli.main import main
from mmgraph.data.quantised import with_dtype
from mmgraph.data.sampling import SamplingConfig
from mmgraph.data.store import load_graph
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.finetune import finetune
from mmgraph.nn import segment
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.objectives.links import LinksConfig
from mmgraph.objectives.masked_features import MaskedFeaturesConfig
from mmgraph.objectives.mix import ObjectivesConfig
from mmgraph.objectives.shortest_path import ShortestPathConfig
from mmgraph.recommenders.fit import RECOMMENDERS, fit_recommender
from mmgraph.synthetic.user_item import user_item_graph
from mmgraph.synthetic.user_item_config import UserItemConfig
from mmgraph.tasks.base import Task, load_tasks
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.testing.datasets import fake_encoders, make_dataset
from mmgraph.testing.factories import make_encoder, make_graph
from mmgraph.training import pretrain as module
from mmgraph.training.tracking import read_metrics

DEVICE = os.environ.get("MMGRAPH_TEST_DEVICE", "cuda")
CONVS = ("sign", "gat", "sage")

pytestmark = pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a GPU")


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.cpu(), expected.cpu(), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cuda") / "toy"
    with pytest.MonkeyPatch.context() as patch, fake_encoders():
        patch.setenv("MMGRAPH_CACHE", str(folder.parent / "cache"))
        make_dataset(folder)
        assert main(["encode", "--graph", str(folder), "--device", DEVICE]) == 0
        yield folder


@pytest.fixture(scope="module")
def tasks(toy: Path) -> dict[str, Task]:
    return load_tasks(toy)


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("level", ["last", "blend", "hybrid", "all"])
def test_embeddings_equal_those_of_the_cpu(conv: str, level: Any) -> None:
    graph = make_graph()
    encoder = make_encoder(graph, conv)
    expected = mg.embed(encoder, graph, level=level).vectors
    encoder.to(DEVICE)
    close(mg.embed(encoder, graph.to(DEVICE), level=level).vectors, expected)
    close(mg.embed(encoder, graph, level=level, device=DEVICE).vectors, expected)  # features stay where they are
    close(mg.embed(encoder, graph.to(DEVICE), level=level, num_ranges=3).vectors, expected)


@pytest.mark.parametrize("conv", CONVS)
def test_int8_features_are_turned_back_on_the_device(conv: str) -> None:
    graph = make_graph()
    small = replace(graph, features={name: with_dtype(one, "int8") for name, one in graph.features.items()})
    encoder = make_encoder(graph, conv)
    expected = mg.embed(encoder, small).vectors
    close(mg.embed(encoder.to(DEVICE), small.to(DEVICE)).vectors, expected)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("kind", ["nodes", "ppr", "neighbor"])
def test_pretraining_with_every_objective_learns_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, precision: Any
) -> None:
    conv = "sign" if kind == "nodes" else "gat"
    config = mg.PretrainConfig(
        steps=40,
        log_every=1,
        save_every=10,
        device=DEVICE,
        precision=precision,
        encoder=EncoderConfig(dim=16, moe=MoEConfig(num_experts=4), gnn=GNNConfig(conv=conv, num_layers=2, heads=2)),
        sampling=SamplingConfig(kind=kind, batch_size=16),
        objectives=ObjectivesConfig(
            masked_features=MaskedFeaturesConfig(weight=0.5),
            shortest_path=ShortestPathConfig(weight=0.5),
            links=LinksConfig(num_pairs=12, memory=40 if kind == "nodes" else 0, hardness=0.5, dims=(4, 8)),
        ),
    )
    graphs = [make_graph(name="one"), make_graph(name="two", seed=1)]
    run = mg.pretrain(graphs, config, out=tmp_path / "run")
    losses = [row["loss"] for row in read_metrics(tmp_path / "run")]
    assert len(losses) == 40
    assert sum(losses[-10:]) < sum(losses[:10])
    assert next(run.encoder.parameters()).device.type == DEVICE
    assert bool(torch.isfinite(mg.embed(run.encoder, graphs[0].to(DEVICE)).vectors).all())

    def interrupted(self: module.PretrainStep, step: int) -> object:
        if step == 15:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, step)

    original = module.PretrainStep.__call__
    with monkeypatch.context() as patch:
        patch.setattr(module.PretrainStep, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            mg.pretrain(graphs, config, out=tmp_path / "parts")
    mg.pretrain(graphs, config, out=tmp_path / "parts")
    # The same batches and masks; sums are added up in another order each time.
    again = [row["loss"] for row in read_metrics(tmp_path / "parts")]
    assert again == pytest.approx(losses, rel=1e-3 if precision == "float32" else 5e-2)


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("mode", ["frozen", "adapter", "full"])
@pytest.mark.parametrize("name", ["community", "links", "recommend"])
def test_finetuning(toy: Path, tasks: dict[str, Task], tmp_path: Path, name: str, mode: Any, conv: str) -> None:
    graph = load_graph(toy)
    config = FinetuneConfig(steps=12, batch_size=32, eval_every=3, num_negatives=32, rank=2, mode=mode, device=DEVICE)
    here = finetune(make_encoder(graph, conv), graph, tasks[name], config, out=tmp_path / "here")
    there = finetune(
        make_encoder(graph, conv), graph, tasks[name], replace(config, device="cpu"), out=tmp_path / "there"
    )
    for metric, value in there.result["valid"].items():
        assert here.result["valid"][metric] == pytest.approx(value, abs=0.1), metric


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_recommenders(name: str) -> None:
    made = user_item_graph(UserItemConfig(num_users=60, num_items=40, dim=3, sharpness=3.0, cold=0.1), seed=1)
    task = RecommendationTask(
        "recommend", "interacted", "user", "item", made.held_out.select(["user", "item", "split"])
    )
    graph = made.graph.to(DEVICE)
    score = fit_recommender(name, graph, task, seed=0)
    assert bool(torch.isfinite(score(graph.nodes_of_type("user"), graph.nodes_of_type("item"))).all())
    metrics = task.evaluate_scores(score, graph)
    assert 0 < metrics["ndcg@10"] <= 1


@pytest.mark.parametrize("name", BASELINES)
def test_baselines(name: str) -> None:
    graph = make_graph().to(DEVICE)
    vectors = fit_baseline(name, graph, seed=0, max_seconds=2).vectors
    assert vectors.size(0) == graph.num_nodes
    assert bool(torch.isfinite(vectors).all())


def test_the_command_line(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, store = str(tmp_path / "run"), str(tmp_path / "store")
    words = ["--steps", "5", "--encoder.dim", "16", "--sampling.batch_size", "16"]
    assert main(["pretrain", "--graphs", str(toy), "--out", run, "--device", DEVICE, *words]) == 0
    assert main(["evaluate", "--run", run, "--graph", str(toy), "--device", DEVICE]) == 0
    assert main(["export", "--run", run, "--graph", str(toy), "--to", "npy", "--out", store, "--device", DEVICE]) == 0
    capsys.readouterr()
    words = ["--embeddings", store, "--graph", str(toy), "--run", run, "--text", "a red thing", "--device", DEVICE]
    assert main(["search", *words]) == 0
    assert capsys.readouterr().out


def test_segments_are_reduced_on_the_device_whether_torch_scatter_was_built_for_it_or_not() -> None:
    values, ends = torch.arange(6.0, device=DEVICE).view(3, 2), torch.tensor([0, 2, 2, 3], device=DEVICE)
    close(segment.segment_reduce(values, ends, "sum"), torch.tensor([[2.0, 4.0], [0.0, 0.0], [4.0, 5.0]]))
