"""The canary: random features on a random graph, through the whole pipeline, must score at chance.

The checks of this package look for leaks that somebody thought of. The canary looks for all others: it draws a graph of
the same shape in which nothing can be predicted, splits it by the same recipe, takes the held-out edges out, trains,
embeds and evaluates, with the code that does it for real data. A score above chance can only be a leak.

Chance is not computed from a formula: new nodes, repeated edges and filtered candidates make formulas wrong. The same
evaluation is asked again about held-out edges whose ends were shuffled (or with shuffled labels); what it says then is
chance, with its spread.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmgraph.audit.findings import Finding
from mmgraph.audit.material import AnyGraph, HeldOut, Material
from mmgraph.audit.questions import Question, make_question
from mmgraph.audit.random_graph import random_graph
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.inference.embed import embed
from mmgraph.inference.table import EmbeddingTable
from mmgraph.progress import track
from mmgraph.seeding import derive_seed
from mmgraph.tasks.controls import smoothed_features
from mmgraph.training.config import PretrainConfig
from mmgraph.training.pretrain import pretrain

Pipeline = Callable[[MultimodalGraph, "CanaryConfig"], EmbeddingTable]
"""Turns the graph that may be seen into embeddings of its nodes."""


def smoothed(graph: MultimodalGraph, config: CanaryConfig) -> EmbeddingTable:
    """Features averaged over neighbours, without training."""
    del config
    return smoothed_features(graph)


def pretrained(graph: MultimodalGraph, config: CanaryConfig) -> EmbeddingTable:
    """The encoder of `config.pretrain`, pre-trained on the graph."""
    with tempfile.TemporaryDirectory(prefix="mmgraph-canary-") as folder, _one_thread():
        run = pretrain([graph], config.pretrain, out=Path(folder, "run"), ppr_cache=Path(folder, "ppr"))
        return embed(run.encoder, graph, device="cpu")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads of torch wait for each other longer than a graph of a few hundred nodes takes to compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def small_pretrain_config(steps: int = 30, seed: int = 0) -> PretrainConfig:
    """Default objectives with a narrow encoder, for graphs of a few hundred nodes."""
    from mmgraph.data.sampling import SamplingConfig
    from mmgraph.nn.encoder import EncoderConfig
    from mmgraph.nn.gnn import GNNConfig
    from mmgraph.nn.moe import MoEConfig
    from mmgraph.training.optim import OptimConfig

    return PretrainConfig(
        seed=seed,
        steps=steps,
        device="cpu",
        accumulate=1,
        encoder=EncoderConfig(dim=32, moe=MoEConfig(num_experts=4), gnn=GNNConfig(conv="sign")),
        sampling=SamplingConfig(batch_size=128),
        optim=OptimConfig(lr=2e-3),
    )


@dataclass(frozen=True)
class CanaryConfig:
    """How the canary is run.

    Attributes:
        num_nodes: Size of the random graph.
        shuffles: How often the evaluation is repeated with shuffled answers.
        width: Half width of the interval around chance, in standard deviations of the shuffled scores; 3.5 gives a
            false alarm in about 2,000 runs.
        seed: Seed of everything.
        pretrain: Training of the encoder.
        pipelines: What is run, by name.
    """

    num_nodes: int = 600
    shuffles: int = 60
    width: float = 3.5
    seed: int = 0
    pretrain: PretrainConfig = field(default_factory=small_pretrain_config)
    pipelines: Mapping[str, Pipeline] = field(
        default_factory=lambda: {"smoothed features": smoothed, "pre-trained encoder": pretrained}
    )

    def __post_init__(self) -> None:
        if self.num_nodes < 50 or self.shuffles < 20:
            raise InputError(
                f"the canary needs num_nodes of at least 50 and 20 shuffles, got {self.num_nodes} and {self.shuffles}"
            )


@dataclass(frozen=True)
class CanaryResult:
    """One pipeline on one task of the random graph.

    Attributes:
        where: The task or split that was imitated.
        pipeline: Name of the pipeline.
        metric: What was measured.
        value: The score.
        low: Lower end of the interval around chance.
        high: Upper end.
        num_asked: Number of rows that were asked.
    """

    where: str
    pipeline: str
    metric: str
    value: float
    low: float
    high: float
    num_asked: int

    @property
    def at_chance(self) -> bool:
        """Whether the score lies within the interval."""
        return self.low <= self.value <= self.high

    def finding(self) -> Finding:
        """What to report if it does not."""
        detail = (
            f"{self.pipeline}: {self.metric} {self.value:.4f} on random data, "
            f"chance lies between {self.low:.4f} and {self.high:.4f}"
        )
        return Finding("canary", self.where, 1, detail)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "at_chance": self.at_chance}


def run_canary(material: Material, config: CanaryConfig) -> list[CanaryResult]:
    """Run every pipeline on an imitation of every task and split of a folder; queries are left out."""
    graph = material.raw or next(iter(material.graphs.values()))
    jobs = [(held, name) for held in _worth_asking(material) for name in config.pipelines]
    results = []
    for held, name in track(jobs, "canary"):
        result = ask(graph, held, config.pipelines[name], name, config)
        if result is not None:
            results.append(result)
    return results


def _worth_asking(material: Material) -> Iterator[HeldOut]:
    """Splits, and tasks that no split of the same name describes better."""
    names = {held.where.split("'")[1] for held in material.held_out if held.method}
    for held in material.of_kind("edge", "interaction", "node"):
        if held.method or held.where.split("'")[1] not in names:
            yield held


def ask(like: AnyGraph, held: HeldOut, pipeline: Pipeline, name: str, config: CanaryConfig) -> CanaryResult | None:
    """Run one pipeline on an imitation of one task.

    Args:
        like: The graph whose shape is taken.
        held: The task or split that is imitated.
        pipeline: What turns the visible graph into embeddings.
        name: Name of the pipeline.
        config: Settings.

    Returns:
        The result; `None` if the shape leaves too few rows to ask about.
    """
    graph = random_graph(like, num_nodes=config.num_nodes, seed=config.seed)
    question: Question | None = make_question(graph, held, seed=config.seed)
    if question is None:
        return None
    answers = question.prepare(pipeline(question.visible, config))
    shuffled = np.array(
        [answers(shuffle=derive_seed(config.seed, "canary", "shuffle", number)) for number in range(config.shuffles)]
    )
    spread = config.width * float(shuffled.std(ddof=1))
    chance = float(shuffled.mean())
    return CanaryResult(
        where=held.where,
        pipeline=name,
        metric=question.metric,
        value=answers(shuffle=None),
        low=chance - spread,
        high=chance + spread,
        num_asked=question.num_asked,
    )
