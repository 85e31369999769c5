"""The network of our recommender: content plus gated vectors of their own, propagated along the interactions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgraph.recommenders.attributes import HashedAttributes
from mmgraph.recommenders.content import ItemContent
from mmgraph.recommenders.interactions import Interactions
from mmgraph.recommenders.propagation import propagate
from mmgraph.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class Messages:
    """The interactions that a forward pass may read.

    Attributes:
        pairs: `[2, num_kept]`: user and item, ascending.
        matrix: `D^-1/2 A D^-1/2` of users and items, sparse CSR.
        recent: The same entries, weighted by how near in time they are to what is asked; `None` without times.
        user_degree: `[num_users]`.
        item_degree: `[num_items]`.
    """

    pairs: Tensor
    matrix: Tensor
    recent: Tensor | None
    user_degree: Tensor
    item_degree: Tensor


@dataclass(frozen=True, eq=False)
class Encoded:
    """What a forward pass gives. All of it is linear in the vectors below, so that scores can be taken apart.

    Attributes:
        users: `[num_users, dim]`.
        items: `[num_items, dim]`.
        bias: `[num_items]`.
        levels: Before propagation and after each step of it, `[num_users + num_items, dim]` each.
        attention: `[num_items]`: weight of an item in the profiles of its users, before they are normalised.
    """

    users: Tensor
    items: Tensor
    bias: Tensor
    levels: list[Tensor]
    attention: Tensor


class MessageBuilder:
    """Builds the sparse matrix of any part of the interactions without sorting.

    Args:
        data: The interactions.
    """

    def __init__(self, data: Interactions) -> None:
        self.data = data
        self.by_item = torch.argsort(data.pairs[1], stable=True)

    def __call__(self, kept: Tensor | None = None, weight: Tensor | None = None) -> Messages:
        """Build the messages of some pairs.

        Args:
            kept: `[num_pairs]`, bool; all of them by default.
            weight: `[num_pairs]`: weights of the recent ones.
        """
        data, by_item = self.data, self.by_item
        pairs = data.pairs if kept is None else data.pairs[:, kept]
        by_item = by_item if kept is None else by_item[kept[by_item]]
        turned = data.pairs[:, by_item]
        users = torch.bincount(pairs[0], minlength=data.num_users)
        items = torch.bincount(pairs[1], minlength=data.num_items)
        degree = torch.cat([users, items])
        root = degree.clamp(min=1).float().rsqrt()
        row = torch.cat([pairs[0], turned[1] + data.num_users])
        column = torch.cat([pairs[1] + data.num_users, turned[0]])
        start = nn.functional.pad(degree.cumsum(0), (1, 0))
        values, recent = root[row] * root[column], None
        matrix = csr_matrix(start, column, values, (degree.numel(), degree.numel()))
        if weight is not None:
            weight = torch.cat([weight if kept is None else weight[kept], weight[by_item]])
            recent = csr_matrix(start, column, values * weight, (degree.numel(), degree.numel()))
        return Messages(pairs, matrix, recent, users.float(), items.float())


class Gate(nn.Module):
    """How much the vector of a node's own counts, by its number of interactions: 0 without any, rising with them.

    Args:
        dim: Width; every coordinate has its own curve.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(dim))
        self.offset = nn.Parameter(torch.full((dim,), -2.0))

    def forward(self, degree: Tensor) -> Tensor:
        """`[num_nodes, dim]` in [0, 1)."""
        value = torch.sigmoid(degree.log1p().unsqueeze(1) * self.slope + self.offset)
        return value * (degree > 0).unsqueeze(1)


class GatedNetwork(nn.Module):
    """Vectors of users and items from content, interactions and vectors of their own.

    An item is `W x + gate(n) * z` with content `x`, number of interactions `n` and a vector `z` of its own; without
    interactions it is its content alone. A user is the attention-weighted mean of the items of their history, mapped,
    the same once more with weights that fall with time, plus a gated vector, plus one vector for all users. Categorical attributes are added to both. All are then averaged
    over steps of propagation as in LightGCN, with learnt weights of the steps.

    Args:
        data: The interactions.
        content: Content of the items.
        dim: Width.
        num_layers: Steps of propagation.
        num_rows: Rows of the table of attributes; 0 leaves attributes out.
    """

    def __init__(self, data: Interactions, content: ItemContent, dim: int, num_layers: int, num_rows: int) -> None:
        super().__init__()
        self.register_buffer("content", content.values, persistent=False)
        self.content_in = nn.Linear(content.values.size(1), dim, bias=False)
        self.item_own = nn.Parameter(torch.randn(data.num_items, dim) * 0.1)
        self.user_own = nn.Parameter(torch.randn(data.num_users, dim) * 0.1)
        self.item_gate, self.user_gate = Gate(dim), Gate(dim)
        self.profile_gate, self.recent_gate = Gate(dim), Gate(dim)
        self.bias_gate = Gate(1)
        self.profile, self.recent = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.attention = nn.Parameter(torch.zeros(dim))
        self.anyone = nn.Parameter(torch.zeros(dim))
        self.item_bias = nn.Parameter(torch.zeros(data.num_items))
        self.content_bias = nn.Parameter(torch.zeros(content.values.size(1)))
        self.popularity = nn.Parameter(torch.tensor(0.5))
        self.level = nn.Parameter(torch.zeros(num_layers + 1))
        self.attributes = HashedAttributes(data, dim, num_rows) if num_rows else None
        nn.init.normal_(self.content_in.weight, std=0.3 * dim**-0.5)
        nn.init.eye_(self.profile.weight)
        nn.init.eye_(self.recent.weight)

    content: Tensor

    @property
    def level_weights(self) -> Tensor:
        """Weight of each level, `[num_layers + 1]`, sum 1."""
        return torch.softmax(self.level, dim=0)

    def item_parts(self, messages: Messages, content: Tensor) -> tuple[Tensor, Tensor]:
        """Part of the items' vectors from content and attributes, and from vectors of their own: `[num_items, dim]`."""
        known = self.content_in(content)
        if self.attributes is not None:
            known = known + self.attributes.items()
        return known, self.item_gate(messages.item_degree) * self.item_own

    def user_parts(self, messages: Messages) -> dict[str, Tensor]:
        """Parts of the users' vectors besides the profile, each `[num_users, dim]`."""
        parts = {
            "own vector": self.user_gate(messages.user_degree) * self.user_own,
            "all users": self.anyone.expand(messages.user_degree.numel(), -1),
        }
        if self.attributes is not None:
            parts["attributes"] = self.attributes.users()
        return parts

    def profiles(self, messages: Messages, items: Tensor, attention: Tensor) -> dict[str, Tensor]:
        """Users as their items show them: all of these, and the recent ones; each `[num_users, dim]`.

        Args:
            messages: The interactions.
            items: `[num_items, dim]`.
            attention: `[num_items]`.
        """
        num_users = messages.user_degree.numel()
        # The symmetric matrix gives any weighted mean over a history, if its roots of degrees are taken back.
        weight = (attention * messages.item_degree.sqrt()).unsqueeze(1)
        wide = nn.functional.pad(torch.cat([items * weight, weight], dim=1), (0, 0, num_users, 0))
        found = {}
        for name, matrix, gate, linear in (
            ("profile", messages.matrix, self.profile_gate, self.profile),
            ("recent profile", messages.recent, self.recent_gate, self.recent),
        ):
            if matrix is not None:
                summed = propagate(matrix, wide)[:num_users]
                mean = summed[:, :-1] / summed[:, -1:].clamp(min=1e-12)
                found[name] = gate(messages.user_degree) * linear(mean)
        return found

    def forward(self, messages: Messages, *, dropout: float = 0.0) -> Encoded:
        """Encode all users and items.

        Args:
            messages: The interactions that may be read.
            dropout: Share of the entries of the content that are left out.
        """
        content = nn.functional.dropout(self.content, dropout, training=dropout > 0)
        known, own = self.item_parts(messages, content)
        items = known + own
        attention = torch.exp((items @ self.attention).clamp(-5, 5))
        parts = [*self.profiles(messages, items, attention).values(), *self.user_parts(messages).values()]
        users = torch.stack(parts).sum(dim=0)
        levels = [torch.cat([users, items])]
        for _ in range(self.level.numel() - 1):
            levels.append(propagate(messages.matrix, levels[-1]))
        num_users = messages.user_degree.numel()
        out = (torch.stack(levels) * self.level_weights.view(-1, 1, 1)).sum(dim=0)
        bias = self.bias_gate(messages.item_degree).squeeze(1) * self.item_bias + content @ self.content_bias
        bias = bias + self.popularity * messages.item_degree.log1p()
        return Encoded(out[:num_users], out[num_users:], bias, levels, attention)
