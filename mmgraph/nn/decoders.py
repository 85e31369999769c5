"""How two node vectors become the score of a link. All start as the cosine of the two, divided by a temperature."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

ROWS_AT_ONCE = 2**22
"""Numbers that `ProductDecoder` holds at once for one layer."""


class LinkDecoder(nn.Module, ABC):
    """Scores candidates for queries.

    Shapes:
        - input: `query` `[num_queries, dim]`; `code` `[num_queries]`: kind of link that is asked for, a relation in one
          direction; `candidates` `[num_candidates, dim]`
        - output: `[num_queries, num_candidates]`
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    @abstractmethod
    def forward(self, query: Tensor, code: Tensor, candidates: Tensor) -> Tensor:
        """Score every candidate for every query."""

    @abstractmethod
    def pairs(self, query: Tensor, code: Tensor, found: Tensor) -> Tensor:
        """Scores `[num_queries]` of one candidate `[num_queries, dim]` for each query."""


class CosineDecoder(LinkDecoder):
    """The cosine; nothing is learnt here, so what is learnt goes into the vectors."""

    def forward(self, query: Tensor, code: Tensor, candidates: Tensor) -> Tensor:
        """See `LinkDecoder`."""
        return self.turned(query, code) @ normalize(candidates.float(), dim=1).t() / self.temperature

    def pairs(self, query: Tensor, code: Tensor, found: Tensor) -> Tensor:
        """See `LinkDecoder.pairs`."""
        return (self.turned(query, code) * normalize(found.float(), dim=1)).sum(dim=1) / self.temperature

    def turned(self, query: Tensor, code: Tensor) -> Tensor:
        """Where a query looks for its candidates, `[num_queries, dim]`, unit vectors."""
        del code
        return normalize(query.float(), dim=1)


class RelationDecoder(CosineDecoder):
    """The cosine after the query was moved by a map of low rank: `cos(q + q U_r V_r, c)` for relation and direction `r`.

    A cosine alone says the same of all relations and of both directions. A full matrix per relation is RESCAL [1].

    Args:
        dim: Width of the vectors.
        num_codes: Number of relations and directions.
        rank: Rank of a map.
        temperature: Divides the cosines.

    References:
        [1] Nickel et al., 2011, A Three-Way Model for Collective Learning on Multi-Relational Data, ICML.
    """

    def __init__(self, dim: int, num_codes: int, *, rank: int, temperature: float) -> None:
        super().__init__(temperature)
        self.down = nn.Parameter(torch.randn(num_codes, dim, rank) / dim**0.5)
        self.up = nn.Parameter(torch.zeros(num_codes, rank, dim))

    def turned(self, query: Tensor, code: Tensor) -> Tensor:
        """See `CosineDecoder.turned`."""
        query = normalize(query.float(), dim=1)
        moved = torch.zeros_like(query)
        for one in torch.unique(code).tolist():  # grouped: a matrix per query would be copied for each
            rows = torch.nonzero(code == one).flatten()
            moved = moved.index_add(0, rows, query[rows] @ self.down[one] @ self.up[one])
        return normalize(query + moved, dim=1)


class ProductDecoder(LinkDecoder):
    """The cosine plus a perceptron on the product of both unit vectors (Hadamard-MLP).

    The perceptron runs for every pair, so a full ranking over many candidates takes long.

    Args:
        dim: Width of the vectors.
        num_codes: Number of relations and directions; each has a vector of its own that is added in the hidden layer.
        hidden: Width of the hidden layer.
        temperature: Divides the cosines.
    """

    def __init__(self, dim: int, num_codes: int, *, hidden: int = 64, temperature: float) -> None:
        super().__init__(temperature)
        self.hidden = nn.Linear(dim, hidden)
        self.code = nn.Embedding(num_codes, hidden)
        self.out = nn.Linear(hidden, 1)
        nn.init.zeros_(self.code.weight)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, query: Tensor, code: Tensor, candidates: Tensor) -> Tensor:
        """See `LinkDecoder`."""
        step = max(1, ROWS_AT_ONCE // max(1, query.size(0) * query.size(1)))
        parts = []
        for some in torch.split(candidates, step):
            rows = torch.arange(query.size(0), device=query.device).repeat_interleave(len(some))
            found = some.repeat(query.size(0), 1)
            parts.append(self.pairs(query[rows], code[rows], found).view(query.size(0), len(some)))
        return torch.cat(parts, dim=1)

    def pairs(self, query: Tensor, code: Tensor, found: Tensor) -> Tensor:
        """See `LinkDecoder.pairs`."""
        product = normalize(query.float(), dim=1) * normalize(found.float(), dim=1)
        hidden = nn.functional.gelu(self.hidden(product * product.size(1) ** 0.5) + self.code(code))
        scores: Tensor = (product.sum(dim=1) + self.out(hidden).squeeze(1)) / self.temperature
        return scores
