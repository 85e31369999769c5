"""Do embeddings of linked nodes lie close together?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.files import content_digest
from mmgraph.metrics.ranking import Ranks, ranking_metrics, ranks_against
from mmgraph.splits.negatives import negatives_digest
from mmgraph.tasks.alignment import AlignedGraph, CosineScores, PairSet, chunk_size, refuse_leaks
from mmgraph.tasks.base import QueryFunction, Task, checked_table
from mmgraph.tasks.fixed_negatives import checked_negatives, rank_against_fixed

if TYPE_CHECKING:
    from mmgraph.inference.table import EmbeddingTable


class LinkPredictionTask(Task):
    """Ranking of held-out edges by cosine, among all nodes or among negatives that the task holds.

    Full ranking, the default: each edge is ranked twice: its target among all nodes of the target's type, and its source among all nodes of
    the source's type. Known neighbours of the query node, in any relation and direction, in the graph, `valid` or
    `test`, are no candidates (filtered ranking): a cosine knows neither relation nor direction, so to rank a known
    neighbour first is no mistake. The query node itself is no candidate either.

    Args:
        name: Name of the task.
        edges: Columns `source`, `target` (ids), `relation` and `split` (`valid`, `test`). The graph must not
            contain these pairs, in whatever direction or relation.

    Raises:
        InputError: If columns are missing or an edge occurs twice.
    """

    kind: ClassVar[str] = "link_prediction"
    splits: ClassVar[tuple[str, ...]] = ("valid", "test")

    def __init__(self, name: str, edges: pa.Table) -> None:
        super().__init__(name)
        edges = checked_table(self.where, edges, ids=("source", "target"), texts=("relation",), splits=self.splits)
        self.edges = edges.select(["source", "target", "relation", "split"])
        if "negatives" in edges.column_names:
            negatives = checked_negatives(self.where, edges["negatives"], self.edges["target"].type)
            self.edges = self.edges.append_column("negatives", negatives)

    @cached_property
    def negatives_digest(self) -> str | None:
        """Hash of the fixed negatives, `None` without any; see `mmgraph.splits.negatives.negatives_digest`."""
        return negatives_digest(self.edges) if "negatives" in self.edges.column_names else None

    @cached_property
    def digest(self) -> str:
        """Hash of the edges, and of their negatives if they are fixed."""
        if self.negatives_digest is None:
            return str(super().digest)
        without = LinkPredictionTask(self.name, self.edges.drop_columns(["negatives"]))
        return content_digest(without.digest, self.negatives_digest)

    @property
    def protocol(self) -> str:
        """One line for the report."""
        if self.negatives_digest is not None:
            return (
                "target ranked among the fixed negatives of its edge only, nothing filtered, cosine, ties by mean rank; "
                f"negatives {self.negatives_digest[:12]}"
            )
        return (
            "full ranking over all nodes of the type, filtered (graph, valid, test; any relation, both directions), "
            "mean of both ends, cosine, ties by mean rank"
        )

    def tables(self) -> dict[str, pa.Table]:
        """`edges`."""
        return {"edges": self.edges}

    @classmethod
    def from_tables(cls, name: str, tables: Mapping[str, pa.Table], settings: Mapping[str, Any], root: Path) -> Self:
        """Rebuild from files."""
        del settings, root
        return cls(name, tables["edges"])

    def num_examples(self, split: str) -> int:
        """Number of held-out edges; each is ranked in both directions, or once among fixed negatives."""
        return int(pc.sum(pc.equal(self.edges["split"], split)).as_py() or 0)

    def evaluate(
        self,
        table: EmbeddingTable,
        graph: MultimodalGraph,
        *,
        split: str = "test",
        seed: int = 0,
        encode_query: QueryFunction | None = None,
    ) -> dict[str, float]:
        """`mrr`, `hits@1`, `hits@3`, `hits@10`, `amri` and `tie_rate`, see `ranking_metrics`; nothing is random."""
        del seed, encode_query
        self.check_split(split)
        return ranking_metrics(self.ranks(table, graph, split=split))

    def ranks(self, table: EmbeddingTable, graph: MultimodalGraph, *, split: str = "test") -> Ranks:
        """Rank of every edge at both ends: `2 * num_examples` ranks, grouped by type of the candidates.

        Among fixed negatives: one rank for each edge, in the order of `edges`.
        """
        aligned = AlignedGraph(graph)
        held_out = self.check(aligned)
        vectors = aligned.unit_vectors(table)
        if self.negatives_digest is not None:
            rows = pc.equal(self.edges["split"], split)
            lists = self.edges["negatives"].filter(rows).combine_chunks()
            others = aligned.find(lists.flatten(), f"{self.where}, column 'negatives'")
            pairs = held_out[:, torch.from_numpy(rows.to_numpy())]
            lengths = torch.tensor(pc.list_value_length(lists).to_pylist(), dtype=torch.int64)
            return rank_against_fixed(vectors, pairs, others, lengths)
        known = PairSet(torch.cat([aligned.edges(), held_out, held_out.flip(0)], dim=1), aligned.num_nodes)
        chosen = held_out[:, torch.from_numpy(pc.equal(self.edges["split"], split).to_numpy())]
        pairs = torch.cat([chosen, chosen.flip(0)], dim=1)  # query node, positive
        found_type = aligned.node_type[pairs[1]]
        parts = []
        for code in torch.unique(found_type).tolist():
            candidates = torch.nonzero(aligned.node_type == code).flatten()
            cosine = CosineScores(vectors[candidates.to(vectors.device)])

            def scores(nodes: Tensor, cosine: CosineScores = cosine) -> Tensor:
                return cosine(vectors[nodes.to(vectors.device)])

            parts.append(rank_type(scores, candidates, pairs[:, found_type == code], known))
        return Ranks.cat(parts)

    def check(self, aligned: AlignedGraph) -> Tensor:
        """Aligned positions of all held-out edges, `[2, num_edges]`.

        Raises:
            InputError: If ids are unknown, a pair is an edge of the graph, or valid and test share a pair.
        """
        ends = [aligned.find(self.edges[side], f"{self.where}, column {side!r}") for side in ("source", "target")]
        held_out = torch.stack(ends)
        refuse_leaks(self.where, aligned, held_out)
        is_test = torch.from_numpy(pc.equal(self.edges["split"], "test").to_numpy())
        test = held_out[:, is_test]
        shared = PairSet(torch.cat([test, test.flip(0)], dim=1), aligned.num_nodes).contains(held_out[:, ~is_test])
        if bool(shared.any()):
            raise InputError(f"{self.where}: {int(shared.sum()):,} pairs occur in both valid and test")
        return held_out


def rank_type(score: Callable[[Tensor], Tensor], candidates: Tensor, pairs: Tensor, known: PairSet) -> Ranks:
    """Rank the second node of each pair among the candidates, for the first node as the query.

    Args:
        score: Scores `[num_queries, num_candidates]` of some query nodes, a tensor that may be written to.
        candidates: `[num_candidates]`: nodes of one type.
        pairs: `[2, num_pairs]`: query node and positive; every positive is a candidate.
        known: All known pairs in both directions, the positives among them.

    Returns:
        One rank for each pair, pairs in ascending order of their query.
    """
    column = torch.full((known.num_nodes,), -1, dtype=torch.int64)
    column[candidates] = torch.arange(candidates.numel())
    pairs = pairs[:, torch.argsort(pairs[0], stable=True)]
    queries, query_of_pair = torch.unique(pairs[0], return_inverse=True)
    step = chunk_size(candidates.numel())
    parts = []
    for start in range(0, queries.numel(), step):
        nodes = queries[start : start + step]
        inside = (query_of_pair >= start) & (query_of_pair < start + step)
        scores = score(nodes)
        device = scores.device
        row, positive = (query_of_pair[inside] - start).to(device), column[pairs[1, inside]].to(device)
        value = scores[row, positive]
        known_row, partner = known.of(nodes)
        known_row = torch.cat([known_row, torch.arange(nodes.numel())])
        known_column = column[torch.cat([partner, nodes])]  # the node itself is no candidate
        listed = known_column >= 0
        scores[known_row[listed].to(device), known_column[listed].to(device)] = -torch.inf
        parts.append(ranks_against(value, scores, row))
    return Ranks.cat(parts)
