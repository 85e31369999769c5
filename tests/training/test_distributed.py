"""Several processes compute what one computes, and stop, fail and go on together."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mmgraph.data.sampling import SamplingConfig
from mmgraph.data.store import load_graph, save_graph
from mmgraph.distributed import LOCAL, LostRankError, Ranks, connect
from mmgraph.errors import InputError
from mmgraph.nn.build import build_encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.nn.saving import load_encoder
from mmgraph.objectives.links import LinksConfig
from mmgraph.objectives.masked_features import MaskedFeaturesConfig
from mmgraph.objectives.mix import ObjectiveMix, ObjectivesConfig
from mmgraph.objectives.shortest_path import ShortestPathConfig
from mmgraph.objectives.views import ViewsConfig
from mmgraph.testing.factories import make_graph
from mmgraph.testing.ranks import run_ranks
from mmgraph.training.config import PretrainConfig
from mmgraph.training.pretrain import PretrainStep, pretrain, resume
from mmgraph.training.tracking import MEASURED, read_metrics
from mmgraph.training.view_sources import view_source

CPU = torch.device("cpu")
SIGN = PretrainConfig(
    steps=8,
    save_every=3,
    log_every=1,
    device="cpu",
    encoder=EncoderConfig(
        dim=16, moe=MoEConfig(num_experts=4, zero_init=False), gnn=GNNConfig(conv="sign", zero_init=False)
    ),
    sampling=SamplingConfig(kind="nodes", batch_size=17),
    objectives=ObjectivesConfig(
        masked_features=MaskedFeaturesConfig(weight=0.5),
        shortest_path=ShortestPathConfig(weight=0.5),
        links=LinksConfig(num_pairs=11, memory=40, hardness=0.5, dims=(4, 8)),
        views=ViewsConfig(stop_gradient=False),
    ),
)
"""All objectives, with rows that no number of ranks divides, memory, and nothing that starts at zero."""
SUBGRAPHS = replace(
    SIGN,
    encoder=replace(SIGN.encoder, gnn=GNNConfig(conv="gat", num_layers=2, heads=2, zero_init=False)),
    sampling=SamplingConfig(kind="ppr", batch_size=8),
    objectives=replace(SIGN.objectives, links=LinksConfig(num_pairs=11)),
    accumulate=3,
)
CONFIGS = {
    "sign": SIGN,
    "sign, whole graph": replace(SIGN, sampling=replace(SIGN.sampling, hold_out=0.0)),
    "sign, defaults": replace(SIGN, objectives=ObjectivesConfig()),
    "sign, no experts": replace(SIGN, encoder=replace(SIGN.encoder, moe=MoEConfig(num_experts=0))),
    "ppr": SUBGRAPHS,
    "neighbor": replace(SUBGRAPHS, sampling=SamplingConfig(kind="neighbor", batch_size=8)),
}


def save_graphs(folder: Path) -> list[str]:
    """Two graphs on disk that share their text space, one without images."""
    films = make_graph(name="films", num_nodes=40, num_edges=90, modalities=(("text", 16),), seed=2)
    for graph in (make_graph(name="shop", num_nodes=60, num_edges=150, seed=1), films):
        save_graph(graph, folder / graph.name)
    return [str(folder / "shop"), str(folder / "films")]


def add_up() -> dict[str, Any]:
    ranks = connect(CPU)
    found: dict[str, Any] = {"seen": [ranks.rank, ranks.world_size]}
    for count in (1, 2, 7):
        everything = torch.arange(2.0 * count).view(count, 2)
        part = ranks.part(count)
        mine = everything[part.rows].clone().requires_grad_()
        whole = ranks.gather(mine, count)
        # Each rank wants something else of the rows, and their sum is the gradient.
        weight = torch.arange(1.0, count + 1).unsqueeze(1) * (ranks.rank + 1)
        (whole * weight).sum().backward()
        found[f"gather {count}"] = [whole.detach(), mine.grad, torch.tensor(part.weight)]
        found[f"variance {count}"] = ranks.variance(everything[part.rows], part)
    x = torch.full((2,), float(ranks.rank + 1), requires_grad=True)
    total = ranks.total(x)
    (total * (ranks.rank + 1)).sum().backward()
    found["total"] = [total.detach(), x.grad]
    used, idle, one = (torch.nn.Parameter(torch.zeros(3)) for _ in range(3))
    used.grad = torch.full((3,), float(ranks.rank))
    if ranks.rank == 1:
        one.grad = torch.ones(3)
    loss, stop = ranks.reduce([used, idle, one], float(ranks.rank), lambda: ranks.rank == 1)
    found["reduce"] = [used.grad, idle.grad, one.grad, loss, stop()]
    found["merge"] = ranks.merge({"a": float(ranks.rank), "b": [1.0, ranks.rank], **({"c": 5} if ranks.rank else {})})
    found["on_main"] = ranks.on_main(lambda: {"rank": ranks.rank, "text": "ä", "third": 1 / 3})
    module = torch.nn.Linear(2, 2)
    with torch.no_grad():
        module.weight.fill_(ranks.rank)
    ranks.same([module])
    found["same"] = module.weight.detach()
    try:
        ranks.main_first(lambda: 1 / (0 if ranks.is_main else 1))
    except (ZeroDivisionError, LostRankError) as error:
        found["failed"] = str(error)
    return found


def test_sums_over_three_ranks_by_hand(tmp_path: Path) -> None:
    results = run_ranks(add_up, world_size=3, folder=tmp_path)
    for rank, found in enumerate(results):
        assert found["seen"] == [rank, 3]
        for count in (1, 2, 7):
            everything = torch.arange(2.0 * count).view(count, 2)
            whole, grad, weight = found[f"gather {count}"]
            assert torch.equal(whole, everything)
            start, stop = count * rank // 3, count * (rank + 1) // 3
            assert weight == pytest.approx((stop - start) / count * 3)
            wanted = torch.arange(1.0, count + 1).unsqueeze(1).expand(count, 2) * (1 + 2 + 3)
            assert torch.equal(grad, wanted[start:stop] if start < stop else torch.zeros(1, 2))
            assert float(found[f"variance {count}"]) == pytest.approx(float(everything.var(correction=0)), rel=1e-5)
        assert [x.tolist() for x in found["total"]] == [[6.0, 6.0], [6.0, 6.0]]
        used, idle, one, loss, stopped = found["reduce"]
        assert (used.tolist(), idle, one.tolist(), loss, stopped) == ([3.0] * 3, None, [1.0] * 3, 1.0, True)
        assert found["merge"] == {"a": 1.0, "b": [1.0, 1.0], "c": 5.0}
        assert found["on_main"] == {"rank": 0, "text": "ä", "third": 1 / 3}
        assert found["same"].abs().sum() == 0
    assert results[0]["failed"] == "division by zero"
    assert "rank 2: stopped because rank 0 failed" in results[2]["failed"]


def gradients(folders: list[str], config: PretrainConfig, ranks: Ranks, cache: Path) -> dict[str, Any]:
    """Gradient, loss, logs and buffers after each of two steps on the same weights."""
    graphs = [load_graph(folder) for folder in folders]
    torch.manual_seed(0)
    encoder = build_encoder(config.encoder, graphs)
    domains = {graph.name: [item.spec for item in graph.features.values()] for graph in graphs}
    objectives = ObjectiveMix(config.objectives, config.encoder.dim, domains)
    sources = {graph.name: view_source(encoder, graph, config, cache=cache, ranks=ranks) for graph in graphs}
    step = PretrainStep(config, encoder, objectives, sources, ranks)
    modules = torch.nn.ModuleDict({"encoder": encoder.train(), "objectives": objectives.train()})
    parameters = dict(modules.named_parameters())
    found: dict[str, Any] = {}
    for number in range(2):
        modules.zero_grad(set_to_none=True)
        output = step(number)
        loss, _ = ranks.reduce(list(parameters.values()), output.loss, lambda: False)
        found |= {f"{number}/{name}": p.grad for name, p in parameters.items() if p.grad is not None}
        found |= {f"{number}/loss": torch.tensor(loss)}
        found |= {
            f"{number}/log {key}": torch.tensor(value) for key, value in output.logs.items() if key not in MEASURED
        }
    found |= {f"buffer {name}": buffer for name, buffer in modules.named_buffers()}
    return found


def all_gradients(folders: list[str], cache: Path) -> dict[str, dict[str, Any]]:
    ranks = connect(CPU)
    return {name: gradients(folders, config, ranks, cache) for name, config in CONFIGS.items()}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """By configuration: what one process finds, then each of two."""
    folder = tmp_path_factory.mktemp("gradients")
    folders = save_graphs(folder)
    found = {name: [gradients(folders, config, LOCAL, folder / "ppr")] for name, config in CONFIGS.items()}
    for result in run_ranks(all_gradients, folders, folder / "ppr", folder=folder):
        for name, item in result.items():
            found[name].append(item)
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_ranks_have_the_gradient_of_one_process(compared: dict[str, list[dict[str, Any]]], name: str) -> None:
    alone, *others = compared[name]
    # A log has the last batch of a graph in a step; where batches are dealt to ranks, the mean of those of the ranks.
    keys = [key for key in alone if "buffer" not in key and (name.startswith("sign") or "log" not in key)]
    assert max(float(alone[key].abs().max()) for key in keys if key.endswith("weight")) > 1e-3
    for other in others:
        assert other.keys() == alone.keys()
        for kind in ("0/encoder", "0/objectives", "1/encoder", "1/objectives", "0/lo", "1/lo"):
            one, two = (
                torch.cat([found[key].double().flatten() for key in keys if key.startswith(kind)])
                for found in (alone, other)
            )
            assert float((two - one).norm()) <= 1e-6 * float(one.norm()), kind


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_and_buffers_are_the_same_bits_on_every_rank(
    compared: dict[str, list[dict[str, Any]]], name: str
) -> None:
    _, first, second = compared[name]
    assert all(torch.equal(first[key], second[key]) for key in first)


def train(folders: list[str], out: str, name: str, number: int) -> str:
    """Pre-train; rank 1 gets a signal in step 5, if there is one to get."""
    original = PretrainStep.__call__

    def call(self: PretrainStep, step: int) -> Any:
        if step == 5 and number and self.ranks.rank == 1:
            os.kill(os.getpid(), number)
        return original(self, step)

    PretrainStep.__call__ = call  # type: ignore[method-assign]
    try:
        pretrain(folders, RUNS[name], out=out)
    except KeyboardInterrupt:
        return "interrupted"
    except LostRankError as error:
        return str(error)
    return "done"


RUNS = {
    "sign": SIGN,
    "ppr": replace(SUBGRAPHS, encoder=replace(SUBGRAPHS.encoder, gnn=replace(SUBGRAPHS.encoder.gnn, dropout=0.2))),
}


def assert_equal_runs(first: Path, second: Path) -> None:
    a, b = (load_encoder(folder / "model").state_dict() for folder in (first, second))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    rows = [[{k: v for k, v in row.items() if k not in MEASURED} for row in read_metrics(f)] for f in (first, second)]
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0]] == list(range(8))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))
    return save_graphs(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_killed_rank_ends_the_others_and_resume_is_exact(folders: list[str], tmp_path: Path, name: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run_ranks(train, folders, str(whole), name, 0, folder=tmp_path) == ["done", "done"]
    names = {path.name for path in whole.iterdir()}
    assert names == {"config.yaml", "env.json", "metrics.jsonl", "tensorboard", "model", "last.pt", "previous.pt"}
    first, second = run_ranks(train, folders, str(parts), name, int(signal.SIGKILL), folder=tmp_path)
    assert first.startswith("rank 0: another process of this run ended or gave no answer")
    assert second == -signal.SIGKILL
    shutil.copytree(parts, tmp_path / "alone")
    assert run_ranks(train, folders, str(parts), name, 0, folder=tmp_path) == ["done", "done"]
    assert_equal_runs(whole, parts)
    if name == "sign":  # without dropout another number of processes differs by rounding alone
        resume(tmp_path / "alone")
        losses = [[row["loss"] for row in read_metrics(folder)] for folder in (whole, tmp_path / "alone")]
        assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_after_the_same_step(folders: list[str], tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    assert run_ranks(train, folders, str(parts), "sign", int(signal.SIGTERM), folder=tmp_path) == ["interrupted"] * 2
    assert torch.load(parts / "last.pt", weights_only=True)["step"] == 6
    assert [row["step"] for row in read_metrics(parts)] == list(range(6))


def test_more_processes_than_batches_are_refused(folders: list[str], tmp_path: Path) -> None:
    class Four(Ranks):
        world_size = 4

    graph = load_graph(folders[0])
    encoder = build_encoder(SUBGRAPHS.encoder, [graph])
    source = view_source(encoder, graph, SUBGRAPHS, cache=tmp_path)
    objectives = ObjectiveMix(SUBGRAPHS.objectives, 16, {graph.name: [f.spec for f in graph.features.values()]})
    with pytest.raises(InputError, match="4 processes, but accumulate is 3"):
        PretrainStep(SUBGRAPHS, encoder, objectives, {graph.name: source}, Four())


def test_without_torchrun_there_is_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect(CPU) is LOCAL
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(InputError, match="WORLD_SIZE: expected a number, got 'many'"):
        connect(CPU)


@pytest.mark.slow
def test_torchrun_starts_the_command(folders: list[str], tmp_path: Path) -> None:
    words = [
        "--graphs",
        *folders,
        "--out",
        str(tmp_path / "run"),
        "--steps",
        "3",
        "--device",
        "cpu",
        "--encoder.dim",
        "16",
    ]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mmgraph"]
    done = subprocess.run([*command, "pretrain", *words], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "run")]
    assert load_encoder(tmp_path / "run" / "model").dim == 16
