"""Do embeddings of users lie close to the items that they will like?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, unknown_choice
from mmgraph.inference.search import top_k
from mmgraph.metrics.beyond_accuracy import catalogue_coverage, exposure_gini, novelty, popularity_ratio
from mmgraph.metrics.ranking import Ranks
from mmgraph.metrics.top_k import list_ranks, per_list_metrics
from mmgraph.tasks.alignment import AlignedGraph, CosineScores, PairSet, chunk_size, refuse_leaks
from mmgraph.tasks.base import QueryFunction, Task, checked_table, text_setting

if TYPE_CHECKING:
    from mmgraph.inference.table import EmbeddingTable

ScoreFunction = Callable[[Tensor, Tensor], Tensor]
"""Scores `[num_users, num_items]` of users and items, both given by their positions in the graph."""


@dataclass(frozen=True, eq=False)
class _Positives:
    """What became of the positives of a split, grouped by user.

    Attributes:
        ranks: One rank for each.
        user: `[num_positives]`: number of the user.
        is_cold: `[num_positives]`: the item has no edge of the relation.
        beyond: What the top 10 of all users look like as a whole, see `RecommendationTask.evaluate_scores`.
    """

    ranks: Ranks
    user: Tensor
    is_cold: Tensor
    beyond: dict[str, float]


class RecommendationTask(Task):
    """Full ranking of all items for every user with a held-out interaction.

    Args:
        name: Name of the task.
        relation: Relation of the graph that holds the training interactions, together with its declared reverse.
        user_type: Node type of the users.
        item_type: Node type of the items.
        interactions: Columns `user`, `item` (ids) and `split`: `valid` and `test` are the held-out positives,
            `seen` are further items that the user knows already; those are never recommended nor counted.

    Raises:
        InputError: If columns are missing or a pair occurs twice.
    """

    kind: ClassVar[str] = "recommendation"
    splits: ClassVar[tuple[str, ...]] = ("seen", "valid", "test")

    def __init__(self, name: str, relation: str, user_type: str, item_type: str, interactions: pa.Table) -> None:
        super().__init__(name)
        self.relation, self.user_type, self.item_type = relation, user_type, item_type
        interactions = checked_table(self.where, interactions, ids=("user", "item"), splits=self.splits)
        self.interactions = interactions.select(["user", "item", "split"])

    @property
    def protocol(self) -> str:
        """One line for the report."""
        return (
            "full ranking over all items, mean over users with a positive in the split, "
            "mask=train+seen (at test also valid), ties by mean rank"
        )

    def tables(self) -> dict[str, pa.Table]:
        """`interactions`."""
        return {"interactions": self.interactions}

    def settings(self) -> dict[str, Any]:
        """The relation and the types."""
        return {"relation": self.relation, "user_type": self.user_type, "item_type": self.item_type}

    @classmethod
    def from_tables(cls, name: str, tables: Mapping[str, pa.Table], settings: Mapping[str, Any], root: Path) -> Self:
        """Rebuild from files."""
        del root
        relation, user_type, item_type = (text_setting(settings, key) for key in ("relation", "user_type", "item_type"))
        return cls(name, relation, user_type, item_type, tables["interactions"])

    def num_examples(self, split: str) -> int:
        """Number of users with at least one positive in this split."""
        rows = self.interactions.filter(pc.equal(self.interactions["split"], split))
        return int(pc.count_distinct(rows["user"]).as_py())

    def evaluate(
        self,
        table: EmbeddingTable,
        graph: MultimodalGraph,
        *,
        split: str = "test",
        seed: int = 0,
        encode_query: QueryFunction | None = None,
    ) -> dict[str, float]:
        """Rank items by the cosine between user and item, see `evaluate_scores`; nothing is random."""
        del seed, encode_query
        return self.evaluate_scores(cosine_scores(table, graph), graph, split=split)

    def ranks(self, table: EmbeddingTable, graph: MultimodalGraph, *, split: str = "test") -> Ranks:
        """Rank of every positive in the list of its user by cosine: one rank for each, grouped by user."""
        return self._ranks(cosine_scores(table, graph), graph, split).ranks

    def evaluate_scores(self, score: ScoreFunction, graph: MultimodalGraph, *, split: str = "test") -> dict[str, float]:
        """Evaluate anything that scores users and items, for instance a popularity baseline.

        Args:
            score: Called with chunks of users and always the same items, all items in ascending order of id.
            graph: The graph without anything held out; its edges of the relation are masked.
            split: `valid` or `test`.

        Returns:
            `recall@10`, `recall@20`, `ndcg@10`, `ndcg@20`, `hit@10`, `map@10` (means over users) and `tie_rate`. Of the
            lists of ten as a whole (`mmgraph.metrics.beyond_accuracy`): `coverage` (share of the items that are in at
            least one), `exposure_gini`, `novelty` in bits, and `popularity_ratio` to what these users chose in training,
            if they chose anything. If the positives hold both items with and items without an edge of the relation,
            also `recall@10` and `recall@20` of each, `/warm` and `/cold`: the share of a user's warm or cold positives
            in the same list of all items, mean over users who have some.

        Raises:
            InputError: If ids or the relation are unknown, types do not fit, a held-out pair is an edge of the
                graph, or scores are NaN.
        """
        found = self._ranks(score, graph, split)
        per_user = per_list_metrics(found.ranks.rank, found.user, (10, 20))
        names = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "hit@10", "map@10")
        metrics = {name: float(per_user[name].mean()) for name in names}
        metrics |= {"tie_rate": float(found.ranks.tied.double().mean()), **found.beyond}
        if bool(found.is_cold.any()) and not bool(found.is_cold.all()):
            for kind, rows in (("warm", ~found.is_cold), ("cold", found.is_cold)):
                per_user = per_list_metrics(found.ranks.rank[rows], found.user[rows], (10, 20))
                metrics |= {f"{name}/{kind}": float(per_user[name].mean()) for name in ("recall@10", "recall@20")}
        return metrics

    def per_user(
        self, score: ScoreFunction, graph: MultimodalGraph, *, split: str = "test", ks: Sequence[int] = (10, 20)
    ) -> dict[str, Tensor]:
        """Metrics of each user with a positive in the split, `[num_users]` each, by ascending id: for paired tests.

        Args:
            score: As for `evaluate_scores`.
            graph: The graph without anything held out.
            split: `valid` or `test`.
            ks: Cut-offs, see `per_list_metrics`.
        """
        found = self._ranks(score, graph, split)
        return per_list_metrics(found.ranks.rank, found.user, ks)

    def _ranks(self, score: ScoreFunction, graph: MultimodalGraph, split: str) -> _Positives:
        self.check_split(split)
        aligned = AlignedGraph(graph)
        pairs, masked = self._pairs(aligned, split)
        items = torch.nonzero(aligned.node_type == graph.node_types.index(self.item_type)).flatten()
        column = torch.full((aligned.num_nodes,), -1, dtype=torch.int64)
        column[items] = torch.arange(items.numel())
        order = torch.from_numpy(aligned.order)
        users, user_of_pair = torch.unique(pairs[0], return_inverse=True)
        by_user = torch.argsort(user_of_pair, stable=True)
        pairs, user_of_pair = pairs[:, by_user], user_of_pair[by_user]
        parts, lists, step = [], [], chunk_size(items.numel())
        copy: Tensor | None = None  # masked in place; the scores may be a view of what their function keeps
        for start in range(0, users.numel(), step):
            nodes = users[start : start + step]
            scores = score(order[nodes], order[items])
            if scores.shape != (nodes.numel(), items.numel()):
                raise InputError(f"scores must be [{nodes.numel()}, {items.numel()}], got {list(scores.shape)}")
            row, item = masked.of(nodes)
            # One copy for all chunks: new memory for each costs as much as a tenth of the products.
            copy = torch.empty_like(scores, memory_format=torch.contiguous_format) if copy is None else copy
            scores = copy[: len(scores)].copy_(scores)
            scores[row.to(scores.device), column[item].to(scores.device)] = -torch.inf
            inside = (user_of_pair >= start) & (user_of_pair < start + step)
            relevant = torch.stack([user_of_pair[inside] - start, column[pairs[1, inside]]])
            parts.append(list_ranks(scores, relevant.to(scores.device)))
            best, top = top_k(scores, min(10, items.numel()))
            lists.append(top.masked_fill(best == -torch.inf, -1).cpu())
        ranks = Ranks.cat(parts)
        train = user_item_edges(graph, self.relation, self.user_type, self.item_type).cpu()
        train = torch.unique(aligned.position[train], dim=1)  # a user who came twice is one user
        popularity = torch.bincount(column[train[1]], minlength=items.numel())
        is_cold = (popularity == 0)[column[pairs[1]]]
        known = torch.isin(train[0], users)
        profiles = torch.stack([train[0, known], column[train[1, known]]])
        num_users = int((aligned.node_type == graph.node_types.index(self.user_type)).sum())
        beyond = _beyond_accuracy(torch.cat(lists), profiles, popularity, num_users) if lists else {}
        device = ranks.rank.device
        return _Positives(ranks, user_of_pair.to(device), is_cold.to(device), beyond)

    def _pairs(self, aligned: AlignedGraph, split: str) -> tuple[Tensor, PairSet]:
        """Positives of a split `[2, n]` (user, item) and everything that is masked for it, aligned."""
        graph = aligned.graph
        train = aligned.position[user_item_edges(graph, self.relation, self.user_type, self.item_type).cpu()]
        ends = []
        for side, node_type in (("user", self.user_type), ("item", self.item_type)):
            nodes = aligned.find(self.interactions[side], f"{self.where}, column {side!r}")
            wrong = aligned.node_type[nodes] != graph.node_types.index(node_type)
            if bool(wrong.any()):
                found = aligned.ids[int(nodes[wrong][0])]
                raise InputError(f"{self.where}, column {side!r}: expected nodes of type {node_type!r}, got {found!r}")
            ends.append(nodes)
        pairs = torch.stack(ends)
        rows = {name: torch.from_numpy(pc.equal(self.interactions["split"], name).to_numpy()) for name in self.splits}
        refuse_leaks(self.where, aligned, pairs[:, rows["valid"] | rows["test"]])
        masked = rows["seen"] | rows["valid"] if split == "test" else rows["seen"]
        return pairs[:, rows[split]], PairSet(torch.cat([train, pairs[:, masked]], dim=1), aligned.num_nodes)


def _beyond_accuracy(listed: Tensor, profiles: Tensor, popularity: Tensor, num_users: int) -> dict[str, float]:
    if not bool((listed >= 0).any()):  # every user knows every item
        return {"coverage": 0.0}
    found = {
        "coverage": catalogue_coverage(listed, popularity.numel()),
        "exposure_gini": exposure_gini(listed, popularity.numel()),
        "novelty": novelty(listed, popularity, num_users),
    }
    if profiles.size(1):
        found["popularity_ratio"] = popularity_ratio(listed, profiles, popularity)
    return found


def cosine_scores(table: EmbeddingTable, graph: MultimodalGraph) -> ScoreFunction:
    """Scores of users and items by the cosine of their vectors."""
    aligned = AlignedGraph(graph)
    vectors = aligned.unit_vectors(table)
    scorers: dict[int, CosineScores] = {}

    def cosine(users: Tensor, items: Tensor) -> Tensor:
        if not scorers:  # the items are the same in every call
            scorers[0] = CosineScores(vectors[aligned.position[items].to(vectors.device)])
        return scorers[0](vectors[aligned.position[users].to(vectors.device)])

    return cosine


def user_item_edges(graph: MultimodalGraph, relation: str, user_type: str, item_type: str) -> Tensor:
    """Edges of a relation as users (row 0) and items (row 1), whichever way it is stored: `[2, num_edges]`.

    Pairs that only the declared reverse of the relation states follow, each once: splits read both as well.

    Raises:
        InputError: If the relation is unknown or connects other types.
    """
    if relation not in graph.relations:
        raise unknown_choice("relation", relation, graph.relations)
    edges = graph.relations[relation]
    if {edges.source_type, edges.target_type} != {user_type, item_type}:
        raise InputError(
            f"relation {relation!r}: expected {user_type!r} and {item_type!r}, "
            f"got {edges.source_type!r} and {edges.target_type!r}"
        )
    from_users = edges.source_type == user_type
    pairs = edges.edge_index if from_users else edges.edge_index.flip(0)
    if edges.reverse is None:
        return pairs
    n = graph.num_nodes
    known = pairs[0] * n + pairs[1]
    mirrored = graph.relations[edges.reverse].edge_index
    mirrored = mirrored.flip(0) if from_users else mirrored
    more = torch.unique(mirrored[0] * n + mirrored[1])
    more = more[~torch.isin(more, known)]
    return torch.cat([pairs, torch.stack([more // n, more % n])], dim=1)
