"""A job in small: every phase of it, on a synthetic graph of the same density and widths, through the code that users run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import torch

from mmgraph.data.csr import CSR
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ppr import PPRConfig, ppr_top_k
from mmgraph.data.sampling import SamplingConfig
from mmgraph.data.store import load_graph, save_graph
from mmgraph.export.base import write_table
from mmgraph.inference.embed import embed
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.build import Encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.planning.clock import Spent, spent
from mmgraph.planning.workload import Model, Workload
from mmgraph.synthetic.planted import planted_graph
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedModality, PlantedRelation
from mmgraph.training.config import PretrainConfig
from mmgraph.training.optim import build_optimizer
from mmgraph.training.pretrain import PretrainStep, build_step

PPR_SEEDS = 256
STEPS = 2
"""Optimiser steps that are timed, after one that is not; the least counts."""
REPEATS = 3
"""How often a phase is done at most where it can be done again."""
CENTRES = 4
"""Least width of a synthetic modality: the number of values that it shows."""


def trial_graph(job: Workload, seed: int = 0) -> MultimodalGraph:
    """A synthetic graph of the size and shape of the job."""
    modalities = tuple(PlantedModality(f.modality, ("colour",), max(f.dim, CENTRES)) for f in job.features)
    per_node = job.edges_per_node
    relations = (
        PlantedRelation("similar", 0.8 * per_node),
        PlantedRelation("noise", 0.2 * per_node, factors=(), symmetric=False),
    )
    half = all(feature.dtype != "fp32" for feature in job.features)
    config = PlantedConfig(
        num_nodes=job.nodes,
        modalities=modalities,
        relations=relations,
        degree_exponent=2.5,
        ids="strings",
        dtype="float16" if half else "float32",
    )
    return planted_graph(config, seed).graph


def training_config(model: Model, dim: int, steps: int = 600) -> PretrainConfig:
    """Settings that a plan assumes: the defaults, or two layers over sampled neighbours."""
    config = PretrainConfig(steps=steps, device="cpu", encoder=EncoderConfig(dim=dim))
    if model == "sign":
        return config
    gnn = GNNConfig(conv="sage", num_layers=2)
    sampling = SamplingConfig(kind="neighbor", batch_size=config.sampling.batch_size, fanouts=(10, 5))
    return replace(config, encoder=replace(config.encoder, gnn=gnn), sampling=sampling)


def run_trial(job: Workload, folder: Path) -> dict[str, Spent]:
    """Seconds of every phase that depends on the size of the graph.

    Args:
        job: A job that is small enough to be run.
        folder: Empty folder for what is written.

    Returns:
        By phase: `build`, `open`, `csr`, `ppr` (of `PPR_SEEDS` seeds), `prepare`, `round` (blocks of a graph from which
        edges are held out; `sign` only), `step`, `embed`, `export`, `index`.
    """
    made = trial_graph(job)
    places = (folder / str(number) for number in count())  # each repetition writes somewhere else
    found = {"build": spent(lambda: save_graph(made, next(places)), repeats=REPEATS)}
    found["open"] = spent(lambda: load_graph(folder / "0"), repeats=REPEATS)
    graph = load_graph(folder / "0", verify=False)
    edge_index, edge_type = graph.message_edges()
    found["csr"] = spent(lambda: CSR.from_edges(edge_index, graph.num_nodes, edge_type), repeats=REPEATS)
    if job.ppr:
        csr = CSR.from_edges(edge_index, graph.num_nodes, edge_type)
        seeds = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(0))[:PPR_SEEDS]
        ppr_top_k(csr, seeds[:2], PPRConfig())  # compiles
        found["ppr"] = spent(lambda: ppr_top_k(csr, seeds, PPRConfig()), repeats=REPEATS)
    encoder, times = _train(job, graph, folder / "ppr")
    found |= times
    found["embed"] = spent(lambda: embed(encoder, graph), repeats=REPEATS)
    vectors = torch.randn(graph.num_nodes, job.dim, generator=torch.Generator().manual_seed(0))
    table = EmbeddingTable.for_graph(graph, vectors, model="trial")
    found["export"] = spent(lambda: write_table(table, next(places).with_suffix(".parquet")), repeats=REPEATS)
    if job.index != "none":
        found["index"] = spent(lambda: write_table(table, folder / "index", format=job.index))
    return found


def _train(job: Workload, graph: MultimodalGraph, cache: Path) -> tuple[Encoder, Mapping[str, Spent]]:
    config = training_config(job.model, job.dim, STEPS + 1)
    made: list[PretrainStep] = []
    found = {"prepare": spent(lambda: made.append(build_step(config, [graph], cache=cache)))}
    step = made[0]
    encoder, source = step.encoder, step.sources[graph.name]
    every = config.sampling.refresh_every
    if job.model == "sign":
        # The first batch of a round computes the blocks, the next one uses them.
        pairs = [[spent(partial(source.views, every * k + offset, 0)) for offset in (0, 1)] for k in (1, 2)]
        found["round"] = Spent(
            max(min(one.cpu - other.cpu for one, other in pairs), 0.0),
            max(min(one.wall - other.wall for one, other in pairs), 0.0),
        )
    optimizer = build_optimizer(step.modules, config.optim)

    def train(number: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        step(number)
        torch.nn.utils.clip_grad_norm_(
            [p for part in step.modules.values() for p in part.parameters()], config.optim.clip
        )
        optimizer.step()

    encoder.train()
    train(0)
    times = [spent(partial(train, number)) for number in range(1, STEPS + 1)]
    found["step"] = Spent(min(one.cpu for one in times), min(one.wall for one in times))
    return encoder.eval(), found
