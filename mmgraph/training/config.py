"""Settings of a pre-training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mmgraph.data.sampling import SamplingConfig
from mmgraph.errors import InputError, unknown_choice
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.objectives.base import MaskConfig
from mmgraph.objectives.mix import ObjectivesConfig
from mmgraph.training.optim import OptimConfig


@dataclass(frozen=True)
class DomainsConfig:
    """How several graphs share the batches of a run.

    Attributes:
        weights: Weight of each graph by name; graphs that are not named get a weight of 1. Empty: by size.
        exponent: Without weights, a graph is drawn in proportion to its number of nodes to this power:
            1 follows the sizes, 0 treats all graphs alike.
    """

    weights: dict[str, float] = field(default_factory=dict)
    exponent: float = 0.5

    def __post_init__(self) -> None:
        if self.exponent < 0:
            raise InputError(f"domains.exponent must not be negative, got {self.exponent}")
        for name, weight in self.weights.items():
            if weight < 0:
                raise InputError(f"domains.weights: the weight of {name!r} must not be negative, got {weight}")

    def shares(self, sizes: Mapping[str, int]) -> list[float]:
        """Probability of each graph, in the order of `sizes`.

        Raises:
            InputError: If a weight names an unknown graph, or all weights are 0.
        """
        for name in self.weights:
            if name not in sizes:
                raise unknown_choice("graph in domains.weights", name, sizes)
        raw = [self.weights.get(name, 1.0) if self.weights else size**self.exponent for name, size in sizes.items()]
        if sum(raw) <= 0:
            raise InputError("domains.weights: at least one weight must be above 0, got 0 for all")
        return [weight / sum(raw) for weight in raw]


@dataclass(frozen=True)
class PretrainConfig:
    """Self-supervised pre-training on one or several graphs. The defaults are the preset `mmgraph` at laptop size.

    Attributes:
        steps: Number of optimiser steps.
        accumulate: Batches per optimiser step; each comes from one graph, drawn by `domains`.
        seed: Seed of everything random.
        device: `auto` takes a GPU if there is one.
        precision: `bf16` runs the model under autocast; losses stay in float32.
        save_every: Steps between checkpoints.
        log_every: Steps between lines in `metrics.jsonl`.
        encoder: The model.
        sampling: How batches are cut out of the graphs.
        mask: What is hidden from the encoder.
        objectives: What is learnt.
        domains: How the graphs share the batches.
        optim: Optimiser and schedule.
    """

    steps: int = 600
    accumulate: int = 2
    seed: int = 0
    device: str = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    save_every: int = 100
    log_every: int = 10
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    objectives: ObjectivesConfig = field(default_factory=ObjectivesConfig)
    domains: DomainsConfig = field(default_factory=DomainsConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        conv, kind = self.encoder.gnn.conv, self.sampling.kind
        if (conv == "sign") != (kind == "nodes"):
            expected = "'nodes'" if conv == "sign" else "'ppr' or 'neighbor'"
            raise InputError(f"sampling.kind must be {expected} for encoder.gnn.conv {conv!r}, got {kind!r}")


def check_names(names: Sequence[str]) -> None:
    """Refuse no graph at all, and two graphs of one name.

    Raises:
        InputError: Names the duplicate.
    """
    if not names:
        raise InputError("pre-training needs at least one graph, got none")
    for name in names:
        if list(names).count(name) > 1:
            raise InputError(f"graphs must have distinct names, got {name!r} twice")
