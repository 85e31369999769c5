"""All baselines by name, and one function that fits any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgraph.baselines.base import NetworkConfig, SelfSupervised
from mmgraph.baselines.bgrl import BGRL, BGRLConfig
from mmgraph.baselines.dgi import DGI, DGIConfig
from mmgraph.baselines.grace import GRACE, GRACEConfig
from mmgraph.baselines.graphmae import GraphMAE, GraphMAEConfig
from mmgraph.baselines.graphmae2 import GraphMAE2, GraphMAE2Config
from mmgraph.baselines.loop import fit_network
from mmgraph.baselines.node2vec import Node2VecConfig, fit_node2vec
from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, unknown_choice
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.controls import raw_features

BaselineConfig = NetworkConfig | Node2VecConfig


@dataclass(frozen=True)
class Baseline:
    """One method.

    Attributes:
        config: Class of its settings; the defaults are what `fit_baseline` takes.
        model: Class of its network, built from the width of the features and the settings; none for node2vec.
    """

    config: type[Any]
    model: type[SelfSupervised] | None = None


BASELINES: Mapping[str, Baseline] = {
    "dgi": Baseline(DGIConfig, DGI),
    "grace": Baseline(GRACEConfig, GRACE),
    "bgrl": Baseline(BGRLConfig, BGRL),
    "graphmae": Baseline(GraphMAEConfig, GraphMAE),
    "graphmae2": Baseline(GraphMAE2Config, GraphMAE2),
    "node2vec": Baseline(Node2VecConfig),
}


def baseline_features(graph: MultimodalGraph, *, unit_rows: bool = False) -> Tensor:
    """Raw features times the root of their width, `[num_nodes, sum of dims]`: entries near 1, as layers expect.

    Args:
        graph: The graph.
        unit_rows: Leave out the root: each present modality of a row has norm 1.

    Raises:
        InputError: If the graph has no features.
    """
    if not graph.features:
        raise InputError(f"graph {graph.name!r} has no features; of the baselines only 'node2vec' needs none")
    x = raw_features(graph).vectors
    return x if unit_rows else x.mul_(x.size(1) ** 0.5)


def fit_baseline(
    name: str,
    graph: MultimodalGraph,
    *,
    seed: int,
    config: BaselineConfig | None = None,
    x: Tensor | None = None,
    progress: bool = True,
    max_seconds: float | None = None,
) -> EmbeddingTable:
    """Train a baseline on one graph, from its features and edges alone, and embed all nodes.

    Messages flow along all relations in both directions. Training runs on the device of the graph; repeated with the
    same seed on a CPU it gives the same bits. With `steps=0` in the configuration it is the untrained network.

    Args:
        name: One of `BASELINES`.
        graph: The graph, without anything held out.
        seed: Seed of everything random.
        config: Settings of the method, its defaults if not given.
        x: Features `[num_nodes, in_dim]` in place of `baseline_features(graph)`, dense or sparse (COO); not for `node2vec`.
        progress: Show a progress bar.
        max_seconds: Start no step after so many seconds; the result then depends on the machine.

    Returns:
        A table with the name of the method as its model.

    Raises:
        InputError: If the method is unknown, the settings are of another method, the graph has no features although
            the method needs them, `x` has another number of rows, or there are fewer than two nodes.

    Example:
        >>> table = fit_baseline("grace", graph, seed=0)  # doctest: +SKIP
    """
    return fit_with_losses(name, graph, seed=seed, config=config, x=x, progress=progress, max_seconds=max_seconds)[0]


def fit_with_losses(
    name: str,
    graph: MultimodalGraph,
    *,
    seed: int,
    config: BaselineConfig | None = None,
    x: Tensor | None = None,
    progress: bool = True,
    max_seconds: float | None = None,
) -> tuple[EmbeddingTable, list[float]]:
    """As `fit_baseline`, with the loss of each step."""
    if name not in BASELINES:
        raise unknown_choice("baseline", name, BASELINES)
    method = BASELINES[name]
    config = config or method.config()
    if type(config) is not method.config:  # an instance is not enough: GraphMAE2's settings extend GraphMAE's
        raise InputError(f"baseline {name!r}: expected {method.config.__name__}, got {type(config).__name__}")
    if graph.num_nodes < 2:
        raise InputError(f"baseline {name!r}: graph {graph.name!r} must have at least 2 nodes, got {graph.num_nodes}")
    model = method.model
    if isinstance(config, Node2VecConfig):
        if x is not None:
            raise InputError(f"baseline {name!r} reads edges alone: expected no features, got {list(x.shape)}")
        vectors, losses = fit_node2vec(
            graph, config, seed=seed, device=graph.device, progress=progress, max_seconds=max_seconds
        )
    else:
        assert model is not None
        x = baseline_features(graph, unit_rows=model.unit_rows) if x is None else _checked(name, graph, x)
        if x.is_sparse and not (model.takes_sparse and graph.num_nodes <= config.full_batch_up_to):
            x = x.to_dense()
        vectors, losses = fit_network(
            lambda width: model(width, config),
            graph,
            x,
            config,
            seed=seed,
            title=name,
            progress=progress,
            max_seconds=max_seconds,
        )
    return EmbeddingTable.for_graph(graph, vectors, model=name), losses


def _checked(name: str, graph: MultimodalGraph, x: Tensor) -> Tensor:
    if x.dim() != 2 or x.size(0) != graph.num_nodes or x.dtype != torch.float32:
        raise InputError(
            f"baseline {name!r}: x must be float32 [{graph.num_nodes}, in_dim], got {x.dtype} {list(x.shape)}"
        )
    return x.to(graph.device)
