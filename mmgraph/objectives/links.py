"""Find the other end of an edge that the model does not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmgraph.errors import InputError
from mmgraph.objectives.base import BatchViews, Objective, unit


@dataclass(frozen=True)
class LinksConfig:
    """Contrast of the two ends of an edge with nodes that have no edge to them.

    Attributes:
        weight: Weight in the sum of the objectives; 0 turns it off.
        num_pairs: Edges per batch.
        temperature: Divides the cosines.
        relation_exponent: A relation is drawn in proportion to its number of edges to this power: 1 follows the
            edges, 0 treats all relations alike.
        cold: Share of the edges whose source is seen without any neighbours, as a new item is.
        hardness: Negatives count in proportion to `exp(hardness * cosine)` [1, equation 4]; 0 weighs all alike.
        memory: Embeddings of earlier batches that serve as further negatives, per graph [2]; 0 for none.
        dims: Leading dimensions on which the loss is taken as well, so that vectors can be cut there [3].

    References:
        [1] Robinson et al., 2021, Contrastive Learning with Hard Negative Samples, arXiv:2010.04592.
        [2] Wang et al., 2020, Cross-Batch Memory for Embedding Learning, arXiv:1912.06798.
        [3] Kusupati et al., 2022, Matryoshka Representation Learning, arXiv:2205.13147.
    """

    weight: float = 1.0
    num_pairs: int = 512
    temperature: float = 0.05
    relation_exponent: float = 0.5
    cold: float = 0.25
    hardness: float = 0.0
    memory: int = 0
    dims: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.num_pairs < 1:
            raise InputError(f"links.num_pairs must be at least 1, got {self.num_pairs}")
        if self.temperature <= 0:
            raise InputError(f"links.temperature must be above 0, got {self.temperature}")
        if not 0 <= self.cold <= 1:
            raise InputError(f"links.cold must lie in 0..1, got {self.cold}")
        for name in ("relation_exponent", "hardness", "memory"):
            if getattr(self, name) < 0:
                raise InputError(f"links.{name} must not be negative, got {getattr(self, name)}")
        if any(dim < 1 for dim in self.dims):
            raise InputError(f"links.dims must be positive numbers, got {list(self.dims)}")


class Links(Objective):
    """InfoNCE [1] over edges, in both directions.

    Each edge is left out of the propagation of its own ends, else the model learns to read it back. Negatives are
    drawn uniformly from the nodes, as an evaluation ranks all of them: in-batch negatives follow the degrees, so that
    the optimum would be the pointwise mutual information, which ignores how often a node is linked at all. Nodes that
    have an edge with the query are no negatives.

    Args:
        config: Weight, temperature and so on.
        dim: Width of the embeddings.
        domains: Feature spaces by graph; only the names matter.

    Shapes:
        - input: `BatchViews` of one graph
        - output: scalar

    References:
        [1] van den Oord et al., 2018, Representation Learning with Contrastive Predictive Coding, arXiv:1807.03748.
    """

    name: ClassVar[str] = "links"

    def __init__(self, config: LinksConfig, dim: int, domains: Mapping[str, object]) -> None:
        super().__init__()
        self.config = config
        if any(size > dim for size in config.dims):
            raise InputError(f"links.dims must not exceed the width {dim}, got {list(config.dims)}")
        self.memories = nn.ModuleList(Memory(config.memory, dim) for _ in domains)
        self.domains = list(domains)

    def forward(self, views: BatchViews) -> Tensor:
        """Loss of one batch."""
        config = self.config
        memory: Memory = self.memories[self.domains.index(views.graph_name)]  # type: ignore[assignment]
        earlier, nodes = memory.content()
        view = views.links(config.num_pairs, config.relation_exponent, cold=config.cold, more=nodes)
        if view is None:
            return views.clean.embedding.sum() * 0.0
        everything = torch.cat([view.candidates, earlier.to(view.candidates.dtype)])
        losses = []
        for size in (*config.dims, view.source.size(1)):
            ends = [unit(x[:, :size]) for x in (view.source, view.target)]
            candidates = unit(everything[:, :size])
            for i in (0, 1):
                losses.append(self._contrast(ends[i], ends[1 - i], candidates, view.is_negative[i]))
        if self.training:
            memory.add(view.candidates.detach(), view.candidate_nodes)
        return view.weight * torch.stack(losses).mean()

    def _contrast(self, query: Tensor, positive: Tensor, candidates: Tensor, is_negative: Tensor) -> Tensor:
        right = (query * positive).sum(dim=1, keepdim=True) / self.config.temperature
        wrong = query @ candidates.t()
        if self.config.hardness > 0:
            scores = wrong.detach().masked_fill(~is_negative, float("-inf")) * self.config.hardness
            count = is_negative.sum(dim=1, keepdim=True).clamp(min=1)
            # Weights of mean 1 over the negatives of each query.
            shift = scores.log_softmax(dim=1) + count.log()
            wrong = wrong / self.config.temperature + shift.nan_to_num(neginf=0.0)
        else:
            wrong = wrong / self.config.temperature
        scores = torch.cat([right, wrong.masked_fill(~is_negative, float("-inf"))], dim=1)
        return nn.functional.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.int64, device=scores.device))


class Memory(nn.Module):
    """The last embeddings of a graph's nodes, in buffers, so that a checkpoint holds them.

    Args:
        size: Number of rows.
        dim: Width.
    """

    vectors: Tensor
    nodes: Tensor
    count: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("nodes", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def content(self) -> tuple[Tensor, Tensor]:
        """Vectors `[num_rows, dim]` and the positions of their nodes `[num_rows]`."""
        filled = min(int(self.count), self.nodes.numel())
        # A copy: the rows are overwritten before the backward pass reads them.
        return self.vectors[:filled].clone(), self.nodes[:filled].clone()

    def add(self, vectors: Tensor, nodes: Tensor) -> None:
        """Replace the oldest rows."""
        size = self.nodes.numel()
        if size == 0:
            return
        vectors, nodes = vectors[-size:], nodes[-size:]
        place = (torch.arange(nodes.numel(), device=nodes.device) + self.count) % size
        self.vectors[place] = vectors.to(self.vectors.dtype)
        self.nodes[place] = nodes
        self.count += nodes.numel()
