"""What an objective is, and the forward passes of a batch that objectives share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmgraph.data.batch import GraphBatch
from mmgraph.errors import InputError
from mmgraph.nn.encoder import EncoderOutput, GraphEncoder
from mmgraph.seeding import derive_seed


@dataclass(frozen=True)
class MaskConfig:
    """How the corrupted view of a batch is made.

    Attributes:
        node_rate: Share of the nodes with content whose modalities are all masked. UniGraph2's code has 0.1,
            GraphMAE and GraphMAE2 0.5.
        modality_rate: Share of the other (node, modality) pairs that are masked one by one.
    """

    node_rate: float = 0.5
    modality_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("node_rate", "modality_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"mask.{name} must lie in 0..1, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class MaskedView:
    """The encoder's output on a corrupted batch.

    Attributes:
        masked: For each modality `[num_nodes]`, bool: present rows that were hidden from the encoder.
        output: What the encoder made of the rest.
    """

    masked: Mapping[str, Tensor]
    output: EncoderOutput


class BatchViews:
    """The forward passes of one batch. Each is computed when an objective first asks, and only once.

    Args:
        encoder: The model that is trained.
        batch: Sampled part of one graph.
        mask: How to corrupt it.
        seed: Already specific to this batch; random choices are keyed by purpose, so that adding an objective
            does not change what the others draw.
    """

    def __init__(self, encoder: GraphEncoder, batch: GraphBatch, *, mask: MaskConfig, seed: int) -> None:
        self.encoder = encoder
        self.batch = batch
        self.mask = mask
        self.seed = seed

    def generator(self, purpose: str) -> torch.Generator:
        """Generator for one purpose, on the batch's device."""
        device = self.batch.node_index.device
        return torch.Generator(device=device).manual_seed(derive_seed(self.seed, purpose))

    @cached_property
    def clean(self) -> EncoderOutput:
        """Output with every modality that is present."""
        return self.encode()

    @cached_property
    def masked(self) -> MaskedView:
        """Output with some modalities hidden."""
        masked = draw_masks(self.batch, self.mask, self.generator("mask"))
        return MaskedView(masked, self.encode(masked=masked))

    def encode(self, *, masked: Mapping[str, Tensor] | None = None) -> EncoderOutput:
        """Run the encoder on the batch, with some rows hidden by modality."""
        output: EncoderOutput = self.encoder(
            self.batch.features, self.batch.edge_index, masked=masked, num_nodes=self.batch.num_nodes
        )
        return output

    def outputs(self) -> list[EncoderOutput]:
        """All outputs that were computed so far."""
        found = [self.__dict__["clean"]] if "clean" in self.__dict__ else []
        return found + ([self.__dict__["masked"].output] if "masked" in self.__dict__ else [])


def draw_masks(batch: GraphBatch, config: MaskConfig, generator: torch.Generator) -> dict[str, Tensor]:
    """Choose what to hide: whole nodes first, then single modalities of the others.

    Returns:
        For each modality `[num_nodes]`, bool, true only where the modality is present.
    """
    device = batch.node_index.device
    node = torch.rand(batch.num_nodes, generator=generator, device=device) < config.node_rate
    masked = {}
    for modality, features in batch.features.items():
        single = torch.rand(batch.num_nodes, generator=generator, device=device) < config.modality_rate
        masked[modality] = (node | single) & features.present
    return masked


class Objective(nn.Module, ABC):
    """A self-supervised loss on a batch.

    To add one: write a file with a config (a frozen dataclass with a `weight`) and a subclass, and give it a field
    in `ObjectivesConfig`.
    """

    name: ClassVar[str]

    @abstractmethod
    def forward(self, views: BatchViews) -> Tensor:
        """Loss of one batch, a scalar in float32; zero (with a graph) where the batch has nothing to learn from."""


def scaled_cosine_error(prediction: Tensor, target: Tensor, *, gamma: float) -> Tensor:
    """Scaled cosine error, `(1 - cos)^gamma` [1, equation 2], mean over rows, in float32.

    Args:
        prediction: `[num_rows, dim]`.
        target: `[num_rows, dim]`; rows of length zero count as cosine 0.
        gamma: Power; 2 in UniGraph2.

    References:
        [1] Hou et al., 2022, GraphMAE: Self-Supervised Masked Graph Autoencoders, arXiv:2205.10803.
    """
    cosine = nn.functional.cosine_similarity(prediction.float(), target.float(), dim=1)
    # Rounding can push a cosine above 1, and a negative base has no gradient for fractional powers.
    return (1.0 - cosine).clamp(min=0.0).pow(gamma).mean()
