"""A node seen with less must land near its full self."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmgraph.errors import InputError
from mmgraph.objectives.base import BatchViews, Objective


@dataclass(frozen=True)
class ViewsConfig:
    """Agreement of a node's content alone with the node in its neighbourhood.

    Attributes:
        weight: Weight in the sum of the objectives; 0 turns it off.
        temperature: Temperature of the contrast.
        modality_drop: Probability that a node with several modalities shows only one of them.
    """

    weight: float = 1.0
    temperature: float = 0.1
    modality_drop: float = 0.5

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise InputError(f"views.temperature must be above 0, got {self.temperature}")
        if not 0.0 <= self.modality_drop <= 1.0:
            raise InputError(f"views.modality_drop must lie in 0..1, got {self.modality_drop}")


class Views(Objective):
    """InfoNCE [1] between a seed without neighbours, and perhaps with one modality only, and the same seed in full.

    The reduced view is exactly what a query or a cold item is at inference: content without neighbours. Candidates
    are all nodes of the batch in full, neighbours of the seed included; further copies of the same node are not
    counted as negatives. Nodes without content take no part as seeds.

    Args:
        config: Weight, temperature and modality dropout.

    Shapes:
        - input: `BatchViews` of one graph
        - output: scalar

    References:
        [1] van den Oord et al., 2018, Representation Learning with Contrastive Predictive Coding, arXiv:1807.03748.
    """

    name: ClassVar[str] = "views"

    def __init__(self, config: ViewsConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, views: BatchViews) -> Tensor:
        """Loss of one batch."""
        batch = views.batch
        full = views.clean.embedding
        seeds = torch.arange(batch.num_seeds, device=full.device)
        features = {name: item.take(seeds) for name, item in batch.features.items()}
        shown = (
            torch.stack([item.present for item in features.values()]) if features else seeds.new_zeros(1, len(seeds))
        )
        chosen = torch.nonzero(shown.any(dim=0)).flatten()
        if chosen.numel() == 0:
            return full.sum() * 0.0
        kept = keep_modalities(shown[:, chosen], self.config.modality_drop, views.generator(self.name))
        reduced = {
            name: replace(item.take(chosen), present=kept[row]) for row, (name, item) in enumerate(features.items())
        }
        no_edges = batch.edge_index.new_zeros(2, 0)
        alone = views.encoder(reduced, no_edges, num_nodes=chosen.numel()).embedding
        return contrast(alone, full, chosen, same=batch.node_index, temperature=self.config.temperature)


def keep_modalities(present: Tensor, drop: float, generator: torch.Generator) -> Tensor:
    """Choose what each node shows: all of its modalities, or, with probability `drop`, a random one.

    Args:
        present: `[num_modalities, num_nodes]`, bool.
        drop: Probability.
        generator: Source of randomness.

    Returns:
        `[num_modalities, num_nodes]`, bool; at least one true per node that has any.
    """
    random = torch.rand(present.shape, generator=generator, device=present.device)
    one = torch.zeros_like(present)
    one.scatter_(0, random.masked_fill(~present, -1.0).argmax(dim=0, keepdim=True), value=True)
    alone = torch.rand(present.size(1), generator=generator, device=present.device) < drop
    return torch.where(alone, one & present, present)


def contrast(query: Tensor, key: Tensor, positive: Tensor, *, same: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each query's key among all keys, by cosine.

    Args:
        query: `[num_queries, dim]`.
        key: `[num_keys, dim]`.
        positive: `[num_queries]`: row of each query's key.
        same: `[num_keys]`: keys with an equal number are copies of one node and no negatives of each other.
        temperature: Divides the cosines.
    """
    scores = nn.functional.normalize(query.float(), dim=1) @ nn.functional.normalize(key.float(), dim=1).t()
    copies = same[positive].unsqueeze(1) == same.unsqueeze(0)
    copies[torch.arange(positive.numel(), device=positive.device), positive] = False
    return nn.functional.cross_entropy((scores / temperature).masked_fill(copies, float("-inf")), positive)
