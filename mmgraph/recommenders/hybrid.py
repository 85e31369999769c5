"""Our recommender: content and interactions in one score, for items and users both old and new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mmgraph.errors import InputError, unknown_choice
from mmgraph.inference.table import EmbeddingTable
from mmgraph.recommenders.base import (
    TrainedModel,
    TrainingConfig,
    bpr,
    check_above_zero,
    check_least,
    check_share,
    draw_negatives,
    train,
)
from mmgraph.recommenders.blend import BlendedScores, ItemScores, blend
from mmgraph.recommenders.content import ItemContent, item_content
from mmgraph.recommenders.ease import ItemItemScores, ease_weights, gram_matrix
from mmgraph.recommenders.hybrid_model import Encoded, GatedNetwork, MessageBuilder, Messages
from mmgraph.recommenders.interactions import FactorScores, Interactions, Scores
from mmgraph.recommenders.recency import History, pair_times, recency_weights, recent_popularity

NETWORK = "network"
"""Name of the network's part of a score; see `simple_parts` for the others."""


@dataclass(frozen=True)
class GatedConfig(TrainingConfig):
    """Settings of our recommender.

    Attributes:
        num_layers: Steps of propagation, 0 to 3.
        parts: Each epoch deals the interactions into so many parts; each is asked for in turn while it is not read.
        batch_size: Most interactions of a part that the loss asks for.
        loss: `softmax` over the items, or `bpr`.
        num_candidates: Items drawn for the softmax; 0, or as many as there are items, takes all of them.
        correct_popularity: Subtract the logarithm of how often a candidate is drawn (logQ).
        drop_items: Share of the items that a step treats as new.
        drop_users: Share of the users that a step treats as new.
        dropout: Share of the entries of the content that a step leaves out.
        num_rows: Rows of the hashed table of categorical attributes; 0 leaves attributes out.
        half_life: Items of a user until one counts half in the recent profile, if the interactions have times.
        blend: Add simple scores to those of the network, see `simple_parts`.
        item_item_l2: Weight of the squared norm of the item-item matrix.
        max_items: Leave the item-item matrix out if there are more items: it is dense.
        recent_popularity: Share of all interactions that pass until one counts half for what is popular of late.
    """

    learning_rate: float = 5e-3
    batch_size: int = 65_536
    l2: float = 0.1
    num_layers: int = 1
    parts: int = 5
    loss: Literal["softmax", "bpr"] = "softmax"
    num_candidates: int = 2048
    correct_popularity: bool = True
    drop_items: float = 0.25
    drop_users: float = 0.05
    dropout: float = 0.2
    num_rows: int = 1024
    half_life: float = 3.0
    blend: bool = True
    item_item_l2: float = 200.0
    max_items: int = 20_000
    recent_popularity: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 0, "num_layers", "num_candidates", "num_rows")
        check_least(self, 2, "parts")
        check_above_zero(self, "half_life", "item_item_l2", "recent_popularity")
        if self.num_layers > 3:
            raise InputError(f"num_layers must be at most 3, got {self.num_layers}")
        if self.loss not in ("softmax", "bpr"):
            raise unknown_choice("loss", self.loss, ("softmax", "bpr"))
        check_share(self, "drop_items", "drop_users", "dropout")


class GatedScores(FactorScores):
    """Scores of our recommender, with what is needed to explain them.

    Args:
        data: The interactions.
        network: The trained network.
        content: Content of the items.
        messages: All training interactions.
        recency: `[num_pairs]`: weights of the recent profile; `None` without times.
    """

    def __init__(
        self,
        data: Interactions,
        network: GatedNetwork,
        content: ItemContent,
        messages: Messages,
        recency: Tensor | None = None,
    ) -> None:
        self.network, self.content, self.messages, self.recency = network, content, messages, recency
        self.encoded = network(messages)
        super().__init__(data, self.encoded.users, self.encoded.items, self.encoded.bias)


class GatedRecommender(TrainedModel):
    """`GatedNetwork`, trained to find interactions that are taken out of the graph while they are asked for.

    A step takes out one part of all interactions, so that no history holds its own target, as when a split is held out.
    If interactions have times, a part is a stretch of each user's history, and what lies near it in time counts more, as
    the latest interactions do for what comes next.
    Some items and users lose all of their interactions in that step: they are asked for as new ones.

    Args:
        data: The interactions.
        content: Content of the items.
        config: Settings.
    """

    def __init__(self, data: Interactions, content: ItemContent, config: GatedConfig) -> None:
        super().__init__()
        self.data, self.content, self.config = data, content, config
        self.network = GatedNetwork(data, content, config.dim, config.num_layers, config.num_rows)
        self.builder = MessageBuilder(data)
        time = pair_times(data)
        self.history = None if time is None else History.of(data, time)
        degree = data.item_degree[data.known_items]
        self.register_buffer("chance", 0.5 * degree / degree.sum() + 0.5 / degree.numel(), persistent=False)

    chance: Tensor

    def losses(self, random: torch.Generator) -> Iterator[Tensor]:
        """One step for each part."""
        data, config = self.data, self.config
        part = self._deal(random)
        for number in range(int(part.max()) + 1):
            asked = part == number
            kept = ~asked
            new_item = self._draw(data.num_items, config.drop_items, random)
            new_user = self._draw(data.num_users, config.drop_users, random)
            kept &= ~(new_item[data.pairs[1]] | new_user[data.pairs[0]])
            targets = torch.nonzero(asked).flatten()
            if targets.numel() > config.batch_size:
                drawn = torch.randperm(targets.numel(), generator=random)[: config.batch_size]
                targets = targets[drawn.to(data.device)].sort().values
            messages = self.builder(kept, self._weights(asked))
            encoded = self.network(messages, dropout=config.dropout)
            find = self._softmax if config.loss == "softmax" else self._bpr
            loss = find(encoded, targets, random)
            yield loss + config.l2 * self._norms(messages)

    def _deal(self, random: torch.Generator) -> Tensor:
        """Part of each pair, `[num_pairs]`: at random, or, with times, stretches of each user's history."""
        data, config = self.data, self.config
        if self.history is None:
            return torch.randperm(data.pairs.size(1), generator=random).to(data.device) % config.parts
        offset = torch.rand(data.num_users, generator=random).to(data.device)[data.pairs[0]]
        return (self.history.order / self.history.size * config.parts + offset).long()

    def _weights(self, asked: Tensor | None = None) -> Tensor | None:
        """Weights of the pairs in the recent profile, by their distance to what is asked or, by default, by age."""
        if self.history is None:
            return None
        distance = self.history.age() if asked is None else self.history.distance(asked, self.data)
        return recency_weights(distance, self.config.half_life)

    def _draw(self, count: int, share: float, random: torch.Generator) -> Tensor:
        return (torch.rand(count, generator=random) < share).to(self.data.device)

    def _norms(self, messages: Messages) -> Tensor:
        """Mean squared norm of the vectors of their own, by interactions, as batches of pairs would count them."""
        network, total = self.network, messages.user_degree.sum().clamp(min=1)
        users = (network.user_own.square().sum(dim=1) * messages.user_degree).sum()
        items = (network.item_own.square().sum(dim=1) * messages.item_degree).sum()
        return (users + items) / (2 * total)

    def _bpr(self, encoded: Encoded, targets: Tensor, random: torch.Generator) -> Tensor:
        users, items = self.data.pairs[:, targets]
        negatives = draw_negatives(self.data, users, random)
        user = encoded.users[users]
        positive = (user * encoded.items[items]).sum(dim=1) + encoded.bias[items]
        negative = (user * encoded.items[negatives]).sum(dim=1) + encoded.bias[negatives]
        return bpr(positive, negative)

    def _softmax(self, encoded: Encoded, targets: Tensor, random: torch.Generator) -> Tensor:
        """Cross-entropy of each target among the items that its user has not; all targets of a user count.

        Items without any interaction are left out, see `draw_negatives`. With sampled items, the sum over all others is estimated from draws with replacement, each divided by its
        expected number (Bengio and Senecal, 2008; logQ correction of Yi et al., 2019).
        """
        data, count = self.data, self.config.num_candidates
        users, items = data.pairs[:, targets]
        rows, row = torch.unique(users, return_inverse=True)
        vectors = encoded.users[rows]
        positive = (vectors[row] * encoded.items[items]).sum(dim=1) + encoded.bias[items]
        candidates = data.known_items
        sample = 0 < count < candidates.numel()
        if sample:
            drawn = torch.multinomial(self.chance.cpu(), count, replacement=True, generator=random).to(data.device)
            candidates = candidates[drawn]
        logits = vectors @ encoded.items[candidates].t() + encoded.bias[candidates]
        if sample and self.config.correct_popularity:
            logits = logits - (count * self.chance[drawn]).log()
        others = logits.masked_fill(data.rows(rows)[:, candidates].bool(), -torch.inf)
        return nn.functional.softplus(others.logsumexp(dim=1)[row] - positive).mean()

    @torch.no_grad()
    def scores(self) -> GatedScores:
        """Inner products plus bias, from all training interactions."""
        recency = self._weights()
        return GatedScores(self.data, self.network, self.content, self.builder(None, recency), recency)


def fit_gated(
    data: Interactions, config: GatedConfig, *, seed: int, table: EmbeddingTable | None = None
) -> BlendedScores:
    """Train our recommender on raw features, or on the vectors of a pre-trained model.

    The scores of the network are one part of a sum whose weights are chosen on valid, see `blend` and `simple_parts`.

    Args:
        data: The interactions.
        config: Settings.
        seed: Seed of everything random.
        table: Vectors of a model that was trained on this very graph, where nothing of the task is in.
    """
    content = item_content(data, table)
    scores, _ = train(lambda: GatedRecommender(data, content, config), data, config, seed=seed, name="gated")
    parts: dict[str, Scores] = {NETWORK: scores}
    if config.blend:
        parts |= simple_parts(data, config, table)
    return blend(data, parts, seed=seed)


def simple_parts(data: Interactions, config: GatedConfig, table: EmbeddingTable | None = None) -> dict[str, Scores]:
    """What is added to the network, all without training by gradient.

    `item-item` is EASE, `recent item-item` the same read with weights that fall with age; `content` is the cosine of raw
    features with the mean of the user's items, `embedding` that of pre-trained vectors of user and item; `recent
    popularity` counts interactions by age; `new items` is 1 for items without an interaction, so that valid says how
    much they are to be shown. A part is left out where the graph lacks what it reads.
    """
    parts: dict[str, Scores] = {}
    time = pair_times(data)
    if data.num_items <= config.max_items:
        weights = ease_weights(gram_matrix(data), config.item_item_l2)
        parts["item-item"] = ItemItemScores(data, weights)
        if time is not None:
            age = History.of(data, time).age()
            parts["recent item-item"] = ItemItemScores(data, weights, recency_weights(age, 2 * config.half_life))
    if data.graph.features:
        parts["content"] = content_scores(data)
    if table is not None:
        unit = nn.functional.normalize(table.vectors_of(data.graph.node_ids.values), dim=1).to(data.device)
        parts["embedding"] = FactorScores(data, unit[data.users], unit[data.items])
    if time is not None:
        recent = recent_popularity(data, time, half_life=config.recent_popularity)
        parts["recent popularity"] = ItemScores(data, recent.log1p())
    if bool((data.item_degree == 0).any()):
        parts["new items"] = ItemScores(data, (data.item_degree == 0).float())
    return parts


def content_scores(data: Interactions) -> FactorScores:
    """Cosine of the raw features of an item with the mean of those of the user's items."""
    content = nn.functional.normalize(item_content(data).values, dim=1)
    profile = torch.zeros(data.num_users, content.size(1), device=data.device)
    profile.index_add_(0, data.pairs[0], content[data.pairs[1]])
    return FactorScores(data, nn.functional.normalize(profile, dim=1), content)
