"""Re-ranks a shortlist with pseudo-relevance feedback: what is like the best of the list moves up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgraph.data.graph import MultimodalGraph
from mmgraph.inference.search import top_k
from mmgraph.inference.table import EmbeddingTable
from mmgraph.recommenders.base import check_least
from mmgraph.recommenders.interactions import Interactions, Scores
from mmgraph.recommenders.judge import Judge
from mmgraph.tasks.recommendation import RecommendationTask, ScoreFunction


@dataclass(frozen=True)
class RerankConfig:
    """Settings of re-ranking.

    Attributes:
        shortlist: Items that are re-ranked for each user; all others stay behind them.
        feedback: How many items at the top are taken for relevant: each is tried on valid.
        weights: Weights of the feedback: each is tried on valid; 0 keeps the order.
        negative: Weight of the rest of the shortlist, which is taken for irrelevant.
    """

    shortlist: int = 100
    feedback: tuple[int, ...] = (5, 10, 20)
    weights: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4, 0.8)
    negative: float = 0.25

    def __post_init__(self) -> None:
        check_least(self, 1, "shortlist")
        check_least(self, 0, "negative")


class _FromFunction(Scores):
    """A `ScoreFunction` that is called with numbers of users and items."""

    def __init__(self, data: Interactions, score: ScoreFunction) -> None:
        super().__init__(data)
        self.score = score

    def of(self, users: Tensor, items: Tensor) -> Tensor:
        return self.score(self.data.users[users], self.data.items[items])


class RerankedScores(Scores):
    """Scores whose best items were re-ranked by Rocchio's rule [1].

    The query is the user's own list: the mean unit vector of the top items minus `negative` times that of the rest of
    the shortlist. An item of the shortlist gets its standardised score plus `weight` times its standardised cosine with
    that. Training items are not listed, so they are no feedback either.

    Args:
        data: The interactions.
        base: The scores to re-rank.
        vectors: `[num_items, dim]`.
        config: Settings.
        feedback: Number of top items.
        weight: Weight of the feedback.

    References:
        [1] Rocchio, 1971, Relevance feedback in information retrieval, in: The SMART Retrieval System.
    """

    def __init__(
        self,
        data: Interactions,
        base: Scores,
        vectors: Tensor,
        config: RerankConfig,
        *,
        feedback: int,
        weight: float,
    ) -> None:
        super().__init__(data)
        self.base, self.vectors, self.config = base, vectors, config
        self.feedback, self.weight = feedback, weight

    def of(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of numbers of users and items."""
        everything = torch.arange(self.data.num_items, device=self.data.device)
        scores = self.base.of(users, everything)
        if self.weight:
            scores = self._reranked(scores, self.data.rows(users).bool())
        return scores[:, items]

    def _reranked(self, scores: Tensor, known: Tensor) -> Tensor:
        listed = scores.masked_fill(known, -torch.inf)
        best, place = top_k(listed, min(self.config.shortlist, scores.size(1)))
        real = best > -torch.inf
        vectors = self.vectors[place] * real.unsqueeze(2)
        top = vectors[:, : self.feedback]
        rest = vectors[:, self.feedback :]
        query = top.sum(dim=1) / real[:, : self.feedback].sum(dim=1, keepdim=True).clamp(min=1)
        if rest.size(1):
            count = real[:, self.feedback :].sum(dim=1, keepdim=True).clamp(min=1)
            query = query - self.config.negative * rest.sum(dim=1) / count
        cosine = (vectors @ nn.functional.normalize(query, dim=1).unsqueeze(2)).squeeze(2)
        changed = _standardised(best.masked_fill(~real, 0.0), real) + self.weight * _standardised(cosine, real)
        # Lift the shortlist above all others, whatever their scores are.
        others = listed.scatter(1, place, -torch.inf).amax(dim=1, keepdim=True)
        others = torch.where(torch.isfinite(others), others, 0.0)
        lowest = changed.masked_fill(~real, torch.inf).amin(dim=1, keepdim=True)
        lifted = torch.where(real, changed - lowest + others + 1, scores.gather(1, place))
        return scores.scatter(1, place, lifted)


def rerank(
    score: ScoreFunction,
    graph: MultimodalGraph,
    task: RecommendationTask,
    table: EmbeddingTable,
    *,
    config: RerankConfig | None = None,
) -> RerankedScores:
    """Re-rank the top of any recommender with vectors of the items; the amount is chosen by nDCG@10 on valid.

    Args:
        score: The recommender.
        graph: The graph, without anything held out.
        task: The task; its test rows are not read.
        table: Vectors of the items, joined by id, for example `raw_features(graph)`.
        config: Settings.

    Raises:
        InputError: If items are missing from the table, or its vectors are not finite.
    """
    config = config or RerankConfig()
    data = Interactions.of(graph, task)
    table.check_finite()
    vectors = table.vectors_of(graph.node_ids.values[data.items.numpy(force=True)]).to(data.device)
    vectors = nn.functional.normalize(vectors, dim=1)
    judge = Judge(data)
    base = _FromFunction(data, score)
    chosen = RerankedScores(data, base, vectors, config, feedback=1, weight=0.0)
    best = judge(chosen) if judge.has_valid else 0.0
    for feedback in config.feedback if judge.has_valid else ():
        for weight in config.weights:
            tried = RerankedScores(data, base, vectors, config, feedback=feedback, weight=weight)
            value = judge(tried) if weight else best
            if value > best:
                best, chosen = value, tried
    return chosen


def _standardised(values: Tensor, real: Tensor) -> Tensor:
    count = real.sum(dim=1, keepdim=True).clamp(min=1)
    mean = (values * real).sum(dim=1, keepdim=True) / count
    centred = (values - mean) * real
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    return torch.where(deviation > 1e-8, centred / deviation.clamp(min=1e-8), 0.0)
