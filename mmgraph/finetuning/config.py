"""Settings of a fine-tuning run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mmgraph.errors import InputError, unknown_choice
from mmgraph.training.optim import OptimConfig

Mode = Literal["frozen", "adapter", "full"]
Init = Literal["run", "untrained", "random"]
ValueLoss = Literal["huber", "squared"]
DecoderName = Literal["cosine", "relation", "mlp"]


def _default_optim() -> OptimConfig:
    return OptimConfig(lr=1e-3, weight_decay=1e-4, warmup=0.05, final_lr=0.1)


@dataclass(frozen=True)
class FinetuneConfig:
    """What is trained, how long, and what decides when to stop.

    Attributes:
        mode: `frozen` trains the head alone; `adapter` also low-rank corrections of the encoder's linear layers;
            `full` everything.
        init: Where the encoder starts: `run`, as it was pre-trained; `untrained`, at smoothed features; `random`.
        steps: Most optimiser steps.
        batch_size: Labelled nodes, edges or queries per step.
        eval_every: Steps between looks at validation data, the first before any step.
        patience: Stop after so many looks in a row without a better score. Test data plays no part.
        encoder_lr: Learning rate of the encoder as a share of the head's.
        rank: Rank of the adapters.
        hidden: Width of a hidden layer in the head of node tasks; 0 for a linear head.
        dropout: Dropout on the input of the head.
        class_weight: `balanced` weighs the loss of a class by the inverse of its number of nodes.
        value_loss: For numbers, which are standardised by the train nodes: `huber`, squared up to one standard deviation and
            linear beyond, so that outliers count less; `squared`.
        decoder: For links and recommendation: `cosine`; `relation`, a low-rank map of the query for each relation and
            direction before the cosine; `mlp`, a perceptron on the product of both vectors.
        temperature: Divides cosines in contrastive losses.
        num_negatives: Nodes that a link or query is contrasted with.
        hold_out: For links and recommendation: share of the pairs of the asked relations that leaves the graph for a
            while and is learnt from, see `sampling.hold_out` of pre-training.
        refresh_every: Steps until another part is drawn, and until hard negatives are mined anew.
        hard_negatives: For retrieval: wrong nodes nearest to a query by the current model that it is contrasted with besides
            the others; 0 for none.
        hard_margin: A node is not mined if its cosine is above that of the nearest answer minus this; none mines it.
        own_content: For retrieval: for each train query of a batch so many nodes are asked for by their own content of the
            same modality, which keeps what a small number of queries would forget.
        mining_sample: Most nodes that are looked at when negatives are mined.
        seed: Seed of everything random.
        device: `auto` takes a GPU if there is one.
        optim: Optimiser of the head; the encoder has the same with `encoder_lr`.
    """

    mode: Mode = "full"
    init: Init = "run"
    steps: int = 400
    batch_size: int = 512
    eval_every: int = 20
    patience: int = 5
    encoder_lr: float = 0.1
    rank: int = 8
    hidden: int = 0
    dropout: float = 0.0
    class_weight: Literal["none", "balanced"] = "none"
    value_loss: ValueLoss = "huber"
    decoder: DecoderName = "relation"
    temperature: float = 0.05
    num_negatives: int = 1024
    hold_out: float = 0.3
    refresh_every: int = 20
    hard_negatives: int = 0
    hard_margin: float | None = None
    own_content: float = 0.0
    mining_sample: int = 8192
    seed: int = 0
    device: str = "auto"
    optim: OptimConfig = field(default_factory=_default_optim)

    def __post_init__(self) -> None:
        choices = (
            ("mode", ("frozen", "adapter", "full")),
            ("init", ("run", "untrained", "random")),
            ("class_weight", ("none", "balanced")),
            ("value_loss", ("huber", "squared")),
            ("decoder", ("cosine", "relation", "mlp")),
        )
        for name, allowed in choices:
            if getattr(self, name) not in allowed:
                raise unknown_choice(name, str(getattr(self, name)), allowed)
        counts = ("steps", "batch_size", "eval_every", "patience", "rank", "num_negatives", "refresh_every")
        for name in (*counts, "mining_sample"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("hidden", "hard_negatives"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.own_content < 0:
            raise InputError(f"own_content must be 0 or more, got {self.own_content}")
        if self.hard_margin is not None and not 0 <= self.hard_margin <= 2:
            raise InputError(f"hard_margin must lie in 0..2 or be none, got {self.hard_margin}")
        if self.encoder_lr <= 0 or self.temperature <= 0:
            raise InputError(f"encoder_lr and temperature must be above 0, got {self.encoder_lr}, {self.temperature}")
        for name in ("dropout", "hold_out"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must lie in 0..1, 1 excluded, got {getattr(self, name)}")
