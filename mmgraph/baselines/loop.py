"""Train a `SelfSupervised` model on one graph, whole or in sampled subgraphs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from mmgraph.baselines.base import NetworkConfig, SelfSupervised
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.sampling import NeighborSampler
from mmgraph.progress import track
from mmgraph.seeding import derive_seed, generator


def simple_edges(graph: MultimodalGraph) -> Tensor:
    """Edges of all relations in both directions, each once, without self-loops: `[2, num_edges]`, sorted."""
    source, target = graph.message_edges()[0]
    keys = torch.unique((source * graph.num_nodes + target)[source != target])
    return torch.stack([keys // graph.num_nodes, keys % graph.num_nodes])


class Subgraphs:
    """Draws what a step is trained on: the whole graph if it is small, else a subgraph around random seeds.

    Nodes of a subgraph are seeds and neighbours drawn hop by hop, its edges are all edges among them, and all of its
    nodes enter the loss, as in GraphMAE2's training on local clusters. Nodes with many neighbours come up more often.

    Args:
        graph: The graph.
        x: Features, `[num_nodes, in_dim]`.
        config: Sizes.
        seed: Seed of the draws; a draw depends on it and the step alone.
    """

    def __init__(self, graph: MultimodalGraph, x: Tensor, config: NetworkConfig, *, seed: int) -> None:
        self.x, self.edge_index = x, simple_edges(graph).to(x.device)
        self.config, self.seed = config, seed
        self.sampler: NeighborSampler | None = None
        if graph.num_nodes > config.full_batch_up_to:
            bare = replace(graph, features={}, columns=None)  # features are taken from `x`
            self.sampler = NeighborSampler(bare, config.fanouts)

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Features `[n, in_dim]` and edges `[2, m]` of a step."""
        if self.sampler is None:
            return self.x, self.edge_index
        random = generator(self.seed, "subgraph", step)
        seeds = torch.randperm(self.x.size(0), generator=random)[: self.config.batch_size]
        nodes = self.sampler.sample(seeds, random).node_index.to(self.x.device)
        position = torch.full((self.x.size(0),), -1, dtype=torch.int64, device=self.x.device)
        position[nodes] = torch.arange(nodes.numel(), device=self.x.device)
        local = position[self.edge_index]
        return self.x[nodes], local[:, (local >= 0).all(dim=0)]


def rate(config: NetworkConfig, step: int) -> float:
    """Factor of the learning rate at a step, in [0, 1]: linear warm-up, then constant or half a cosine."""
    warm = config.warmup * config.steps
    if step < warm:
        return (step + 1) / (warm + 1)
    if not config.cosine or config.steps == 0:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - warm) / (config.steps - warm)))


def train(
    model: SelfSupervised,
    subgraphs: Subgraphs,
    config: NetworkConfig,
    *,
    title: str,
    progress: bool = True,
    max_seconds: float | None = None,
) -> list[float]:
    """Take the steps of a configuration with Adam and return the loss of each.

    Args:
        model: What is trained, in place.
        subgraphs: Where a step gets its graph.
        config: Length and learning rate.
        title: Of the progress bar.
        progress: Show it.
        max_seconds: Start no step after so many seconds; the result then depends on the machine.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(config, step))
    losses, start = [], time.monotonic()
    steps = range(config.steps)
    for step in track(steps, title) if progress else steps:
        if max_seconds is not None and time.monotonic() - start > max_seconds:
            break
        model.train()
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(*subgraphs.draw(step))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        model.after_step((step + 1) / config.steps)
        losses.append(loss.detach())
    return torch.stack(losses).tolist() if losses else []


def fit_network(
    build: Callable[[int], SelfSupervised],
    graph: MultimodalGraph,
    x: Tensor,
    config: NetworkConfig,
    *,
    seed: int,
    title: str,
    progress: bool = True,
    max_seconds: float | None = None,
) -> tuple[Tensor, list[float]]:
    """Build a model, train it on a graph and embed all nodes; torch's global generator is left as it was.

    Args:
        build: Makes the model from the width of the features.
        graph: Gives the edges.
        x: Features, `[num_nodes, in_dim]`, entries near 1 in size.
        config: Length of training.
        seed: Seed of parameters, noise and subgraphs.
        title: Name of the method.
        progress: Show a progress bar.
        max_seconds: See `train`.

    Returns:
        Vectors `[num_nodes, dim]`, float32, and the loss of each step.
    """
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(derive_seed(seed, "baseline", title))
        model = build(x.size(1)).to(x.device)
        subgraphs = Subgraphs(graph, x, config, seed=seed)
        losses = train(model, subgraphs, config, title=title, progress=progress, max_seconds=max_seconds)
        return model.embed(x, subgraphs.edge_index).float(), losses
