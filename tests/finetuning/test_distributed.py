"""Fine-tuning in several processes computes what one computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.distributed import LOCAL, Ranks, connect
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.finetune import finetune, make_problem
from mmgraph.nn.build import Encoder, build_encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.sealed import read_sealed_json
from mmgraph.tasks.base import Task
from mmgraph.testing.datasets import fake_encoders
from mmgraph.testing.factories import randomise
from mmgraph.testing.ranks import run_ranks

CONFIG = FinetuneConfig(steps=6, batch_size=21, eval_every=3, num_negatives=19, rank=2, device="cpu")
CASES = {
    "community": ("community", CONFIG),
    "balanced": ("community", replace(CONFIG, class_weight="balanced", hidden=8)),
    "price": ("price", CONFIG),
    "links": ("links", CONFIG),
    "recommend": ("recommend", replace(CONFIG, decoder="mlp")),
    "descriptions": ("descriptions", replace(CONFIG, hard_negatives=3, own_content=0.5)),
}
"""Batches that no number of ranks divides."""


def make_encoder(graph: MultimodalGraph) -> Encoder:
    torch.manual_seed(0)
    config = EncoderConfig(dim=16, moe=MoEConfig(num_experts=2), gnn=GNNConfig(conv="sign"))
    return randomise(build_encoder(config, [graph]))


def gradients(graph: MultimodalGraph, tasks: dict[str, Task], ranks: Ranks) -> dict[str, dict[str, Any]]:
    found = {}
    for case, (name, config) in CASES.items():
        encoder = make_encoder(graph)
        with fake_encoders():
            torch.manual_seed(1)
            problem = make_problem(encoder, graph, tasks[name], config)
        problem.ranks = ranks
        modules = torch.nn.ModuleDict({"encoder": encoder, "head": problem.head})
        parameters = dict(modules.named_parameters())
        loss = problem.loss(1)
        (loss / ranks.world_size).backward()
        mean, _ = ranks.reduce(list(parameters.values()), float(loss.detach()), lambda: False)
        found[case] = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        found[case]["loss"] = torch.tensor(mean)
    return found


def gradients_of_rank(graph: MultimodalGraph, tasks: dict[str, Task]) -> dict[str, dict[str, Any]]:
    return gradients(graph, tasks, connect(torch.device("cpu")))


def test_ranks_have_the_gradient_of_one_process(toy, tmp_path: Path) -> None:
    alone = gradients(toy.graph, toy.tasks, LOCAL)
    first, *others = run_ranks(gradients_of_rank, toy.graph, toy.tasks, folder=tmp_path)
    for case in CASES:
        assert first[case].keys() == alone[case].keys(), case
        assert max(float(value.abs().max()) for key, value in alone[case].items() if key != "loss") > 1e-3
        one, two = (torch.cat([g.double().flatten() for g in found[case].values()]) for found in (alone, first))
        assert float((two - one).norm()) <= 1e-6 * float(one.norm()), case
        for other in others:
            assert all(torch.equal(other[case][key], first[case][key]) for key in first[case])


def run_of_rank(graph: MultimodalGraph, tasks: dict[str, Task], out: str) -> dict[str, Any]:
    return finetune(make_encoder(graph), graph, tasks["community"], CONFIG, out=out).result


@pytest.mark.slow
def test_a_run_writes_once_and_tells_all_ranks_the_result(toy, tmp_path: Path) -> None:
    results = run_ranks(run_of_rank, toy.graph, toy.tasks, str(tmp_path / "two"), folder=tmp_path)
    assert results[0] == results[1] == read_sealed_json(tmp_path / "two" / "result.json")
    alone = finetune(make_encoder(toy.graph), toy.graph, toy.tasks["community"], CONFIG, out=tmp_path / "one")
    assert alone.result["valid"]["loss"] == pytest.approx(results[0]["valid"]["loss"], rel=1e-3)
    names = [{path.name for path in (tmp_path / run).iterdir()} for run in ("one", "two")]
    assert names[0] == names[1]
