"""Ranking of held-out links by any score that may know the relation and the direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.metrics.ranking import Ranks, ranking_metrics, ranks_against
from mmgraph.tasks.alignment import AlignedGraph, PairSet
from mmgraph.tasks.link_prediction import LinkPredictionTask, rank_type

LinkScore = Callable[[Tensor, str, bool, Tensor], Tensor]
"""Scores `[num_queries, num_candidates]` of queries, relation, whether queries are its targets, and candidates; nodes are
given by their positions in the graph."""
DEGREES = (0, 1, 3, 10, 100)
"""Lower ends of the groups of degrees in a report."""
PAIRS_AT_ONCE = 64
"""Edges with fixed negatives that are scored together."""


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
    """Ranking as `LinkPredictionTask.ranks` does it, with another score than the cosine.

    Among all nodes at both ends, or the target among the fixed negatives of its edge, where the task has them.

    Args:
        task: The task.
        score: What to rank by.
        graph: The graph without anything held out.
        split: `valid` or `test`.

    Raises:
        InputError: If something held out is in the graph.
    """
    task.check_split(split)
    aligned = AlignedGraph(graph)
    held_out = task.check(aligned)
    is_split = pc.equal(task.edges["split"], split)
    chosen = held_out[:, torch.from_numpy(is_split.to_numpy())]
    relations = task.edges["relation"].filter(is_split).to_pylist()
    names = sorted(set(relations))
    number = torch.tensor([names.index(name) for name in relations])
    degree = torch.bincount(graph.message_edges()[0][1].cpu(), minlength=graph.num_nodes)
    order = torch.from_numpy(aligned.order)
    parts: list[Ranks] = []
    labels: list[str] = []
    degrees: list[Tensor] = []
    if task.negatives_digest is not None:
        lists = task.edges["negatives"].filter(is_split).combine_chunks()
        others = order[aligned.find(lists.flatten(), f"{task.where}, column 'negatives'")]
        negatives = torch.split(others, pc.list_value_length(lists).to_pylist())
        for i, name in enumerate(names):
            rows = torch.nonzero(number == i).flatten()
            pairs = order[chosen[:, rows]]
            parts.append(_rank_among(score, name, pairs, [negatives[row] for row in rows.tolist()]))
            labels += [name] * rows.numel()
            degrees.append(degree[pairs[0]])
        return LinkRanks(Ranks.cat(parts), labels, torch.cat(degrees))
    known = PairSet(torch.cat([aligned.edges(), held_out, held_out.flip(0)], dim=1), aligned.num_nodes)
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


def _rank_among(score: LinkScore, relation: str, pairs: Tensor, negatives: Sequence[Tensor]) -> Ranks:
    """Rank the target of each pair `[2, num_pairs]` among the negatives of the pair; nodes by position in the graph."""
    parts = []
    for start in range(0, pairs.size(1), PAIRS_AT_ONCE):
        source, target = pairs[:, start : start + PAIRS_AT_ONCE]
        lists = negatives[start : start + PAIRS_AT_ONCE]
        candidates, place = torch.unique(torch.cat([target, *lists]), return_inverse=True)
        scores = score(source, relation, False, candidates)
        rows = torch.arange(source.numel())
        row = rows.repeat_interleave(torch.tensor([len(some) for some in lists]))
        column = torch.cat([torch.arange(len(some)) for some in lists])
        among = scores.new_full((source.numel(), int(column.max()) + 1), -torch.inf)
        device = scores.device
        found = scores[row.to(device), place[source.numel() :].to(device)]
        among[row.to(device), column.to(device)] = found
        parts.append(ranks_against(scores[rows.to(device), place[: source.numel()].to(device)], among))
    return Ranks.cat(parts)
