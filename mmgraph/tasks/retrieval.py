"""Do free queries, which the graph has never seen, find their nodes?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, first_few
from mmgraph.metrics.ranking import Ranks
from mmgraph.metrics.top_k import best_ranks, list_ranks, per_list_metrics
from mmgraph.tasks.alignment import AlignedGraph, CosineScores, chunk_size
from mmgraph.tasks.base import QueryFunction, Task, checked_table, text_setting

if TYPE_CHECKING:
    from mmgraph.inference.table import EmbeddingTable

METRICS = ("recall@1", "recall@5", "recall@10", "ndcg@10", "hit@1")
"""Means over queries; a relevant node with a tie has its mean rank."""


class NodeRetrievalTask(Task):
    """Full ranking of nodes for free queries.

    Candidates are all nodes of the types that relevant nodes have.

    Args:
        name: Name of the task.
        modality: What the queries are: `text`, or `image` (then each query is a path, relative to the dataset).
        queries: Columns `query`, `id` (a relevant node; a query with several relevant nodes has several rows) and
            `split` (`train`, `valid`, `test`).
        root: Folder that paths of images are relative to.

    Raises:
        InputError: If columns are missing, a pair occurs twice, or a query lies in two splits.
    """

    kind: ClassVar[str] = "node_retrieval"
    splits: ClassVar[tuple[str, ...]] = ("train", "valid", "test")

    def __init__(self, name: str, modality: str, queries: pa.Table, root: Path | None = None) -> None:
        super().__init__(name)
        if not modality:
            raise InputError(f"{self.where}: expected the modality of the queries, got an empty name")
        self.modality, self.root = modality, root
        queries = checked_table(self.where, queries, ids=("id",), texts=("query",), splits=self.splits)
        self.queries = queries.select(["query", "id", "split"]).sort_by([("query", "ascending"), ("id", "ascending")])
        homes = self.queries.group_by("query").aggregate([("split", "count_distinct")])
        torn = homes.filter(pc.greater(homes["split_count_distinct"], 1))["query"].to_pylist()
        if torn:
            raise InputError(f"{self.where}: queries lie in more than one split: {first_few(sorted(torn))}")

    @property
    def protocol(self) -> str:
        """One line for the report."""
        return f"free {self.modality} queries, full ranking over all nodes of the type, cosine, ties by mean rank"

    def tables(self) -> dict[str, pa.Table]:
        """`queries`."""
        return {"queries": self.queries}

    def settings(self) -> dict[str, Any]:
        """The modality of the queries."""
        return {"modality": self.modality}

    @classmethod
    def from_tables(cls, name: str, tables: Mapping[str, pa.Table], settings: Mapping[str, Any], root: Path) -> Self:
        """Rebuild from files."""
        return cls(name, text_setting(settings, "modality"), tables["queries"], root)

    def num_examples(self, split: str) -> int:
        """Number of distinct queries."""
        rows = self.queries.filter(pc.equal(self.queries["split"], split))
        return int(pc.count_distinct(rows["query"]).as_py())

    def evaluate(
        self,
        table: EmbeddingTable,
        graph: MultimodalGraph,
        *,
        split: str = "test",
        seed: int = 0,
        encode_query: QueryFunction | None = None,
    ) -> dict[str, float]:
        """Rank nodes by their cosine with the query; nothing is random.

        Returns:
            `recall@1`, `recall@5`, `recall@10` (share of the relevant nodes), `ndcg@10` (binary), `hit@1`, `mrr` and
            `median_rank` (of the best relevant node) and `tie_rate`.

        Raises:
            InputError: Also if `encode_query` is not given, or gives NaN, zero or too wide vectors.
        """
        del seed
        per_query, tied = self._per_query(table, graph, split, encode_query)
        metrics = {name: float(per_query[name].mean()) for name in METRICS}
        metrics["mrr"] = float(per_query["mrr"].mean())
        metrics["median_rank"] = float(per_query["best_rank"].quantile(0.5))
        return metrics | {"tie_rate": tied}

    def evaluate_queries(
        self, table: EmbeddingTable, graph: MultimodalGraph, *, encode_query: QueryFunction, split: str = "test"
    ) -> pa.Table:
        """What `evaluate` takes the means of, for tests of significance and for a look at single queries.

        Returns:
            One row per query, by query: `query`, `recall@1`, `recall@5`, `recall@10`, `ndcg@10`, `hit@1`, `mrr` (reciprocal
            of the best rank) and `best_rank`.

        Raises:
            InputError: As `evaluate`.
        """
        per_query, _ = self._per_query(table, graph, split, encode_query)
        columns = {name: per_query[name].cpu().numpy() for name in (*METRICS, "mrr", "best_rank")}
        return pa.table({"query": self._queries(split), **columns})

    def _per_query(
        self, table: EmbeddingTable, graph: MultimodalGraph, split: str, encode_query: QueryFunction | None
    ) -> tuple[dict[str, Tensor], float]:
        """Metrics `[num_queries]` by name, and the share of ranks that are ties."""
        self.check_split(split)
        if encode_query is None:
            raise InputError(f"{self.where}: a retrieval task needs a query encoder (encode_query), got none")
        ranks, query_of_pair = self._ranks(table, graph, split, encode_query)
        best = best_ranks(ranks.rank, query_of_pair)
        found = per_list_metrics(ranks.rank, query_of_pair, (1, 5, 10))
        return found | {"mrr": best.reciprocal(), "best_rank": best}, float(ranks.tied.double().mean())

    def _queries(self, split: str) -> list[str]:
        """Distinct queries of a split, ascending."""
        found: list[str] = self.queries.filter(pc.equal(self.queries["split"], split))["query"].unique().to_pylist()
        return found

    def _ranks(
        self, table: EmbeddingTable, graph: MultimodalGraph, split: str, encode_query: QueryFunction
    ) -> tuple[Ranks, Tensor]:
        aligned = AlignedGraph(graph)
        vectors = aligned.unit_vectors(table)
        device = vectors.device
        named = aligned.find(self.queries["id"], f"{self.where}, column 'id'")
        types = torch.unique(aligned.node_type[named])
        candidates = torch.nonzero(torch.isin(aligned.node_type, types)).flatten()
        rows = self.queries.filter(pc.equal(self.queries["split"], split))
        relevant = torch.searchsorted(candidates, aligned.find(rows["id"], self.where))
        queries = self._queries(split)
        number = {query: i for i, query in enumerate(queries)}
        query_of_pair = torch.tensor([number[query] for query in rows["query"].to_pylist()])  # ascending
        encoded = self._encode(queries, encode_query, table.dim).to(device)
        scorer = CosineScores(vectors[candidates.to(device)])
        parts, step = [], chunk_size(candidates.numel())
        for start in range(0, len(queries), step):
            inside = (query_of_pair >= start) & (query_of_pair < start + step)
            wanted = torch.stack([query_of_pair[inside] - start, relevant[inside]]).to(device)
            parts.append(list_ranks(scorer(encoded[start : start + step]), wanted))
        return Ranks.cat(parts), query_of_pair.to(device)

    def _encode(self, queries: list[str], encode_query: QueryFunction, dim: int) -> Tensor:
        items = queries
        if self.modality == "image" and self.root is not None:
            items = [str(self.root / query) for query in queries]  # an absolute path stays what it is
        vectors = encode_query(items).detach().float()
        if vectors.shape != (len(queries), dim):
            raise InputError(
                f"{self.where}: encoded queries must be [{len(queries)}, {dim}], got {list(vectors.shape)}"
            )
        norms = torch.linalg.vector_norm(vectors, dim=1)
        bad = torch.nonzero(~(torch.isfinite(norms) & (norms > 0))).flatten().tolist()
        if bad:
            raise InputError(
                f"{self.where}: {len(bad):,} queries became zero, NaN or infinite vectors: "
                f"{first_few([queries[i] for i in bad])}"
            )
        return torch.nn.functional.normalize(vectors, dim=1)
