"""What an objective is, and the forward passes of a batch that objectives share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmgraph.data.features import ModalityFeatures
from mmgraph.distributed import LOCAL, Ranks
from mmgraph.errors import InputError
from mmgraph.nn.encoder import EncoderOutput
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


@dataclass(frozen=True, eq=False)
class LinkView:
    """Ends of some edges, embedded without the edge itself.

    Attributes:
        source: `[num_pairs, dim]`.
        target: `[num_pairs, dim]`.
        candidates: `[num_candidates, dim]`: nodes to tell the right end from.
        is_negative: For the queries `source` and `target` in turn, `[num_pairs, num_candidates + num_more]` bool:
            candidates of the other end's type that have no edge with the query and are not the query itself.
        nodes: `[2, num_pairs]`: positions of both ends.
        candidate_nodes: `[num_candidates]`: positions of the candidates.
        weight: Of a mean over the pairs, which are those of this rank; candidates are those of all ranks.
    """

    source: Tensor
    target: Tensor
    candidates: Tensor
    is_negative: tuple[Tensor, Tensor]
    nodes: Tensor
    candidate_nodes: Tensor
    weight: float = 1.0


class BatchViews(ABC):
    """The forward passes of one batch of one graph. Each is computed when an objective first asks, and only once.

    Attributes:
        graph_name: Name of the graph, the domain of the batch.
        node_index: `[num_rows]`: positions in the graph of the rows of `clean`; the first `num_seeds` are the seeds.
        num_seeds: Number of seeds.
        features: Features of the rows by modality.
        mask: How a corrupted view is made.
        seed: Already specific to this batch; random choices are keyed by purpose, so that adding an objective
            does not change what the others draw.
        ranks: Who shares the rows. `clean` and `masked` have all rows on every rank, `reduced` has those that it is asked
            for, `links` the pairs of this rank.
    """

    graph_name: str
    node_index: Tensor
    num_seeds: int
    features: Mapping[str, ModalityFeatures]
    mask: MaskConfig
    seed: int
    ranks: Ranks = LOCAL

    def generator(self, purpose: str) -> torch.Generator:
        """Generator for one purpose, on the batch's device."""
        return torch.Generator(device=self.node_index.device).manual_seed(derive_seed(self.seed, purpose))

    @cached_property
    def clean(self) -> EncoderOutput:
        """Output with every modality that is present."""
        return self.encode()

    @cached_property
    def masked(self) -> MaskedView:
        """Output with some modalities hidden."""
        masked = draw_masks(self.features, self.node_index.numel(), self.mask, self.generator("mask"))
        return MaskedView(masked, self.encode(masked=masked))

    def outputs(self) -> list[EncoderOutput]:
        """All outputs that were computed so far."""
        found = [self.__dict__["clean"]] if "clean" in self.__dict__ else []
        return found + ([self.__dict__["masked"].output] if "masked" in self.__dict__ else [])

    @abstractmethod
    def encode(self, *, masked: Mapping[str, Tensor] | None = None) -> EncoderOutput:
        """Run the encoder on the rows, with some of them hidden by modality."""

    @abstractmethod
    def reduced(self, rows: Tensor, shown: Mapping[str, Tensor], *, alone: bool) -> Tensor:
        """Embeddings of some rows that show less than they have, `[num_rows, dim]`.

        Args:
            rows: `[num_rows]`: rows of the batch.
            shown: By modality, `[num_rows]` bool: what each shows of itself.
            alone: Without any neighbours.
        """

    @abstractmethod
    def levels(self) -> list[Tensor]:
        """What propagation without training makes of the seeds: `[num_seeds, dim]` per level, the node itself first."""

    @abstractmethod
    def links(self, count: int, exponent: float, *, cold: float, more: Tensor) -> LinkView | None:
        """Draw edges and embed their ends without them; none if the batch has no edge.

        Args:
            count: Number of edges at most.
            exponent: A relation is drawn in proportion to its number of edges to this power.
            cold: Share of the pairs whose source is seen without any neighbours.
            more: `[num_more]`: positions of further candidates, of which only the caller has embeddings.
        """

    @abstractmethod
    def distances(self, cutoff: int, num_sources: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pairs of rows and the hops between them.

        Args:
            cutoff: Anything further, or unreachable, counts as `cutoff + 1`.
            num_sources: Random nodes from which distances are measured.
            generator: Source of randomness.

        Returns:
            Pairs `[2, num_pairs]` and their distances `[num_pairs]` in `1 .. cutoff + 1`.
        """


def draw_masks(
    features: Mapping[str, ModalityFeatures], num_nodes: int, config: MaskConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """Choose what to hide: whole nodes first, then single modalities of the others.

    Returns:
        For each modality `[num_nodes]`, bool, true only where the modality is present.
    """
    device = generator.device
    node = torch.rand(num_nodes, generator=generator, device=device) < config.node_rate
    masked = {}
    for modality, item in features.items():
        single = torch.rand(num_nodes, generator=generator, device=device) < config.modality_rate
        masked[modality] = (node | single) & item.present
    return masked


class Objective(nn.Module, ABC):
    """A self-supervised loss on a batch.

    To add one: write a file with a config (a frozen dataclass with a `weight`) and a subclass, and give it a field
    in `ObjectivesConfig`.
    """

    name: ClassVar[str]

    @abstractmethod
    def forward(self, views: BatchViews) -> Tensor:
        """Loss of one batch, a scalar in float32; zero (with a graph) where the batch has nothing to learn from.

        With several ranks, their mean is the loss of the batch: of a mean over rows each takes its part of the rows
        (`views.ranks.part`) and multiplies by the weight of the part. What is random is drawn for all rows.
        """


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


def unit(x: Tensor) -> Tensor:
    """Rows of unit length in float32, rows of zeros as they are: `[num_rows, dim]`."""
    return nn.functional.normalize(x.float(), dim=1, eps=1e-6)
