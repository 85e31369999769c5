"""When interactions took place: the order of a user's items, distances in it, and what was popular of late."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.recommenders.interactions import Interactions

TIME = "time"
"""Name of the edge attribute that says when; without it everything took place at once."""


def pair_times(data: Interactions, attribute: str = TIME) -> Tensor | None:
    """Latest time of each training pair, `[num_pairs]`, float64; `None` if the relation has no times.

    A pair that only the declared reverse of the relation states takes its time from there; the earliest of all if
    there is none.

    Raises:
        InputError: If a time is not finite or there are several per edge.
    """
    relations, graph = data.graph.relations, data.graph
    relation = relations[data.task.relation]
    named = [relation] if relation.reverse is None else [relation, relations[relation.reverse]]
    if not any(attribute in one.attributes for one in named):
        return None
    latest = torch.full((data.pairs.size(1),), -torch.inf, dtype=torch.float64, device=data.device)
    for one in named:
        if attribute not in one.attributes:
            continue
        time = one.attributes[attribute].double()
        if time.dim() != 1 or not bool(torch.isfinite(time).all()):
            raise InputError(
                f"graph {graph.name!r}, relation {data.task.relation!r}: expected one finite time per edge"
            )
        edges = one.edge_index if one.source_type == data.task.user_type else one.edge_index.flip(0)
        key = data.number_users(edges[0]) * data.num_items + data.number_items(edges[1])
        latest.scatter_reduce_(0, torch.searchsorted(data.keys, key), time, "amax")
    return torch.where(torch.isfinite(latest), latest, latest[torch.isfinite(latest)].min())


@dataclass(frozen=True, eq=False)
class History:
    """Place of every pair among the items of its user by time.

    Attributes:
        place: `[num_pairs]`, float32: from 0 for the oldest; pairs of one moment share their mean place.
        order: `[num_pairs]`: distinct places from 0, ties in order of item.
        size: `[num_pairs]`, float32: number of items of the user.
    """

    place: Tensor
    order: Tensor
    size: Tensor

    @classmethod
    def of(cls, data: Interactions, time: Tensor) -> History:
        """Order the pairs of every user by time.

        Args:
            data: The interactions.
            time: `[num_pairs]`.
        """
        by_time = torch.argsort(time, stable=True)
        by_time = by_time[torch.argsort(data.pairs[0, by_time], stable=True)]
        order = torch.empty_like(by_time)
        order[by_time] = torch.arange(by_time.numel(), device=data.device)
        order -= data.starts[data.pairs[0]]
        moment = torch.stack([data.pairs[0].double(), time])
        _, group, count = torch.unique(moment, dim=1, return_inverse=True, return_counts=True)
        total = torch.zeros(count.numel(), dtype=torch.float64, device=data.device).index_add_(0, group, order.double())
        return cls((total / count)[group].float(), order, data.user_degree[data.pairs[0]])

    def age(self) -> Tensor:
        """How many items of the user came after the pair, `[num_pairs]`, float32."""
        return self.size - 1 - self.place

    def distance(self, asked: Tensor, data: Interactions) -> Tensor:
        """Distance of each pair to the pairs of its user that are asked for, in places: `[num_pairs]`, float32.

        The pairs that are asked for lie together in the order of each user. It is the age where a user has none.

        Args:
            asked: `[num_pairs]`, bool.
            data: The interactions.
        """
        users = data.pairs[0]
        low = torch.full((data.num_users,), torch.inf, device=data.device)
        low.scatter_reduce_(0, users[asked], self.order[asked].float(), "amin")
        high = torch.full((data.num_users,), -torch.inf, device=data.device)
        high.scatter_reduce_(0, users[asked], self.order[asked].float(), "amax")
        before, after = low[users] - 1 - self.place, self.place - high[users] - 1
        found = torch.maximum(before, after).clamp(min=0)
        return torch.where(torch.isfinite(low[users]), found, self.age())


def recency_weights(age: Tensor, half_life: float) -> Tensor:
    """`0.5 ** (age / half_life)`, all 1 for an infinite half-life."""
    return torch.exp2(-age / half_life)


def recent_popularity(data: Interactions, time: Tensor, *, half_life: float = 0.1) -> Tensor:
    """Interactions of each item, the latest counting most: `[num_items]`, float32.

    Args:
        data: The interactions.
        time: `[num_pairs]`.
        half_life: Share of all interactions that pass until one counts half.
    """
    values, group, count = torch.unique(time, return_inverse=True, return_counts=True)
    later = count.sum() - count.cumsum(0)  # so that interactions of one moment count alike
    weight = torch.exp2(-later.double() / (half_life * time.numel()))[group]
    total = torch.zeros(data.num_items, dtype=torch.float64, device=data.device)
    del values
    return total.index_add_(0, data.pairs[1], weight).float()
