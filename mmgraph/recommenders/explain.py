"""Which items of a user, which modality and which part of a model moved a score of our recommender: an exact sum."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.recommenders.blend import BlendedScores
from mmgraph.recommenders.ease import ItemItemScores
from mmgraph.recommenders.hybrid import GatedScores
from mmgraph.recommenders.interactions import Interactions, Scores


@dataclass(frozen=True, eq=False)
class Explanation:
    """A score, taken apart in two ways that both sum to it.

    Attributes:
        user: Id of the user.
        item: Id of the item.
        score: The score.
        parts: Share of each part of the blend.
        history: Share of each item of the user by id, the largest first, and under `user_side` what is no item's.
        user_side: Share of what does not come from one item of the user: their own vector, attributes, all users, and
            the bias of the item with all else that does not depend on the user.
        item_side: Share of each modality of the item, of its own vector, of its neighbours and its bias; parts without
            modalities stand under their names.
    """

    user: Any
    item: Any
    score: float
    parts: dict[str, float]
    history: dict[Hashable, float]
    user_side: dict[str, float]
    item_side: dict[str, float]


def explain(scores: BlendedScores, user: Any, item: Any) -> Explanation:
    """Take a score of our recommender apart.

    All of the network after its gates and attention is linear in the vectors of items, and so is EASE, so the sum is
    exact up to rounding. It says how the score was computed; gates, attention and degrees, which depend on the history
    as a whole, are taken as they are.

    Args:
        scores: What `fit_recommender("gated", ...)` gives.
        user: Id of the user.
        item: Id of the item.

    Raises:
        InputError: If an id is unknown or of the wrong type, or the scores are not ours.
    """
    if not isinstance(scores, BlendedScores):
        raise InputError(f"explain: expected the scores of recommender 'gated', got {type(scores).__name__}")
    data = scores.data
    where = f"explain, {data.task.where}"
    nodes = [
        torch.from_numpy(data.graph.node_ids.positions([one], where=where)).to(data.device) for one in (user, item)
    ]
    u, i = int(data.number_users(nodes[0])), int(data.number_items(nodes[1]))
    past = data.history(u)
    history = torch.zeros(past.numel(), dtype=torch.float64, device=data.device)
    parts: dict[str, float] = {}
    user_side: dict[str, float] = {}
    item_side: dict[str, float] = {}
    for name, part in scores.parts.items():
        scale = float(scores.scale(name)[u])
        if scale == 0:
            continue
        parts[name] = scale * _value(part, u, i)
        if isinstance(part, GatedScores):
            items, rest = _network_history(part, u, i, past)
            history += scale * items
            user_side |= {key: scale * value for key, value in rest.items()}
            item_side |= {key: scale * value for key, value in _network_item(part, u, i).items()}
        elif isinstance(part, ItemItemScores):
            history += scale * _item_item_history(part, u, i, past)
            item_side[name] = parts[name]
        else:
            user_side[name] = item_side[name] = parts[name]
    ids = data.graph.node_ids.values[data.items[past].numpy(force=True)].tolist()
    order = torch.argsort(history.abs(), descending=True, stable=True).tolist()
    by_item = {ids[place]: float(history[place]) for place in order}
    return Explanation(user, item, sum(parts.values()), parts, by_item, user_side, item_side)


def _value(part: Scores, user: int, item: int) -> float:
    device = part.data.device
    return float(part.of(torch.tensor([user], device=device), torch.tensor([item], device=device)))


def _item_item_history(part: ItemItemScores, user: int, item: int, past: Tensor) -> Tensor:
    weight = part.weights[past, item].double()
    return weight if part.history is None else weight * part.history[_pairs_of(part.data, user)]


def _pairs_of(data: Interactions, user: int) -> slice:
    return slice(int(data.starts[user]), int(data.starts[user + 1]))


@torch.no_grad()
def _network_history(part: GatedScores, user: int, item: int, past: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Share of each item of the user, `[num_past]`, and of everything else."""
    data, network, encoded = part.data, part.network, part.encoded
    level_weights = network.level_weights
    target = encoded.items[item]
    share = torch.zeros(past.numel(), dtype=torch.float64, device=data.device)
    # Level 0: the profiles are weighted means of the items, mapped and gated coordinate by coordinate.
    items = encoded.levels[0][data.num_users + past]
    messages = part.messages
    degree = messages.user_degree[user : user + 1]
    for recent, gate, linear in (
        (None, network.profile_gate, network.profile),
        (part.recency, network.recent_gate, network.recent),
    ):
        if recent is None and gate is network.recent_gate:
            continue
        weight = encoded.attention[past]
        weight = weight if recent is None else weight * recent[_pairs_of(data, user)]
        weight = weight / weight.sum().clamp(min=1e-12)
        mapped = gate(degree) * linear(items * weight.unsqueeze(1))
        share += (level_weights[0] * mapped @ target).double()
    rest = {
        name: float(level_weights[0] * vectors[user] @ target) for name, vectors in network.user_parts(messages).items()
    }
    # Level l of a user: the sum over their items of level l - 1, divided by roots of both degrees.
    root = (messages.user_degree[user] * messages.item_degree[past]).clamp(min=1).rsqrt()
    for level in range(1, level_weights.numel()):
        below = encoded.levels[level - 1][data.num_users + past]
        share += (level_weights[level] * root * (below @ target)).double()
    rest["bias of the item"] = float(encoded.bias[item])
    return share, rest


@torch.no_grad()
def _network_item(part: GatedScores, user: int, item: int) -> dict[str, float]:
    """Share of each modality of the item, of its attributes, its own vector, its neighbours and its bias."""
    network, encoded, start = part.network, part.encoded, part.data.num_users
    taste = encoded.users[user]
    level_weights = network.level_weights
    found = {}
    for name, (first, stop) in part.content.parts.items():
        projected = network.content_in.weight[:, first:stop] @ part.content.values[item, first:stop]
        found[name] = float(level_weights[0] * projected @ taste)
    if network.attributes is not None:
        found["attributes"] = float(level_weights[0] * network.attributes.items()[item] @ taste)
    _, own = network.item_parts(part.messages, network.content)
    found["own vector"] = float(level_weights[0] * own[item] @ taste)
    above = sum(
        (level_weights[level] * encoded.levels[level][start + item] for level in range(1, level_weights.numel())),
        torch.zeros_like(taste),
    )
    found["neighbours"] = float(above @ taste)
    found["bias of the item"] = float(encoded.bias[item])
    return found
