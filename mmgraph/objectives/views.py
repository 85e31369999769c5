"""A node seen with less must land near its full self."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmgraph.errors import InputError
from mmgraph.objectives.base import BatchViews, Objective


@dataclass(frozen=True)
class ViewsConfig:
    """Agreement of a node that shows less with the node as it is.

    Attributes:
        weight: Weight in the sum of the objectives; 0 turns it off.
        temperature: Temperature of the contrast.
        modality_drop: Probability that a node with several modalities shows only one of them.
        content_drop: Share of the nodes with neighbours that show nothing of themselves; the others show their
            content and no neighbours.
        stop_gradient: Only the reduced view learns; the full one is where it is pulled to.
    """

    weight: float = 0.5
    temperature: float = 0.1
    modality_drop: float = 0.5
    content_drop: float = 0.25
    stop_gradient: bool = True

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise InputError(f"views.temperature must be above 0, got {self.temperature}")
        if not 0.0 <= self.modality_drop <= 1.0:
            raise InputError(f"views.modality_drop must lie in 0..1, got {self.modality_drop}")
        if not 0.0 <= self.content_drop <= 1.0:
            raise InputError(f"views.content_drop must lie in 0..1, got {self.content_drop}")


class Views(Objective):
    """InfoNCE [1] between seeds that show less and all seeds in full.

    A seed is seen without neighbours and perhaps with one modality only, as a query or a new item is, or without its
    content, as an item is whose text and picture are missing. Other seeds are the negatives, so that no teacher is
    needed against collapse. Nodes without content take no part.

    Args:
        config: Weight, temperature, and what is dropped.

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
        full = views.clean.embedding[: views.num_seeds]
        names = list(views.features)
        if not names:
            return full.sum() * 0.0
        present = torch.stack([views.features[name].present[: views.num_seeds] for name in names])
        chosen = torch.nonzero(present.any(dim=0)).flatten()
        if chosen.numel() == 0:
            return full.sum() * 0.0
        random = views.generator(self.name)
        kept = keep_modalities(present[:, chosen], self.config.modality_drop, random)
        no_content = torch.rand(chosen.numel(), generator=random, device=chosen.device) < self.config.content_drop
        parts, rows = [], []
        part = views.ranks.part(chosen.numel())
        is_mine = torch.zeros_like(no_content)
        is_mine[part.rows] = True
        for alone, place in (
            (True, torch.nonzero(~no_content & is_mine).flatten()),
            (False, torch.nonzero(no_content & is_mine).flatten()),
        ):
            if place.numel():
                shown = {name: kept[row, place] & alone for row, name in enumerate(names)}
                parts.append(views.reduced(chosen[place], shown, alone=alone))
                rows.append(chosen[place])
        key = full.detach() if self.config.stop_gradient else full
        same = views.node_index[: views.num_seeds]
        loss = contrast(torch.cat(parts), key, torch.cat(rows), same=same, temperature=self.config.temperature)
        return part.weight * loss


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
