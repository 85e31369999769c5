"""What sampled candidates do to a metric, and a guard against mixing sampled and full numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mmgraph.errors import InputError, first_few
from mmgraph.metrics.ranking import Ranks, ranking_metrics
from mmgraph.seeding import generator


def expected_sampled_rank(rank: Tensor, num_candidates: int, num_sampled: int) -> Tensor:
    """Expected rank among `num_sampled` negatives drawn uniformly: `1 + m (r - 1) / (n - 1)` [1].

    References:
        [1] Krichene and Rendle, 2022, On Sampled Metrics for Item Recommendation, CACM 65(7).
    """
    return 1 + num_sampled * (rank - 1) / (num_candidates - 1)


def sampled_ranking_metrics(
    ranks: Ranks, num_sampled: int, *, seed: int = 0, ks: Sequence[int] = (1, 3, 10), warn: bool = True
) -> dict[str, float]:
    """What `ranking_metrics` would have been with `num_sampled` random negatives per positive.

    Only for comparison with published numbers: sampled metrics can reverse the order of two systems. The terms of
    the sample are in each name, `mrr@sampled(100,0)`, and a warning is raised unless that is switched off. Negatives
    are drawn with replacement.

    Args:
        ranks: Ranks among all candidates.
        num_sampled: Negatives per positive.
        seed: Seed of the sample.
        ks: Cut-offs of `hits@k`.
        warn: Raise a warning.

    Raises:
        InputError: If `num_sampled` is below 1.
    """
    if num_sampled < 1:
        raise InputError(f"num_sampled must be at least 1, got {num_sampled}")
    if warn:
        warnings.warn(
            f"metrics over {num_sampled} sampled negatives can reverse the order of systems; report full ranking",
            stacklevel=2,
        )
    chance = ((ranks.rank - 1) / (ranks.num_candidates - 1)).clamp(0, 1).cpu()
    random = generator(seed, "sampled negatives", num_sampled)
    above = torch.binomial(torch.full_like(chance, float(num_sampled)), chance, generator=random)
    size = torch.full_like(ranks.num_candidates, num_sampled + 1)
    metrics = ranking_metrics(Ranks((1 + above).to(ranks.rank.device), ranks.tied, size), ks)
    return {f"{name}@sampled({num_sampled},{seed})": value for name, value in metrics.items() if name != "tie_rate"}


def check_comparable(*names: Iterable[str]) -> None:
    """Refuse to compare metrics of which only some are sampled, or that were sampled on other terms.

    Args:
        names: Names of metrics, one collection per system.

    Raises:
        InputError: Lists the kinds that were found.
    """
    kinds = sorted({_terms(name) for system in names for name in system})
    if len(kinds) > 1:
        raise InputError(f"cannot compare full and sampled metrics: got {first_few(kinds)}")


def _terms(name: str) -> str:
    return name[name.index("@sampled(") + 1 :] if "@sampled(" in name else "full ranking"
