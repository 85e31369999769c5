"""What the baselines that train a graph network share: settings, and a model that has a loss on a graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmgraph.data.sampling import check_fanouts
from mmgraph.errors import InputError


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network and length of training. There is no seed here: one configuration, many seeds.

    Attributes:
        dim: Width of the embeddings.
        num_layers: Graph layers of the encoder.
        steps: Optimiser steps; 0 leaves the network as it was drawn, the control of the method.
        learning_rate: Highest learning rate of Adam.
        weight_decay: Weight decay of Adam.
        warmup: Share of the steps over which the learning rate rises from 0.
        cosine: After that, let it fall to 0 along half a cosine; otherwise it stays.
        full_batch_up_to: Graphs with more nodes than this are trained on sampled subgraphs.
        batch_size: Seeds of a sampled subgraph.
        fanouts: Neighbours drawn per node and hop around the seeds.
    """

    dim: int = 256
    num_layers: int = 2
    steps: int = 200
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.0
    cosine: bool = False
    full_batch_up_to: int = 20_000
    batch_size: int = 256
    fanouts: tuple[int, ...] = (5, 5)

    def __post_init__(self) -> None:
        for name, least in (("dim", 1), ("num_layers", 1), ("steps", 0), ("full_batch_up_to", 0), ("batch_size", 1)):
            check_at_least(name, getattr(self, name), least)
        check_above_zero("learning_rate", self.learning_rate)
        check_at_least("weight_decay", self.weight_decay, 0)
        check_share("warmup", self.warmup)
        check_fanouts(self.fanouts)


def check_at_least(name: str, value: float, least: float) -> None:
    """Refuse a number below `least`.

    Raises:
        InputError: Names the setting.
    """
    if not value >= least:
        raise InputError(f"{name} must be at least {least}, got {value}")


def check_above_zero(name: str, value: float) -> None:
    """Refuse zero and below.

    Raises:
        InputError: Names the setting.
    """
    if not value > 0:
        raise InputError(f"{name} must be above 0, got {value}")


def check_share(name: str, value: float) -> None:
    """Refuse what is not in `[0, 1)`.

    Raises:
        InputError: Names the setting.
    """
    if not 0 <= value < 1:
        raise InputError(f"{name} must be at least 0 and below 1, got {value}")


class SelfSupervised(nn.Module, ABC):
    """An encoder with a loss that needs no labels.

    Parameters and everything random are drawn from torch's global generator: `fit_network` seeds it.
    """

    encoder: nn.Module
    unit_rows: ClassVar[bool] = False
    """Whether raw features enter with rows of unit norm; otherwise their entries are near 1 in size."""
    takes_sparse: ClassVar[bool] = False
    """Whether features may be a sparse tensor (COO), as bags of words are; products with them cost far less."""

    @abstractmethod
    def loss(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Loss on a graph, a scalar.

        Args:
            x: Features, `[num_nodes, in_dim]`.
            edge_index: `[2, num_edges]`, int64, both directions of every edge, no self-loops.
        """

    def after_step(self, share: float) -> None:
        """Do what follows an optimiser step; `share` in (0, 1] says how much of the training is done."""

    @torch.no_grad()
    def embed(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Vectors of all nodes without noise, `[num_nodes, dim]`."""
        self.eval()
        vectors: Tensor = self.encoder(x, edge_index)
        return vectors
