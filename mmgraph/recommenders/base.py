"""What the recommenders that are trained by gradient share: settings, negatives, and a loop that selects on valid."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmgraph.errors import InputError
from mmgraph.recommenders.interactions import Interactions, Scores
from mmgraph.recommenders.judge import JudgeByKind
from mmgraph.seeding import derive_seed, generator


@dataclass(frozen=True)
class TrainingConfig:
    """Length of training. There is no seed here: one configuration, many seeds.

    Attributes:
        dim: Width of the vectors.
        epochs: Most passes over the interactions.
        batch_size: Interactions of a step.
        learning_rate: Learning rate of Adam.
        l2: Weight of the squared vectors of a batch in the loss.
        check_every: Epochs between two looks at the valid interactions.
        patience: Stop after so many looks without a better nDCG@10.
    """

    dim: int = 64
    epochs: int = 200
    batch_size: int = 4096
    learning_rate: float = 5e-3
    l2: float = 1e-4
    check_every: int = 5
    patience: int = 5

    def __post_init__(self) -> None:
        check_least(self, 1, "dim", "epochs", "batch_size", "check_every", "patience")
        check_least(self, 0, "l2")
        check_above_zero(self, "learning_rate")


def check_least(config: Any, least: float, *names: str) -> None:
    """Refuse settings below `least`.

    Raises:
        InputError: Names the setting.
    """
    for name in names:
        if not getattr(config, name) >= least:
            raise InputError(f"{name} must be at least {least}, got {getattr(config, name)}")


def check_above_zero(config: Any, *names: str) -> None:
    """Refuse settings of zero and below.

    Raises:
        InputError: Names the setting.
    """
    for name in names:
        if not getattr(config, name) > 0:
            raise InputError(f"{name} must be above 0, got {getattr(config, name)}")


def check_share(config: Any, *names: str) -> None:
    """Refuse settings that are not in `[0, 1)`.

    Raises:
        InputError: Names the setting.
    """
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise InputError(f"{name} must be at least 0 and below 1, got {getattr(config, name)}")


class TrainedModel(nn.Module, ABC):
    """A recommender with parameters. They are drawn from torch's global generator, which `train` seeds."""

    data: Interactions

    @abstractmethod
    def losses(self, random: torch.Generator) -> Iterator[Tensor]:
        """The losses of one epoch; the optimiser takes a step after each.

        Args:
            random: Everything random of the epoch.
        """

    @abstractmethod
    def scores(self) -> Scores:
        """What the model recommends as it is now, without gradients."""


def train(
    build: Callable[[], TrainedModel],
    data: Interactions,
    config: TrainingConfig,
    *,
    seed: int,
    name: str,
) -> tuple[Scores, int]:
    """Train with Adam and keep the epoch with the best nDCG@10 on valid (`JudgeByKind`), the last one without valid rows.

    The same seed gives the same bits on a CPU. Torch's global generator is left as it was.

    Args:
        build: Makes the model.
        data: What it learns from.
        config: Length of training.
        seed: Seed of parameters, batches and negatives.
        name: Keys the seed.

    Returns:
        The scores of the best epoch, and its number from 1.
    """
    judge = JudgeByKind(data)
    best: tuple[float, int, dict[str, Tensor]] | None = None
    with torch.random.fork_rng(devices=[data.device] if data.device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "recommender", name))
        model = build().to(data.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
        for epoch in range(1, config.epochs + 1):
            model.train()
            for loss in model.losses(generator(seed, "recommender", name, epoch)):
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            if not judge.has_valid or (epoch % config.check_every and epoch != config.epochs):
                continue
            model.eval()
            value = judge(model.scores())
            if best is None or value > best[0]:
                best = (value, epoch, copy.deepcopy(model.state_dict()))
            elif epoch - best[1] >= config.patience * config.check_every:
                break
        if best is not None:
            model.load_state_dict(best[2])
        model.eval()
        return model.scores(), epoch if best is None else best[1]


def pairwise_batches(
    data: Interactions, batch_size: int, random: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Users, their items and uniform items that they have no interaction with, each `[batch]`; all pairs once."""
    order = torch.randperm(data.pairs.size(1), generator=random)
    for start in range(0, order.numel(), batch_size):
        users, items = data.pairs[:, order[start : start + batch_size].to(data.device)]
        yield users, items, draw_negatives(data, users, random)


def draw_negatives(data: Interactions, users: Tensor, random: torch.Generator, *, tries: int = 10) -> Tensor:
    """One item for each user that is none of theirs, uniform among the items with interactions: `[len(users)]`.

    Items without any are no negatives: a model could learn by heart that nobody wants them, and they are new. A user
    who has nearly all items may keep one of theirs after so many tries.
    """
    items = data.known_items
    drawn = items[torch.randint(items.numel(), (users.numel(),), generator=random).to(data.device)]
    for _ in range(tries):
        wrong = torch.nonzero(data.contains(users, drawn)).flatten()
        if not wrong.numel():
            break
        drawn[wrong] = items[torch.randint(items.numel(), (wrong.numel(),), generator=random).to(data.device)]
    return drawn


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of `-log sigmoid(positive - negative)` (Rendle et al., 2009, BPR-Opt, section 4.1)."""
    return -nn.functional.logsigmoid(positive - negative).mean()


def squared_norm(*vectors: Tensor) -> Tensor:
    """Half the sum of squares of a batch's vectors, divided by its size (He et al., 2020, equation 15)."""
    return sum((part.square().sum() for part in vectors), vectors[0].new_zeros(())) / (2 * vectors[0].size(0))
