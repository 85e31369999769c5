"""node2vec: nodes that meet on random walks get similar vectors. Reads edges alone."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding, softplus

from mmgraph.baselines.base import check_above_zero, check_at_least
from mmgraph.baselines.loop import simple_edges
from mmgraph.data.csr import CSR
from mmgraph.data.graph import MultimodalGraph
from mmgraph.progress import track
from mmgraph.seeding import derive_seed, generator


@dataclass(frozen=True)
class Node2VecConfig:
    """Settings of node2vec.

    Attributes:
        dim: Width of the embeddings.
        steps: Optimiser steps; 0 leaves the vectors as they were drawn.
        learning_rate: Learning rate of Adam.
        batch_size: Walks per step, from random nodes that have a neighbour.
        walk_length: Nodes per walk.
        window: Nodes of a walk that are at most so far apart are pairs.
        p: Return parameter; below 1, walks turn back more.
        q: In-out parameter; below 1, walks go further away. With both 1 this is DeepWalk with negative sampling.
        num_negatives: Weight of the negatives, as so many per pair.
        negatives_per_step: Random nodes that all pairs of a step share as negatives.
    """

    dim: int = 128
    steps: int = 600
    learning_rate: float = 0.01
    batch_size: int = 512
    walk_length: int = 20
    window: int = 5
    p: float = 1.0
    q: float = 1.0
    num_negatives: int = 5
    negatives_per_step: int = 256

    def __post_init__(self) -> None:
        for name, least in (("dim", 1), ("steps", 0), ("batch_size", 1), ("walk_length", 2), ("window", 1)):
            check_at_least(name, getattr(self, name), least)
        for name in ("num_negatives", "negatives_per_step"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("learning_rate", "p", "q"):
            check_above_zero(name, getattr(self, name))


def fit_node2vec(
    graph: MultimodalGraph,
    config: Node2VecConfig,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    progress: bool = True,
    max_seconds: float | None = None,
) -> tuple[Tensor, list[float]]:
    """Learn vectors by skip-gram with negative sampling [2] on biased walks [1].

    A node has a vector as a centre and another as a context, as in word2vec; the first is returned. Negatives are drawn
    in proportion to degree^0.75. Nodes without neighbours get zero: nothing is known of them.

    Args:
        graph: Gives the edges.
        config: Settings.
        seed: Seed of vectors, walks and negatives.
        device: Where the vectors are trained; walks are drawn on the CPU.
        progress: Show a progress bar.
        max_seconds: Start no step after so many seconds; the result then depends on the machine.

    Returns:
        Vectors `[num_nodes, dim]`, float32, and the loss of each step.

    References:
        [1] Grover and Leskovec, 2016, node2vec: Scalable Feature Learning for Networks, arXiv:1607.00653.
        [2] Mikolov et al., 2013, Distributed Representations of Words and Phrases, arXiv:1310.4546.
    """
    from mmgraph.baselines.walks import random_walks

    csr = CSR.from_edges(simple_edges(graph).cpu(), graph.num_nodes)
    linked = torch.nonzero(csr.degrees).flatten()
    random = generator(seed, "node2vec")
    centre = (torch.rand(graph.num_nodes, config.dim, generator=random) - 0.5) / config.dim
    centre = centre.to(device).requires_grad_()
    context = torch.zeros_like(centre, requires_grad=True)
    optimizer = torch.optim.Adam([centre, context], lr=config.learning_rate)
    frequency = csr.degrees.double().pow(0.75)
    losses, start = [], time.monotonic()
    steps = range(config.steps if linked.numel() else 0)
    for step in track(steps, "node2vec") if progress else steps:
        if max_seconds is not None and time.monotonic() - start > max_seconds:
            break
        random = generator(seed, "node2vec", step)
        starts = linked[torch.randint(linked.numel(), (config.batch_size,), generator=random)]
        walks = random_walks(
            csr.indptr.numpy(),
            csr.indices.numpy(),
            starts.numpy(),
            config.walk_length,
            float(config.p),
            float(config.q),
            np.uint64(derive_seed(seed, "walks", step)),
        )
        negatives = torch.multinomial(frequency, config.negatives_per_step, replacement=True, generator=random)
        loss = skip_gram_loss(centre, context, torch.from_numpy(walks).to(device), negatives.to(device), config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.detach())
    vectors = centre.detach() * (csr.degrees > 0).unsqueeze(1).to(device)
    return vectors, torch.stack(losses).tolist() if losses else []


def skip_gram_loss(centre: Tensor, context: Tensor, walks: Tensor, negatives: Tensor, config: Node2VecConfig) -> Tensor:
    """Mean over pairs of `-log sigmoid(u_c . v_o)` plus the mean over negatives of `-log sigmoid(-u_c . v_n)` times k.

    Args:
        centre: `u`, `[num_nodes, dim]`.
        context: `v`, `[num_nodes, dim]`.
        walks: `[num_walks, walk_length]`, int64; pairs are within `config.window`, a node is no pair with itself.
        negatives: `[num_negatives]`, int64, shared by all pairs.
        config: Gives `window` and `k = num_negatives`.
    """
    inner, outer = embedding(walks, centre), embedding(walks, context)
    place = torch.arange(walks.size(1), device=walks.device)
    near = (place.unsqueeze(0) - place.unsqueeze(1)).abs() <= config.window
    pairs = near & (walks.unsqueeze(1) != walks.unsqueeze(2))  # [num_walks, walk_length, walk_length]
    found = softplus(-(inner @ outer.transpose(1, 2))[pairs]).mean()
    noise = softplus(inner.flatten(0, 1) @ embedding(negatives, context).t()).mean()
    return found + config.num_negatives * noise
