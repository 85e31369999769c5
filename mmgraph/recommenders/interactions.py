"""The training interactions of a recommendation task as a matrix, and scores that read its rows and columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.tasks.recommendation import RecommendationTask, user_item_edges


@dataclass(frozen=True, eq=False)
class Interactions:
    """What a recommender may learn from: the edges of the task's relation, and the graph without anything held out.

    Users and items are numbered in ascending order of their ids, so that nothing depends on the order of the nodes or
    edges. The task has no test rows here: whoever trains cannot look at them.

    Attributes:
        graph: The graph.
        task: The task, its rows `seen` and `valid` alone.
        users: `[num_users]`: position in the graph of each user.
        items: `[num_items]`: position in the graph of each item.
        pairs: `[2, num_pairs]`: number of the user and of the item, each pair once, ascending.
    """

    graph: MultimodalGraph
    task: RecommendationTask
    users: Tensor
    items: Tensor
    pairs: Tensor

    @classmethod
    def of(cls, graph: MultimodalGraph, task: RecommendationTask) -> Interactions:
        """Collect the training interactions.

        Raises:
            InputError: If the relation, an id or a type does not fit, or there is no edge to train on.
        """
        edges = user_item_edges(graph, task.relation, task.user_type, task.item_type)
        for side, node_type in (("user", task.user_type), ("item", task.item_type)):
            _check_types(graph, task, side, node_type)
        if edges.size(1) == 0:
            raise InputError(f"{task.where}: graph {graph.name!r} has no edges {task.relation!r} to train on")
        users, items = (_by_id(graph, node_type) for node_type in (task.user_type, task.item_type))
        number = _numbers(graph, users) + _numbers(graph, items) + 1  # one of the two is -1
        key = torch.unique(number[edges[0]] * items.numel() + number[edges[1]])
        pairs = torch.stack([key // items.numel(), key % items.numel()])
        return cls(graph, without_test(task), users, items, pairs)

    @property
    def num_users(self) -> int:
        """Number of users, those without an interaction among them."""
        return self.users.numel()

    @property
    def num_items(self) -> int:
        """Number of items, those without an interaction among them."""
        return self.items.numel()

    @property
    def device(self) -> torch.device:
        """Device of the graph."""
        return self.graph.device

    @cached_property
    def user_degree(self) -> Tensor:
        """Number of items of each user, `[num_users]`, float32."""
        return torch.bincount(self.pairs[0], minlength=self.num_users).float()

    @cached_property
    def item_degree(self) -> Tensor:
        """Number of users of each item, `[num_items]`, float32."""
        return torch.bincount(self.pairs[1], minlength=self.num_items).float()

    @cached_property
    def known_items(self) -> Tensor:
        """Numbers of the items with an interaction, ascending."""
        return torch.nonzero(self.item_degree).flatten()

    @cached_property
    def keys(self) -> Tensor:
        """`user * num_items + item` of each pair, ascending."""
        return self.pairs[0] * self.num_items + self.pairs[1]

    @cached_property
    def starts(self) -> Tensor:
        """First pair of each user and, last, the number of pairs: `[num_users + 1]`."""
        return torch.nn.functional.pad(self.user_degree.long().cumsum(0), (1, 0))

    @cached_property
    def _number(self) -> tuple[Tensor, Tensor]:
        return _numbers(self.graph, self.users), _numbers(self.graph, self.items)

    def number_users(self, nodes: Tensor) -> Tensor:
        """Numbers of users that are given by their positions in the graph.

        Raises:
            InputError: If one is no user.
        """
        return self._numbered(nodes, 0, self.task.user_type)

    def number_items(self, nodes: Tensor) -> Tensor:
        """Numbers of items that are given by their positions in the graph.

        Raises:
            InputError: If one is no item.
        """
        return self._numbered(nodes, 1, self.task.item_type)

    def contains(self, users: Tensor, items: Tensor) -> Tensor:
        """Which pairs of numbers are training interactions, bool, of their common shape."""
        key = users * self.num_items + items
        place = torch.searchsorted(self.keys, key).clamp(max=self.keys.numel() - 1)
        return self.keys[place] == key

    def history(self, user: int) -> Tensor:
        """Numbers of the items of a user, ascending."""
        return self.pairs[1, int(self.starts[user]) : int(self.starts[user + 1])]

    def rows(self, users: Tensor, values: Tensor | None = None) -> Tensor:
        """Rows of the matrix of interactions, `[len(users), num_items]`, float32.

        Args:
            users: Numbers of users.
            values: `[num_pairs]`: what to write in place of 1.
        """
        count = self.starts[users + 1] - self.starts[users]
        row = torch.repeat_interleave(torch.arange(users.numel(), device=users.device), count)
        first = torch.repeat_interleave(count.cumsum(0) - count, count)
        place = torch.arange(row.numel(), device=users.device) - first + self.starts[users][row]
        rows = torch.zeros(users.numel(), self.num_items, device=users.device)
        rows[row, self.pairs[1, place]] = 1.0 if values is None else values[place]
        return rows

    def _numbered(self, nodes: Tensor, side: int, node_type: str) -> Tensor:
        number = self._number[side][nodes.to(self.device)]
        if bool((number < 0).any()):
            node = int(nodes.to(self.device)[number < 0][0])
            raise InputError(
                f"{self.task.where}: expected nodes of type {node_type!r}, got {_id_of(self.graph, node)!r}"
            )
        return number


class Scores(ABC):
    """A fitted recommender: a `ScoreFunction`, called with positions in the graph.

    Args:
        data: What it was fitted on.
    """

    def __init__(self, data: Interactions) -> None:
        self.data = data

    def __call__(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores `[len(users), len(items)]` of users and items, both given by their positions in the graph.

        Raises:
            InputError: If a node is of the wrong type.
        """
        return self.of(self.data.number_users(users), self.data.number_items(items))

    @abstractmethod
    def of(self, users: Tensor, items: Tensor) -> Tensor:
        """The same for numbers of users and items."""


class FactorScores(Scores):
    """Inner products of vectors, and a bias for each item.

    Args:
        data: What the vectors were fitted on.
        users: `[num_users, dim]`.
        items: `[num_items, dim]`.
        bias: `[num_items]`.
    """

    def __init__(self, data: Interactions, users: Tensor, items: Tensor, bias: Tensor | None = None) -> None:
        super().__init__(data)
        self.users, self.items, self.bias = users.detach(), items.detach(), None if bias is None else bias.detach()

    def of(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of numbers of users and items."""
        scores = self.users[users] @ self.items[items].t()
        return scores if self.bias is None else scores + self.bias[items]


def without_test(task: RecommendationTask) -> RecommendationTask:
    """The task without its test rows."""
    kept = task.interactions.filter(pc.not_equal(task.interactions["split"], "test"))
    return RecommendationTask(task.name, task.relation, task.user_type, task.item_type, kept)


def _check_types(graph: MultimodalGraph, task: RecommendationTask, side: str, node_type: str) -> None:
    column: pa.ChunkedArray = task.interactions[side]
    where = f"{task.where}, column {side!r}"
    nodes = torch.from_numpy(graph.node_ids.positions(column, where=where))
    wrong = graph.node_type.cpu()[nodes] != graph.node_types.index(node_type)
    if bool(wrong.any()):
        found = _id_of(graph, int(nodes[wrong][0]))
        raise InputError(f"{where}: expected nodes of type {node_type!r}, got {found!r}")


def _id_of(graph: MultimodalGraph, node: int) -> int | str:
    found: int | str = graph.node_ids.values[[node]].tolist()[0]
    return found


def _by_id(graph: MultimodalGraph, node_type: str) -> Tensor:
    nodes = graph.nodes_of_type(node_type)
    order = np.argsort(graph.node_ids.values[nodes.numpy(force=True)], kind="stable")
    return nodes[torch.from_numpy(order).to(nodes.device)]


def _numbers(graph: MultimodalGraph, nodes: Tensor) -> Tensor:
    number = torch.full((graph.num_nodes,), -1, dtype=torch.int64, device=nodes.device)
    number[nodes] = torch.arange(nodes.numel(), device=nodes.device)
    return number
