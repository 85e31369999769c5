"""Quality of the top K of a list with several relevant items: recall, precision, hit, MRR, MAP, nDCG."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.metrics.ranking import Ranks, check_scores, count_in_rows, num_listed


def list_ranks(scores: Tensor, relevant: Tensor) -> Ranks:
    """Rank the relevant items of every list among all its items.

    Ties are broken by the mean: the j-th best relevant item has rank `j + #{other > it} + 0.5 * #{other == it}`,
    where "other" are items that are not relevant. Without ties these are the positions in the sorted list. With
    one relevant item it is the rule of `ranks_against`.

    Args:
        scores: `[num_lists, num_items]`; minus infinity for items that must not be listed (seen items).
        relevant: `[2, num_relevant]`: list and item, each pair once, in any order.

    Returns:
        Ranks in the order of `relevant`.

    Raises:
        InputError: If a pair occurs twice, a relevant item is excluded, or scores are NaN.
    """
    lists, items = relevant
    key = lists * scores.size(1) + items
    if torch.unique(key).numel() != key.numel():
        raise InputError("a relevant item is given twice for the same list")
    positive = scores[lists, items]
    check_scores(positive, scores)
    above, equal = count_in_rows(positive, scores, lists)
    # Both counts hold relevant items as well: those of higher or equal value of the same list, the item itself too.
    best, last = _places(positive, lists)
    above, equal = above - (best - 1), equal - (last - best + 1)
    rank = place_in_list(positive, lists) + above.double() + 0.5 * equal.double()
    return Ranks(rank, equal > 0, num_listed(scores)[lists])


def _places(value: Tensor, lists: Tensor) -> tuple[Tensor, Tensor]:
    """First and last place, from 1, that entries of equal value share in their list by descending value."""
    place = place_in_list(value, lists)
    _, group = torch.unique(torch.stack([lists.double(), value.double()]), dim=1, return_inverse=True)
    count = int(group.max()) + 1 if group.numel() else 0
    first = torch.full((count,), torch.iinfo(torch.int64).max, device=value.device)
    first = first.scatter_reduce(0, group, place, "amin")
    last = torch.zeros(count, dtype=torch.int64, device=value.device).scatter_reduce(0, group, place, "amax")
    return first[group], last[group]


def place_in_list(value: Tensor, lists: Tensor) -> Tensor:
    """Place of each entry among the entries of its list by descending value, from 1: `[num_entries]`, int64."""
    order = torch.argsort(value, descending=True, stable=True)
    order = order[torch.argsort(lists[order], stable=True)]
    sizes = torch.bincount(lists)
    first = (sizes.cumsum(0) - sizes)[lists[order]]
    place = torch.empty_like(lists)
    place[order] = torch.arange(1, lists.numel() + 1, device=lists.device) - first
    return place


def per_list_metrics(rank: Tensor, lists: Tensor, ks: Sequence[int]) -> dict[str, Tensor]:
    """Score each list that has at least one relevant item; the mean over lists is what is reported.

    With R relevant items and the hits of rank <= K: `recall@K` = hits / R, `precision@K` = hits / K, `hit@K` = any
    hit, `mrr@K` = 1 / rank of the first hit, `map@K` = sum of (number of hits so far / rank) / min(R, K), `ndcg@K` =
    sum of 1 / log2(rank + 1) / ideal sum of min(R, K) terms (binary relevance).

    Args:
        rank: `[num_relevant]`: ranks from `list_ranks`.
        lists: `[num_relevant]`: list of each; lists without an entry do not count.
        ks: Cut-offs, at least 1; larger than the number of items is fine.

    Returns:
        `[num_scored_lists]` per metric, lists in ascending order.

    Raises:
        InputError: If there is nothing to average over or a cut-off is below 1.
    """
    if rank.numel() == 0:
        raise InputError("no list has a relevant item: nothing to average over")
    if min(ks) < 1:
        raise InputError(f"cut-offs must be at least 1, got {list(ks)}")
    _, lists, sizes = torch.unique(lists, return_inverse=True, return_counts=True)
    place = place_in_list(-rank, lists).double()
    rank = rank.double()

    def total(values: Tensor) -> Tensor:
        return torch.zeros(sizes.numel(), dtype=torch.float64, device=rank.device).index_add_(0, lists, values)

    gain = (rank + 1).log2().reciprocal()
    widest = max(int(sizes.max()), 1)
    ideal = torch.arange(2, widest + 2, device=rank.device).double().log2().reciprocal().cumsum(0)
    metrics: dict[str, Tensor] = {}
    for k in ks:
        hit = (rank <= k).double()
        hits = total(hit)
        possible = sizes.clamp(max=k)
        metrics[f"recall@{k}"] = hits / sizes
        metrics[f"precision@{k}"] = hits / k
        metrics[f"hit@{k}"] = (hits > 0).double()
        metrics[f"mrr@{k}"] = total(hit * (place == 1) / rank)
        metrics[f"map@{k}"] = total(hit * place / rank) / possible
        metrics[f"ndcg@{k}"] = total(hit * gain) / ideal[possible - 1]
    return metrics


def best_ranks(rank: Tensor, lists: Tensor) -> Tensor:
    """Rank of the best relevant item of each list that has one, `[num_scored_lists]`, lists in ascending order.

    Its median is the median rank of retrieval, the mean of its reciprocal the MRR.

    Raises:
        InputError: If there is nothing to average over.
    """
    if rank.numel() == 0:
        raise InputError("no list has a relevant item: nothing to average over")
    _, lists = torch.unique(lists, return_inverse=True)
    best = torch.full((int(lists.max()) + 1,), torch.inf, dtype=torch.float64, device=rank.device)
    return best.scatter_reduce_(0, lists, rank.double(), "amin")


def top_k_metrics(rank: Tensor, lists: Tensor, ks: Sequence[int]) -> dict[str, float]:
    """Mean of `per_list_metrics` over the lists that have a relevant item."""
    return {name: float(values.mean()) for name, values in per_list_metrics(rank, lists, ks).items()}
