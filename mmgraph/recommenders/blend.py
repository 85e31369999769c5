"""Weighted sums of scores, with weights that are chosen on validation data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmgraph.recommenders.interactions import Interactions, Scores
from mmgraph.recommenders.judge import Judge
from mmgraph.tasks.alignment import chunk_size

WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Weights that are tried for each part of a blend; the first part has weight 1."""


class ItemScores(Scores):
    """The same score of an item for all users.

    Args:
        data: The interactions.
        values: `[num_items]`.
    """

    def __init__(self, data: Interactions, values: Tensor) -> None:
        super().__init__(data)
        self.values = values

    def of(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of numbers of users and items."""
        return self.values[items].expand(users.numel(), -1)


class BlendedScores(Scores):
    """Sum of scores, each divided by its standard deviation over all items of a user, times a weight.

    Differences between the means are left out: they move no rank. What a part says is so still a sum of its own parts.

    Args:
        data: The interactions.
        parts: Scores by name.
        weights: One for each.
    """

    def __init__(self, data: Interactions, parts: Mapping[str, Scores], weights: Mapping[str, float]) -> None:
        super().__init__(data)
        self.parts, self.weights = dict(parts), dict(weights)
        self._scale: dict[str, Tensor] = {}

    def scale(self, name: str) -> Tensor:
        """Factor of a part for each user, `[num_users]`: weight by standard deviation, 0 if that is 0."""
        if name not in self._scale:
            self._scale[name] = _inverse_deviation(self.parts[name])
        return self.weights[name] * self._scale[name]

    def with_weights(self, weights: Mapping[str, float]) -> BlendedScores:
        """The same parts with other weights."""
        other = BlendedScores(self.data, self.parts, weights)
        other._scale = self._scale
        return other

    def of(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of numbers of users and items."""
        total = torch.zeros(users.numel(), items.numel(), device=users.device)
        for name, part in self.parts.items():
            if self.weights[name]:
                total += self.scale(name)[users].unsqueeze(1) * part.of(users, items)
        return total


def blend(data: Interactions, parts: Mapping[str, Scores], grid: Sequence[float] = WEIGHTS) -> BlendedScores:
    """Choose the weights one after the other by nDCG@10 on valid, twice round; 0 unless another weight is better.

    Args:
        data: The interactions.
        parts: Scores by name; the first keeps weight 1.
        grid: Weights to try, ascending.
    """
    judge = Judge(data)
    weights = {name: float(number == 0) for number, name in enumerate(parts)}
    blended = BlendedScores(data, parts, weights)
    if not judge.has_valid:
        return blended
    best = judge(blended)
    for _ in range(2):
        for name in list(parts)[1:]:
            for weight in grid:
                tried = blended.with_weights({**blended.weights, name: weight})
                value = judge(tried)
                if value > best:
                    best, blended = value, tried
    return blended


def _inverse_deviation(part: Scores) -> Tensor:
    data, step = part.data, chunk_size(part.data.num_items)
    items = torch.arange(data.num_items, device=data.device)
    found = []
    for start in range(0, data.num_users, step):
        users = torch.arange(start, min(start + step, data.num_users), device=data.device)
        deviation = part.of(users, items).std(dim=1, correction=0)
        found.append(torch.where(deviation > 1e-8, 1 / deviation.clamp(min=1e-8), 0.0))
    return torch.cat(found)
