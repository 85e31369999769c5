"""The best scores that any recommender can expect on a graph of users and items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mmgraph.errors import InputError, unknown_choice
from mmgraph.synthetic.blocks import block_rows
from mmgraph.synthetic.user_item_config import NUM_HELD_OUT
from mmgraph.synthetic.user_item_model import RELATION, UserItemModel

Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Scores `[num_users, num_items]` of users and items, both given by their rows in the graph."""


@dataclass(frozen=True)
class RecommendationBounds:
    """Expected scores of one ranking of the items, by metric: `recall@k`, `ndcg@k` and `mrr@k`, as in `metrics.top_k`.

    A user has one item to be found, so that recall is also the hit rate, and MRR also MAP.

    Attributes:
        expected: Mean over users of the expectation over what they choose next.
        spread: Standard deviation of that mean: what one drawn set of choices adds in luck.
        warm: The same expectation where an item that is not cold is chosen.
        cold: Where a cold one is; empty if there are none.
    """

    expected: dict[str, float]
    spread: dict[str, float]
    warm: dict[str, float]
    cold: dict[str, float]


def expected_recommendation(
    model: UserItemModel, scores: Scores | None = None, *, split: str = "test", ks: Sequence[int] = (10, 20)
) -> RecommendationBounds:
    """What a ranking of the items can expect, exactly: the average over all choices that users could make.

    Given what a user has chosen before, the next item is `j` with probability `p_j`, in proportion to
    `exp(logit_j)` among the items that are left, whatever else is known: choices of users are independent. A metric of
    one item is a gain that falls with its rank, so its expectation is the sum of `p_j * gain(rank_j)`, and largest if
    the items are in the order of `p`. Hence without `scores` this is the best that any recommender can expect, as long
    as it orders all items: by the rule of mean ranks `2 k - 1` tied items all count for Recall@k, which no order does.

    Candidates are all items, warm and cold, but those that the user has chosen before (at test the one of `valid` too).

    Args:
        model: The graph.
        scores: Scores of a recommender, without ties; by default the true logits.
        split: `valid` or `test`.
        ks: Cut-offs.

    Raises:
        InputError: If the split is unknown, or `ks` holds a number below 1.
    """
    parts = {"valid": 1, "test": NUM_HELD_OUT}
    if split not in parts:
        raise unknown_choice("split", split, parts)
    if min(ks) < 1:
        raise InputError(f"cut-offs must be at least 1, got {list(ks)}")
    gains = _gains(model.config.num_items, ks)
    every = np.arange(model.config.num_items)
    total = {name: np.zeros(4) for name in gains}  # expectation, variance, warm part, cold part
    cold_share = 0.0
    for block in range(model.num_edge_blocks(RELATION)):
        users = block_rows(model.config.num_users, block, model.block_users)
        numbers = np.arange(users.start, users.stop)
        who, item, place = model.choices(block)
        seen = place < model.num_interactions[who] - NUM_HELD_OUT + parts[split] - 1
        logits = model.logits(numbers, every)
        logits[who[seen] - users.start, item[seen]] = -np.inf
        chance = np.exp(logits - logits.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        order = logits if scores is None else scores(model.user_rows[numbers], model.item_rows).astype(np.float64)
        order = np.where(np.isneginf(logits), -np.inf, order)
        ranked = np.argsort(-order, axis=1, kind="stable")
        sorted_chance, cold = np.take_along_axis(chance, ranked, axis=1), model.cold[ranked]
        cold_share += float(sorted_chance[cold].sum())
        for name, gain in gains.items():
            mean = sorted_chance @ gain
            total[name] += (
                mean.sum(),
                (sorted_chance @ gain**2 - mean**2).sum(),
                np.where(cold, 0, sorted_chance * gain).sum(),
                np.where(cold, sorted_chance * gain, 0).sum(),
            )
    size = model.config.num_users
    return RecommendationBounds(
        expected={name: float(sums[0] / size) for name, sums in total.items()},
        spread={name: float(np.sqrt(max(sums[1], 0)) / size) for name, sums in total.items()},
        warm={name: float(sums[2] / (size - cold_share)) for name, sums in total.items()},
        cold={name: float(sums[3] / cold_share) for name, sums in total.items()} if cold_share else {},
    )


def _gains(num_items: int, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """Score of the one item to be found, by its rank."""
    rank = np.arange(1, num_items + 1)
    gains: dict[str, np.ndarray] = {}
    for k in ks:
        listed = rank <= k
        gains[f"recall@{k}"] = listed.astype(np.float64)
        gains[f"ndcg@{k}"] = listed / np.log2(rank + 1)
        gains[f"mrr@{k}"] = listed / rank
    return gains
