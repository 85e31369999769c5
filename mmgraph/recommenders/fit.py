"""All recommenders by name, and one function that fits any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, unknown_choice
from mmgraph.inference.table import EmbeddingTable
from mmgraph.recommenders.als import ALSConfig, fit_als
from mmgraph.recommenders.base import check_least
from mmgraph.recommenders.bpr_mf import BPRConfig, fit_bpr_mf
from mmgraph.recommenders.ease import EASEConfig, fit_ease
from mmgraph.recommenders.freedom import FREEDOMConfig, fit_freedom
from mmgraph.recommenders.hybrid import GatedConfig, fit_gated
from mmgraph.recommenders.interactions import Interactions
from mmgraph.recommenders.lightgcn import LightGCNConfig, fit_lightgcn
from mmgraph.recommenders.vbpr import VBPRConfig, fit_vbpr
from mmgraph.tasks.controls import item_knn, popularity
from mmgraph.tasks.recommendation import RecommendationTask, ScoreFunction


@dataclass(frozen=True)
class PopularityConfig:
    """Popularity has no settings."""


@dataclass(frozen=True)
class ItemKNNConfig:
    """Settings of item-based nearest neighbours.

    Attributes:
        num_neighbors: Most similar items that count.
        shrink: Added to the denominator of a similarity.
    """

    num_neighbors: int = 100
    shrink: float = 10.0

    def __post_init__(self) -> None:
        check_least(self, 1, "num_neighbors")
        check_least(self, 0, "shrink")


def fit_popularity(data: Interactions, config: PopularityConfig, *, seed: int) -> ScoreFunction:
    """Count the users of each item."""
    del config, seed
    return popularity(data.graph, data.task)


def fit_item_knn(data: Interactions, config: ItemKNNConfig, *, seed: int) -> ScoreFunction:
    """Find the most similar items of each item."""
    del seed
    return item_knn(data.graph, data.task, num_neighbors=config.num_neighbors, shrink=config.shrink)


@dataclass(frozen=True)
class Recommender:
    """One method.

    Attributes:
        config: Class of its settings.
        fit: Fits it to interactions with settings and a seed.
        new_users: Whether it has something to say about users without any interaction. For other methods these get
            the popularity of the items, as their users would do.
        takes_table: Whether it can start from vectors of a pre-trained model.
    """

    config: type[Any]
    fit: Callable[..., ScoreFunction]
    new_users: bool = False
    takes_table: bool = False


RECOMMENDERS: Mapping[str, Recommender] = {
    "popularity": Recommender(PopularityConfig, fit_popularity, new_users=True),
    "item-knn": Recommender(ItemKNNConfig, fit_item_knn),
    "ease": Recommender(EASEConfig, fit_ease),
    "als": Recommender(ALSConfig, fit_als),
    "bpr-mf": Recommender(BPRConfig, fit_bpr_mf),
    "lightgcn": Recommender(LightGCNConfig, fit_lightgcn),
    "vbpr": Recommender(VBPRConfig, fit_vbpr),
    "freedom": Recommender(FREEDOMConfig, fit_freedom),
    "gated": Recommender(GatedConfig, fit_gated, new_users=True, takes_table=True),
}


class WithNewUsers:
    """Scores of a method, and for users without any interaction the popularity of the items.

    Args:
        score: The method.
        data: What it was fitted on.
    """

    def __init__(self, score: ScoreFunction, data: Interactions) -> None:
        self.score, self.data = score, data

    def __call__(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores `[len(users), len(items)]` of positions in the graph."""
        number, places = self.data.number_users(users), self.data.number_items(items)
        is_new = self.data.user_degree[number] == 0
        scores = self.score(users, items)
        if bool(is_new.any()):
            scores = scores.clone()
            scores[is_new.to(scores.device)] = self.data.item_degree[places].to(scores)
        return scores


def fit_recommender(
    name: str,
    graph: MultimodalGraph,
    task: RecommendationTask,
    *,
    seed: int = 0,
    config: Any = None,
    table: EmbeddingTable | None = None,
) -> ScoreFunction:
    """Fit a recommender to the training interactions of a graph.

    What is trained reads the edges of the graph alone; early stopping reads the valid rows of the task, and test rows
    are taken away before anything starts. The same seed gives the same scores on a CPU.

    Args:
        name: One of `RECOMMENDERS`.
        graph: The graph, without anything held out.
        task: The task; says what users and items are.
        seed: Seed of everything random.
        config: Settings of the method, its defaults if not given.
        table: Vectors of a model that was pre-trained on this very graph, for methods that can start from them. Test
            pairs of one split are edges of another: never take a model from another split.

    Returns:
        Scores of users and items, for `task.evaluate_scores`.

    Raises:
        InputError: If the method is unknown, the settings are of another method, ids are unknown or of the wrong type,
            or there is nothing to train on.
        MissingExtraError: If the method needs a package that is not installed.

    Example:
        >>> score = fit_recommender("ease", graph, task)  # doctest: +SKIP
        >>> task.evaluate_scores(score, graph)["ndcg@10"]  # doctest: +SKIP
    """
    if name not in RECOMMENDERS:
        raise unknown_choice("recommender", name, RECOMMENDERS)
    method = RECOMMENDERS[name]
    config = method.config() if config is None else config
    if type(config) is not method.config:
        raise InputError(f"recommender {name!r}: expected {method.config.__name__}, got {type(config).__name__}")
    if table is not None and not method.takes_table:
        able = ", ".join(other for other in RECOMMENDERS if RECOMMENDERS[other].takes_table)
        raise InputError(f"recommender {name!r}: expected no table, got {table!r}; {able} can start from one")
    data = Interactions.of(graph, task)
    score = method.fit(data, config, seed=seed, **({"table": table} if table is not None else {}))
    return score if method.new_users else WithNewUsers(score, data)
