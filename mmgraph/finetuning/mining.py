"""Hard negatives of queries: the nearest wrong nodes, without those that may be right after all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.inference.search import SCORES_PER_CHUNK, first_identical
from mmgraph.objectives.node_views import GraphEdges


class MinedNegatives(nn.Module):
    """What was mined last, in buffers, so that a checkpoint holds it and a resumed run goes on with the same nodes.

    Args:
        num_queries: Number of train queries.
        count: Nodes per query.
    """

    nodes: Tensor
    round: Tensor

    def __init__(self, num_queries: int, count: int) -> None:
        super().__init__()
        self.register_buffer("nodes", torch.full((num_queries, count), -1, dtype=torch.int64))
        self.register_buffer("round", torch.tensor(-1, dtype=torch.int64))

    def set(self, nodes: Tensor, number: int) -> None:
        """Keep the nodes `[num_queries, count]` of a round."""
        self.nodes.copy_(nodes)
        self.round.fill_(number)


class Answers:
    """Which nodes answer which query, and which nodes are too close to an answer to be called wrong.

    Too close is a node that has an edge with an answer, or shares the features of one of its modalities (the same text,
    the same picture). Annotations of retrieval are incomplete; unlabelled right answers are what makes mined negatives
    harmful [1].

    Args:
        graph: The graph without anything held out.
        query_of_pair: `[num_pairs]`: number of the query.
        node_of_pair: `[num_pairs]`: position of a node that answers it.
        num_queries: Number of queries.

    References:
        [1] Qu et al., 2021, RocketQA, arXiv:2010.08191.
    """

    def __init__(self, graph: MultimodalGraph, query_of_pair: Tensor, node_of_pair: Tensor, num_queries: int) -> None:
        self.graph, self.num_queries = graph, num_queries
        self.query_of_pair, self.node_of_pair = query_of_pair, node_of_pair
        self._adjacency = GraphEdges(graph).adjacency
        self._content = {name: _content_codes(item) for name, item in graph.features.items()}

    def right(self, queries: Tensor, nodes: Tensor) -> Tensor:
        """Whether a node answers a query, `[num_queries, num_nodes]`, bool.

        Args:
            queries: `[num_queries]`: distinct numbers of queries.
            nodes: `[num_nodes]`: positions of distinct nodes.
        """
        row, answer = self._pairs(queries)
        column = torch.full((self.graph.num_nodes,), -1, dtype=torch.int64, device=nodes.device)
        column[nodes] = torch.arange(nodes.numel(), device=nodes.device)
        known = column[answer] >= 0
        found = torch.zeros(queries.numel(), nodes.numel(), dtype=torch.bool, device=nodes.device)
        found[row[known], column[answer[known]]] = True
        return found

    def protected(self, queries: Tensor, nodes: Tensor) -> Tensor:
        """Whether a node answers a query or is too close to an answer, `[num_queries, num_nodes]`, bool."""
        row, answer = self._pairs(queries)
        found = self.right(queries, nodes)
        # A query may have any number of answers: a bounded number of pairs at once.
        step = max(1, SCORES_PER_CHUNK // max(1, nodes.numel()))
        for part, few in zip(torch.split(row, step), torch.split(answer, step), strict=True):
            hit = self._adjacency.neighbours_among(few, nodes)
            for modality in self._content:
                hit |= self.same_content(modality, few, nodes)
            pair, column = torch.nonzero(hit, as_tuple=True)
            found[part[pair], column] = True
        return found

    def same_content(self, modality: str, rows: Tensor, nodes: Tensor) -> Tensor:
        """Whether nodes have the same features of a modality, `[num_rows, num_nodes]`, bool; absent ones equal none."""
        code = self._content[modality]
        return (code[rows].unsqueeze(1) == code[nodes]) & (code[nodes] >= 0)

    def _pairs(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        place = torch.full((self.num_queries,), -1, dtype=torch.int64, device=queries.device)
        place[queries] = torch.arange(queries.numel(), device=queries.device)
        row = place[self.query_of_pair]
        return row[row >= 0], self.node_of_pair[row >= 0]


def _content_codes(features: ModalityFeatures) -> Tensor:
    """Equal numbers for nodes with equal features, `[num_nodes]`; -1 for nodes without."""
    present = features.present
    code = torch.full((present.numel(),), -1, dtype=torch.int64, device=present.device)
    rows = torch.nonzero(present).flatten()
    if rows.numel():
        code[rows] = first_identical(features.rows(rows).float())
    return code


def mine(
    queries: Tensor,
    nodes: Tensor,
    candidates: Tensor,
    answers: Answers,
    *,
    best: Tensor,
    count: int,
    margin: float | None,
) -> Tensor:
    """The nearest wrong nodes of every query, by the current model [1].

    Args:
        queries: `[num_queries, dim]`: unit vectors of all queries.
        nodes: `[num_candidates, dim]`: unit vectors of the candidates.
        candidates: `[num_candidates]`: their positions in the graph, distinct.
        answers: What must not be mined.
        best: `[num_queries]`: cosine of each query with the nearest of its answers.
        count: Nodes per query.
        margin: Leave out nodes whose cosine is above that of the nearest answer minus this: such nodes are more often
            unlabelled answers than mistakes ("TopK-MarginPos" of [2]). None keeps them.

    Returns:
        `[num_queries, count]`, int64: positions in the graph, nearest first; -1 where there are too few.

    References:
        [1] Xiong et al., 2021, Approximate Nearest Neighbor Negative Contrastive Learning (ANCE), arXiv:2007.00808.
        [2] Moreira et al., 2024, NV-Retriever, arXiv:2407.15831.
    """
    found = torch.full((len(queries), count), -1, dtype=torch.int64, device=queries.device)
    width = min(count, candidates.numel())
    step = max(1, SCORES_PER_CHUNK // max(1, candidates.numel()))
    for rows in torch.split(torch.arange(len(queries), device=queries.device), step):
        scores = (queries[rows] @ nodes.t()).masked_fill(answers.protected(rows, candidates), -torch.inf)
        if margin is not None:
            scores = scores.masked_fill(scores > best[rows].unsqueeze(1) - margin, -torch.inf)
        top, place = torch.topk(scores, width, dim=1)
        found[rows, :width] = torch.where(top > -torch.inf, candidates[place], -1)
    return found
