"""Graphs of users and items with latent tastes, and the truth about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.synthetic.filling import collect_graph
from mmgraph.synthetic.recommendation_bounds import RecommendationBounds, Scores, expected_recommendation
from mmgraph.synthetic.user_item_config import UserItemConfig
from mmgraph.synthetic.user_item_model import UserItemModel


@dataclass(frozen=True, eq=False)
class UserItemTruth:
    """What users like, and the best that anyone can make of it. Rows are those of the graph.

    Attributes:
        model: Config, seed and everything they determine.
    """

    model: UserItemModel

    @property
    def latent(self) -> Tensor:
        """Latent vector of each node, `[num_nodes, dim]`, float64."""
        out = torch.empty(self.model.num_nodes, self.model.config.dim, dtype=torch.float64)
        out[torch.from_numpy(self.model.user_rows)] = torch.from_numpy(self.model.users)
        out[torch.from_numpy(self.model.item_rows)] = torch.from_numpy(self.model.items)
        return out

    @property
    def cold(self) -> Tensor:
        """Rows of the cold items, ascending."""
        return torch.from_numpy(self.model.item_rows[self.model.cold])

    def scores(self, users: Tensor, items: Tensor) -> Tensor:
        """The oracle recommender: logits of rows, `[num_users, num_items]`, as `RecommendationTask.evaluate_scores` asks."""
        number = self.model.number
        return torch.from_numpy(self.model.logits(number[users.numpy()], number[items.numpy()]))

    def expected(
        self, scores: Scores | None = None, *, split: str = "test", ks: Sequence[int] = (10, 20)
    ) -> RecommendationBounds:
        """Expected Recall@k, nDCG@k and MRR@k of a recommender; by default of the oracle, which are the best possible.

        See `recommendation_bounds.expected_recommendation`, where it is proved.
        """
        return expected_recommendation(self.model, scores, split=split, ks=ks)


@dataclass(frozen=True, eq=False)
class UserItemGraph:
    """A graph, and apart from it what must not be seen.

    Attributes:
        graph: The graph. Features of users are absent; absent rows are NaN on purpose.
        held_out: Interactions that are not in the graph: `user`, `item` (ids), `split` (`valid` or `test`), `time` and,
            if there are any, `rating`; one of each split for every user.
        truth: Tastes, the oracle and bounds.
    """

    graph: MultimodalGraph
    held_out: pa.Table
    truth: UserItemTruth


def user_item_graph(config: UserItemConfig | None = None, seed: int = 0) -> UserItemGraph:
    """Make a graph of users who choose items by taste and popularity, and items whose content shows their taste.

    Example:
        >>> tastes = user_item_graph(UserItemConfig(num_users=50, num_items=30))
        >>> tastes.graph.relations["interacted"].num_edges + tastes.held_out.num_rows
        729

    Args:
        config: The graph; by default 500 users, 400 items of which a tenth is cold, a text and an image that each show
            half of the latent dimensions.
        seed: Seed of everything. `write_synthetic_graph` with the same config and seed writes the same graph.
    """
    model = UserItemModel(config or UserItemConfig(), seed)
    graph, held_out = collect_graph(model)
    return UserItemGraph(graph, as_interactions(held_out), UserItemTruth(model))


def as_interactions(held_out: pa.Table) -> pa.Table:
    """Name the ends of held-out edges `user` and `item`."""
    table = held_out.drop_columns(["relation"])
    return table.rename_columns(["user", "item", *table.column_names[2:]])
