"""FREEDOM-like: LightGCN beside a frozen graph of items with similar content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgraph.inference.search import top_k
from mmgraph.recommenders.base import (
    TrainedModel,
    TrainingConfig,
    bpr,
    check_least,
    check_share,
    pairwise_batches,
    squared_norm,
    train,
)
from mmgraph.recommenders.content import ItemContent, item_content
from mmgraph.recommenders.hybrid_model import MessageBuilder
from mmgraph.recommenders.interactions import FactorScores, Interactions, Scores
from mmgraph.recommenders.propagation import csr, propagate


@dataclass(frozen=True)
class FREEDOMConfig(TrainingConfig):
    """Settings of FREEDOM.

    Attributes:
        num_layers: Steps of propagation along interactions.
        num_neighbors: Most similar items of an item, by each modality.
        drop_edges: Share of the interactions that an epoch does not propagate along, popular ends more often.
        content_weight: Weight of the loss on projected features alone.
    """

    l2: float = 1e-3
    num_layers: int = 2
    num_neighbors: int = 10
    drop_edges: float = 0.5
    content_weight: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 0, "num_layers", "content_weight")
        check_least(self, 1, "num_neighbors")
        check_share(self, "drop_edges")


class FREEDOM(TrainedModel):
    """Users and items by LightGCN; to an item is added the mean vector of the items with the most similar content [1].

    Like the original, the graph of items is frozen, modalities have one graph each and are averaged, each epoch drops
    interactions with a chance that grows with the degrees of their ends, and users are also compared with projected
    features. Departures: items without any interaction are no negatives, modalities weigh the same, and the mean over
    neighbours is divided by roots of both degrees of the symmetric graph.

    Args:
        data: The interactions.
        content: Raw features.
        config: Settings.

    References:
        [1] Zhou and Shen, 2023, A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal
            Recommendation, arXiv:2211.06924.
    """

    def __init__(self, data: Interactions, content: ItemContent, config: FREEDOMConfig) -> None:
        super().__init__()
        self.data, self.config = data, config
        self.register_buffer("content", content.values, persistent=False)
        self.users = nn.Parameter(torch.randn(data.num_users, config.dim) * 0.1)
        self.items = nn.Parameter(torch.randn(data.num_items, config.dim) * 0.1)
        self.columns = list(content.parts.values())
        self.project_in = nn.ModuleList(nn.Linear(stop - start, config.dim, bias=False) for start, stop in self.columns)
        self.similar = similar_items(content, config.num_neighbors)
        self.builder = MessageBuilder(data)
        self.whole = self.builder().matrix

    content: Tensor

    def encode(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of users and items along some interactions."""
        level = torch.cat([self.users, self.items])
        total = level
        for _ in range(self.config.num_layers):
            level = propagate(matrix, level)
            total = total + level
        total = total / (self.config.num_layers + 1)
        users, items = total[: self.data.num_users], total[self.data.num_users :]
        return users, items + propagate(self.similar, self.items)

    def losses(self, random: torch.Generator) -> Iterator[Tensor]:
        """BPR on every interaction once."""
        config, matrix = self.config, self._drop(random)
        for users, positives, negatives in pairwise_batches(self.data, config.batch_size, random):
            user_out, item_out = self.encode(matrix)
            user = user_out[users]
            loss = bpr((user * item_out[positives]).sum(dim=1), (user * item_out[negatives]).sum(dim=1))
            for (start, stop), linear in zip(self.columns, self.project_in, strict=True):
                near, far = (linear(self.content[items, start:stop]) for items in (positives, negatives))
                loss = loss + config.content_weight * bpr((user * near).sum(dim=1), (user * far).sum(dim=1))
            yield loss + config.l2 * squared_norm(self.users[users], self.items[positives], self.items[negatives])

    def _drop(self, random: torch.Generator) -> Tensor:
        data = self.data
        kept = max(1, round(data.pairs.size(1) * (1 - self.config.drop_edges)))
        chance = (data.user_degree[data.pairs[0]] * data.item_degree[data.pairs[1]]).rsqrt()
        drawn = torch.multinomial(chance.cpu(), kept, generator=random).to(data.device)
        mask = torch.zeros(data.pairs.size(1), dtype=torch.bool, device=data.device)
        mask[drawn] = True
        return self.builder(mask).matrix

    @torch.no_grad()
    def scores(self) -> Scores:
        """Inner products along all interactions."""
        return FactorScores(self.data, *self.encode(self.whole))


def similar_items(content: ItemContent, num_neighbors: int) -> Tensor:
    """Mean over modalities of the normalised graphs of most similar items, symmetric: sparse `[num_items, num_items]`.

    Items without a modality have no neighbours by it.
    """
    num_items, index, weight = len(content.values), [], []
    for start, stop in content.parts.values():
        unit = nn.functional.normalize(content.values[:, start:stop], dim=1)
        present = torch.nonzero(unit.abs().sum(dim=1) > 0).flatten()
        if present.numel() < 2:
            continue
        scores = (unit[present] @ unit[present].t()).fill_diagonal_(-torch.inf)
        nearest = top_k(scores, min(num_neighbors, present.numel() - 1))[1]
        ends = torch.stack([present.repeat_interleave(nearest.size(1)), present[nearest.flatten()]])
        key = torch.unique(torch.cat([ends[0] * num_items + ends[1], ends[1] * num_items + ends[0]]))
        ends = torch.stack([key // num_items, key % num_items])
        degree = torch.bincount(ends[0], minlength=num_items).float()
        index.append(ends)
        weight.append((degree[ends[0]] * degree[ends[1]]).rsqrt() / len(content.parts))
    if not index:
        index, weight = [content.values.new_zeros(2, 0).long()], [content.values.new_zeros(0)]
    return csr(torch.cat(index, dim=1), torch.cat(weight), num_items)


def fit_freedom(data: Interactions, config: FREEDOMConfig, *, seed: int) -> Scores:
    """Train the FREEDOM-like model on raw features."""
    content = item_content(data)
    return train(lambda: FREEDOM(data, content, config), data, config, seed=seed, name="freedom")[0]
