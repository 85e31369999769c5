"""Selection on validation data: nDCG@10 over all items, as the task counts it."""

from __future__ import annotations

import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.metrics.top_k import list_ranks, per_list_metrics
from mmgraph.recommenders.interactions import Interactions, Scores
from mmgraph.tasks.alignment import chunk_size


class Judge:
    """Mean nDCG@10 of the valid positives; training and seen pairs are not listed, test pairs are not known here.

    Equal to `evaluate_scores(..., split="valid")["ndcg@10"]`, but what does not depend on scores is prepared once.

    Args:
        data: The interactions; its task gives the valid and seen rows.
        users: `[num_users]`, bool: count these users alone.
        items: `[num_items]`, bool: count and list these items alone.
    """

    def __init__(self, data: Interactions, users: Tensor | None = None, items: Tensor | None = None) -> None:
        self.data, self.unlisted = data, None if items is None else ~items
        rows = data.task.interactions
        ends = []
        for side, number in (("user", data.number_users), ("item", data.number_items)):
            nodes = data.graph.node_ids.positions(rows[side], where=f"{data.task.where}, column {side!r}")
            ends.append(number(torch.from_numpy(nodes).to(data.device)))
        pairs = torch.stack(ends)
        counted = torch.ones_like(pairs[0], dtype=torch.bool) if users is None else users[pairs[0]]
        counted &= torch.ones_like(counted) if items is None else items[pairs[1]]
        is_valid = torch.from_numpy(pc.equal(rows["split"], "valid").to_numpy()).to(data.device)
        self.users, self.positives = self._grouped(pairs[:, is_valid & counted])
        seen = torch.cat([data.pairs, pairs[:, ~is_valid]], dim=1)
        place = torch.searchsorted(self.users, seen[0]).clamp(max=max(0, self.users.numel() - 1))
        known = self.users[place] == seen[0] if self.users.numel() else place < 0
        self.masked = torch.stack([place[known], seen[1, known]])

    @property
    def has_valid(self) -> bool:
        """Whether there is anything to select by."""
        return self.users.numel() > 0

    def __call__(self, scores: Scores) -> float:
        """Mean nDCG@10, higher is better."""
        return self.total(scores) / max(1, self.users.numel())

    def total(self, scores: Scores) -> float:
        """Sum of nDCG@10 over users."""
        total, step = 0.0, chunk_size(self.data.num_items)
        items = torch.arange(self.data.num_items, device=self.data.device)
        for start in range(0, self.users.numel(), step):
            users = self.users[start : start + step]
            values = scores.of(users, items).clone()
            row, item = _rows_of(self.masked, start, users.numel())
            values[row, item] = -torch.inf
            if self.unlisted is not None:
                values[:, self.unlisted] = -torch.inf
            positives = torch.stack(_rows_of(self.positives, start, users.numel()))
            per_user = per_list_metrics(list_ranks(values, positives).rank, positives[0], (10,))
            total += float(per_user["ndcg@10"].sum())
        return total

    @staticmethod
    def _grouped(pairs: Tensor) -> tuple[Tensor, Tensor]:
        users, row = torch.unique(pairs[0], return_inverse=True)
        return users, torch.stack([row, pairs[1]])


def _rows_of(pairs: Tensor, start: int, count: int) -> tuple[Tensor, Tensor]:
    inside = (pairs[0] >= start) & (pairs[0] < start + count)
    return pairs[0, inside] - start, pairs[1, inside]


class JudgeByKind:
    """Mean nDCG@10 of valid positives among items of their kind: those with training interactions, and those without.

    While a model is trained, this says how well it orders either kind. Among all items, a few points of difference
    between the kinds would hide that; where nearly all positives are of one kind it is nearly the same as `Judge`.

    Args:
        data: The interactions.
    """

    def __init__(self, data: Interactions) -> None:
        known = data.item_degree > 0
        self.judges = [judge for judge in (Judge(data, items=known), Judge(data, items=~known)) if judge.has_valid]

    @property
    def has_valid(self) -> bool:
        """Whether there is anything to select by."""
        return bool(self.judges)

    def __call__(self, scores: Scores) -> float:
        """Mean over users, who count once for each kind of positives that they have."""
        lists = sum(judge.users.numel() for judge in self.judges)
        return sum(judge.total(scores) for judge in self.judges) / max(1, lists)
