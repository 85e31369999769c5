"""Weighted sums of scores, with weights that are chosen on validation data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmgraph.recommenders.interactions import Interactions, Scores
from mmgraph.recommenders.judge import Judge
from mmgraph.seeding import generator
from mmgraph.tasks.alignment import chunk_size

WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
"""Weights that are tried for each part of a blend."""
KINDS = ("known", "new")
"""Users with and users without interactions."""
HELD_SCORES = 2**26
"""Scores of valid users that are held while weights are chosen."""
SMALL = 1e-8


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
        weights: One for each, for users with interactions (`known`) and for those without (`new`).
    """

    def __init__(
        self, data: Interactions, parts: Mapping[str, Scores], weights: Mapping[str, Mapping[str, float]]
    ) -> None:
        super().__init__(data)
        self.parts, self.weights = dict(parts), {kind: dict(weights[kind]) for kind in KINDS}
        self._inverse = {name: _inverse_deviation(part) for name, part in self.parts.items() if self._used(name)}

    def scale(self, name: str) -> Tensor:
        """Factor of a part for each user, `[num_users]`: weight by standard deviation, 0 if that is 0."""
        if not self._used(name):
            return torch.zeros(self.data.num_users, device=self.data.device)
        known, new = (self.weights[kind][name] for kind in KINDS)
        return torch.where(self.data.user_degree > 0, known, new) * self._inverse[name]

    def of(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of numbers of users and items."""
        total = torch.zeros(users.numel(), items.numel(), device=users.device)
        for name, part in self.parts.items():
            if self._used(name):
                total += self.scale(name)[users].unsqueeze(1) * part.of(users, items)
        return total

    def _used(self, name: str) -> bool:
        return any(self.weights[kind][name] for kind in KINDS)


class _Combination(Scores):
    """Weighted sum of matrices of scores that were computed once, for the users of a judge."""

    def __init__(self, judge: Judge, parts: Mapping[str, Scores]) -> None:
        super().__init__(judge.data)
        items = torch.arange(self.data.num_items, device=self.data.device)
        self.users, self.matrices = judge.users, {}
        for name, part in parts.items():
            scores = part.of(judge.users, items)
            deviation = scores.std(dim=1, correction=0, keepdim=True)
            self.matrices[name] = torch.where(deviation > SMALL, scores / deviation.clamp(min=SMALL), 0.0)
        self.weights = dict.fromkeys(parts, 0.0)

    def of(self, users: Tensor, items: Tensor) -> Tensor:
        rows = torch.searchsorted(self.users, users)
        chosen = [weight * self.matrices[name][rows] for name, weight in self.weights.items() if weight]
        return sum(chosen, torch.zeros(rows.numel(), self.data.num_items, device=rows.device))[:, items]


def blend(data: Interactions, parts: Mapping[str, Scores], *, seed: int = 0) -> BlendedScores:
    """Choose the weights by nDCG@10 on valid, apart for users with and without interactions.

    The best single part comes first with weight 1; then the weights are changed one after the other, twice round, where
    that is better by more than rounding. Users of a kind that valid lacks get the first part.

    Args:
        data: The interactions.
        parts: Scores by name; of equal ones the first is taken.
        seed: Draws the valid users to judge by, if there are too many to hold their scores.
    """
    weights = {}
    order = torch.randperm(data.num_users, generator=generator(seed, "blend")).to(data.device)
    most = max(1, HELD_SCORES // max(1, data.num_items * len(parts)))
    for kind, is_kind in (("known", data.user_degree > 0), ("new", data.user_degree == 0)):
        chosen = {name: float(number == 0) for number, name in enumerate(parts)}
        judge = Judge(data, is_kind)
        if judge.users.numel() > most:
            sample = torch.zeros_like(is_kind)
            sample[judge.users[torch.argsort(order[judge.users])[:most]]] = True
            judge = Judge(data, sample)
        if judge.has_valid:
            chosen = _search(judge, _Combination(judge, parts))
        weights[kind] = chosen
    return BlendedScores(data, parts, weights)


def _search(judge: Judge, combination: _Combination) -> dict[str, float]:
    best, chosen = -1.0, combination.weights
    trials = [{**combination.weights, name: 1.0} for name in combination.weights]
    for trial in trials:
        best, chosen = _better(judge, combination, trial, best, chosen)
    for _ in range(2):
        for name in combination.weights:
            for weight in WEIGHTS:
                trial = {**chosen, name: weight}
                if trial != chosen and any(trial.values()):
                    best, chosen = _better(judge, combination, trial, best, chosen)
    return chosen


def _better(
    judge: Judge, combination: _Combination, trial: dict[str, float], best: float, chosen: dict[str, float]
) -> tuple[float, dict[str, float]]:
    combination.weights = trial
    value = judge(combination)
    return (value, trial) if value > best + 1e-6 else (best, chosen)


def _inverse_deviation(part: Scores) -> Tensor:
    data, step = part.data, chunk_size(part.data.num_items)
    items = torch.arange(data.num_items, device=data.device)
    found = []
    for start in range(0, data.num_users, step):
        users = torch.arange(start, min(start + step, data.num_users), device=data.device)
        deviation = part.of(users, items).std(dim=1, correction=0)
        found.append(torch.where(deviation > SMALL, 1 / deviation.clamp(min=SMALL), 0.0))
    return torch.cat(found)
