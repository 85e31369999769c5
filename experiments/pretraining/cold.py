"""Ranking with a query that has just lost all of its edges, among candidates that keep theirs."""

from __future__ import annotations

import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.inference.table import EmbeddingTable
from mmgraph.metrics.ranking import Ranks, ranking_metrics, ranks_against
from mmgraph.tasks.alignment import AlignedGraph, CosineScores, PairSet, chunk_size
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.recommendation import RecommendationTask


def cold_pairs(task: LinkPredictionTask | RecommendationTask, graph: MultimodalGraph, split: str = "test") -> Tensor:
    """Queries and their positives as positions in the graph, `[2, num_pairs]`; queries without content are left out.

    Links ask from both ends, recommendation from the item: which users will like this new item?
    """
    is_links = isinstance(task, LinkPredictionTask)
    rows = task.edges if isinstance(task, LinkPredictionTask) else task.interactions
    rows = rows.filter(pc.equal(rows["split"], split))
    sides = ("source", "target") if is_links else ("item", "user")
    ends = torch.stack([torch.from_numpy(graph.node_ids.positions(rows[side])) for side in sides])
    pairs = torch.cat([ends, ends.flip(0)], dim=1) if is_links else ends
    has_content = torch.stack([item.present.cpu() for item in graph.features.values()]).any(dim=0)
    return pairs[:, has_content[pairs[0]]]


def cold_metrics(
    task: LinkPredictionTask | RecommendationTask,
    graph: MultimodalGraph,
    queries: EmbeddingTable,
    candidates: EmbeddingTable,
    pairs: Tensor,
) -> dict[str, float]:
    """Metrics of ranking positives for queries of one table among candidates of another.

    Full ranking over the nodes of the positive's type, filtered as in `LinkPredictionTask`: neighbours of the query in
    the whole graph and all held-out partners are no candidates, nor is the query itself. With the same table on both
    sides this is the warm ranking of the same pairs.

    Args:
        task: Whose pairs these are; all of its splits are filtered.
        graph: The graph with all of its edges.
        queries: Vectors of the queries.
        candidates: Vectors of the candidates.
        pairs: `[2, num_pairs]`, as `cold_pairs` gives them.
    """
    aligned = AlignedGraph(graph)
    asked, found = aligned.unit_vectors(queries), aligned.unit_vectors(candidates)
    rows = task.edges if isinstance(task, LinkPredictionTask) else task.interactions
    sides = ("source", "target") if isinstance(task, LinkPredictionTask) else ("user", "item")
    held_out = torch.stack([aligned.find(rows[side], task.where) for side in sides])
    known = PairSet(torch.cat([aligned.edges(), held_out, held_out.flip(0)], dim=1), aligned.num_nodes)
    pairs = aligned.position[pairs]
    kind = aligned.node_type[pairs[1]]
    parts = [_rank(asked, found, aligned, code, pairs[:, kind == code], known) for code in torch.unique(kind).tolist()]
    return ranking_metrics(Ranks.cat(parts))


def _rank(asked: Tensor, found: Tensor, aligned: AlignedGraph, code: int, pairs: Tensor, known: PairSet) -> Ranks:
    candidates = torch.nonzero(aligned.node_type == code).flatten()
    column = torch.full((aligned.num_nodes,), -1, dtype=torch.int64)
    column[candidates] = torch.arange(candidates.numel())
    device = found.device
    scorer = CosineScores(found[candidates.to(device)])
    queries, query_of_pair = torch.unique(pairs[0], return_inverse=True)
    parts, step = [], chunk_size(candidates.numel())
    for start in range(0, queries.numel(), step):
        nodes = queries[start : start + step]
        inside = (query_of_pair >= start) & (query_of_pair < start + step)
        row, positive = (query_of_pair[inside] - start).to(device), column[pairs[1, inside]].to(device)
        scores = scorer(asked[nodes.to(device)])
        value = scores[row, positive]
        known_row, partner = known.of(nodes)
        known_row = torch.cat([known_row, torch.arange(nodes.numel())])
        known_column = column[torch.cat([partner, nodes])]
        listed = known_column >= 0
        scores[known_row[listed].to(device), known_column[listed].to(device)] = -torch.inf
        parts.append(ranks_against(value, scores, row))
    return Ranks.cat(parts)
