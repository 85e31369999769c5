"""What a task is to a fine-tuning run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mmgraph.distributed import LOCAL, Part, Ranks

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Validation:
    """A look at validation data.

    Attributes:
        score: Higher is better; later entries decide between equal earlier ones.
        metrics: What is logged.
    """

    score: tuple[float, ...]
    metrics: dict[str, float]


class Problem(ABC):
    """A task as something to train on. Only `test` reads what belongs to the test split.

    To add one: a subclass in a file of its own, and a line in `mmgraph.finetuning.finetune.make_problem`.

    Attributes:
        head: What is trained besides the encoder.
        ranks: The processes of the run. `loss` is that of this rank, and their mean is the loss of the step; all else runs on
            one rank alone.
    """

    head: nn.Module
    ranks: Ranks = LOCAL

    @abstractmethod
    def loss(self, step: int) -> Tensor:
        """Loss of one step, a scalar with gradients; a function of the step, so that a run can be resumed."""

    def mean(self, losses: Sequence[tuple[Tensor, Part]], count: int) -> Tensor:
        """Mean over rows of all ranks, as the share of this rank.

        Args:
            losses: `[num_rows]` each, of a part of some rows.
            count: Number of all rows.
        """
        rows = torch.cat([loss * float(part.share > 0) for loss, part in losses])
        return rows.mean() * (rows.numel() * self.ranks.world_size / count)

    @abstractmethod
    def validate(self) -> Validation:
        """Score encoder and head, as they are, on validation data."""

    @abstractmethod
    def test(self) -> dict[str, float]:
        """Metrics on test data."""

    def predictions(self) -> pa.Table | None:
        """What is predicted for every node, with ids; none where a task predicts no single thing."""
        return None

    def report(self) -> pa.Table | None:
        """Test metrics of parts of the test data, for instance by relation; none where there is nothing to add."""
        return None
