"""Ranking of held-out links by any score that may know the relation and the direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.metrics.ranking import Ranks, ranking_metrics
from mmgraph.tasks.alignment import AlignedGraph, PairSet
from mmgraph.tasks.link_prediction import LinkPredictionTask, rank_type

LinkScore = Callable[[Tensor, str, bool, Tensor], Tensor]
"""Scores `[num_queries, num_candidates]` of queries, relation, whether queries are its targets, and candidates; nodes are
given by their positions in the graph."""
DEGREES = (0, 1, 3, 10, 100)
"""Lower ends of the groups of degrees in a report."""


@dataclass(frozen=True, eq=False)
class LinkRanks:
    """Ranks of held-out links at both ends.

    Attributes:
        ranks: One for each link and end.
        relation: Name of the relation of each.
        degree: `[num_ranks]`: edges of the query node in the graph, both directions of all relations.
    """

    ranks: Ranks
    relation: list[str]
    degree: Tensor

    def report(self) -> pa.Table:
        """Metrics by relation and by degree of the query: columns `group`, `value`, `count` and one for each metric."""
        groups: list[tuple[str, str, Tensor]] = []
        names = sorted(set(self.relation))
        number = torch.tensor([names.index(name) for name in self.relation])
        groups += [("relation", name, number == i) for i, name in enumerate(names)]
        for low, high in zip(DEGREES, (*DEGREES[1:], None), strict=True):
            chosen = (self.degree >= low) & (self.degree < high if high is not None else True)
            groups.append(("degree", f"{low}+" if high is None else f"{low}-{high - 1}", chosen))
        rows = []
        for group, value, chosen in groups:
            if bool(chosen.any()):
                one = chosen.to(self.ranks.rank.device)
                part = Ranks(self.ranks.rank[one], self.ranks.tied[one], self.ranks.num_candidates[one])
                rows.append({"group": group, "value": value, "count": len(part), **ranking_metrics(part)})
        return pa.Table.from_pylist(rows)


def rank_links(task: LinkPredictionTask, score: LinkScore, graph: MultimodalGraph, *, split: str = "test") -> LinkRanks:
    """Full ranking as `LinkPredictionTask.ranks` does it, with another score than the cosine.

    Args:
        task: The task.
        score: What to rank by.
        graph: The graph without anything held out.
        split: `valid` or `test`.

    Raises:
        InputError: If the task has fixed negatives, or something held out is in the graph.
    """
    task.check_split(split)
    if task.negatives_digest is not None:
        raise InputError(f"{task.where}: has fixed negatives; only cosines are ranked against these")
    aligned = AlignedGraph(graph)
    held_out = task.check(aligned)
    known = PairSet(torch.cat([aligned.edges(), held_out, held_out.flip(0)], dim=1), aligned.num_nodes)
    is_split = pc.equal(task.edges["split"], split)
    chosen = held_out[:, torch.from_numpy(is_split.to_numpy())]
    relations = task.edges["relation"].filter(is_split).to_pylist()
    names = sorted(set(relations))
    number = torch.tensor([names.index(name) for name in relations])
    degree = torch.bincount(graph.message_edges()[0][1].cpu(), minlength=graph.num_nodes)
    order = torch.from_numpy(aligned.order)
    parts, labels, degrees = [], [], []
    for i, name in enumerate(names):
        mine = chosen[:, number == i]
        for reverse in (False, True):
            pairs = mine.flip(0) if reverse else mine
            found_type = aligned.node_type[pairs[1]]
            for code in torch.unique(found_type).tolist():
                some = pairs[:, found_type == code]
                candidates = torch.nonzero(aligned.node_type == code).flatten()

                def scores(
                    nodes: Tensor, candidates: Tensor = candidates, name: str = name, reverse: bool = reverse
                ) -> Tensor:
                    return score(order[nodes], name, reverse, order[candidates])

                parts.append(rank_type(scores, candidates, some, known))
                labels += [name] * some.size(1)
                degrees.append(degree[order[torch.sort(some[0], stable=True).values]])
    return LinkRanks(Ranks.cat(parts), labels, torch.cat(degrees))
