"""What recommendations look like as a whole: coverage of the catalogue, novelty, bias towards popular items.

Lists are given as `listed`, `[num_lists, k]`: items of each list by number, -1 where a list is shorter. Popularity is
the number of users of each item in the interactions that training sees, never in held-out ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.errors import InputError


def catalogue_coverage(listed: Tensor, num_items: int) -> float:
    """Share of all items that are on at least one list [1].

    Args:
        listed: `[num_lists, k]`, int64.
        num_items: Size of the catalogue.

    Raises:
        InputError: If an item is listed twice on one list or has no number below `num_items`, or nothing is listed.

    References:
        [1] Ge et al., 2010, Beyond accuracy: evaluating recommender systems by coverage and serendipity, RecSys.
    """
    return float((exposure(listed, num_items) > 0).double().mean())


def novelty(listed: Tensor, popularity: Tensor, num_users: int) -> float:
    """Mean self-information of the listed items in bits, `-log2(popularity / num_users)` [1].

    Averaged over the items of a list, then over lists that hold an item. An item that nobody has used counts as used
    once: otherwise a single new item would make the mean infinite.

    Args:
        listed: `[num_lists, k]`, int64.
        popularity: `[num_items]`: users of each item.
        num_users: All users, so that `popularity / num_users` is the chance that a random user knows the item.

    Raises:
        InputError: As `catalogue_coverage`, and if popularity is negative, NaN or above `num_users`.

    References:
        [1] Zhou et al., 2010, Solving the apparent diversity-accuracy dilemma of recommender systems, PNAS 107(10).
    """
    _check_popularity(popularity)
    if float(popularity.max()) > num_users:
        raise InputError(f"popularity must be at most the number of users, {num_users}, got {float(popularity.max())}")
    information = -(popularity.double().clamp(min=1) / num_users).log2()
    return _mean_over_lists(listed, information)


def popularity_ratio(listed: Tensor, profiles: Tensor, popularity: Tensor) -> float:
    """Mean popularity of recommended items over that of the items which users chose themselves [1].

    Both are means over the items of a user, then over users, "group average popularity" in [1], whose popularity lift
    is this ratio minus 1. Above 1 the recommender is more mainstream than its users.

    Args:
        listed: `[num_lists, k]`, int64.
        profiles: `[2, num_interactions]`: user and item of the interactions that training sees. Users may be more than
            those with a list; give only the interactions of those with a list to compare like with like.
        popularity: `[num_items]`: users of each item.

    Raises:
        InputError: As `catalogue_coverage`, and if there are no profiles, popularity is negative or NaN, or all items
            of the profiles have popularity 0.

    References:
        [1] Abdollahpouri et al., 2020, The connection between popularity bias, calibration, and fairness in
        recommendation, RecSys.
    """
    _check_popularity(popularity)
    recommended = _mean_over_lists(listed, popularity.double())
    users, items = profiles
    if items.numel() == 0:
        raise InputError("popularity ratio: no interactions, so users have no profiles to compare with")
    if int(items.min()) < 0 or int(items.max()) >= popularity.numel():
        raise InputError(
            f"items of profiles must lie in 0..{popularity.numel() - 1}, got {int(items.min())}..{int(items.max())}"
        )
    _, users, sizes = torch.unique(users, return_inverse=True, return_counts=True)
    total = torch.zeros(sizes.numel(), dtype=torch.float64, device=items.device)
    chosen = float((total.index_add_(0, users, popularity.double()[items]) / sizes).mean())
    if chosen == 0:
        raise InputError("popularity ratio: all items of the profiles have popularity 0")
    return recommended / chosen


def exposure_gini(listed: Tensor, num_items: int) -> float:
    """Gini index of how often items are listed: 0 if all equally often, `1 - 1 / num_items` if only one is [1].

    `sum_j (2 j - n - 1) x_j / (n sum_j x_j)` over all n items, listed or not, in ascending order of their counts x, as in
    RecBole. Some authors divide by `n - 1` instead of `n`.

    Raises:
        InputError: As `catalogue_coverage`.

    References:
        [1] Fleder and Hosanagar, 2009, Blockbuster culture's next rise or fall, Management Science 55(5).
    """
    count = exposure(listed, num_items).double().sort().values
    place = torch.arange(1, num_items + 1, dtype=torch.float64, device=count.device)
    return float(((2 * place - num_items - 1) * count).sum() / (num_items * count.sum()))


def exposure(listed: Tensor, num_items: int) -> Tensor:
    """On how many lists each item is, `[num_items]`, int64.

    Raises:
        InputError: As `catalogue_coverage`.
    """
    _check_listed(listed, num_items)
    return torch.bincount(listed[listed >= 0], minlength=num_items)


def _mean_over_lists(listed: Tensor, value: Tensor) -> float:
    _check_listed(listed, value.numel())
    known = listed >= 0
    size = known.sum(dim=1)
    total = (value[listed.clamp(min=0)] * known).sum(dim=1)
    return float((total[size > 0] / size[size > 0]).mean())


def _check_listed(listed: Tensor, num_items: int) -> None:
    if listed.dim() != 2 or listed.dtype != torch.int64:
        raise InputError(f"listed must be int64 [num_lists, k], got {listed.dtype} {list(listed.shape)}")
    if listed.numel() == 0 or int(listed.max()) < 0:
        raise InputError("no item is listed: nothing to average over")
    if int(listed.min()) < -1 or int(listed.max()) >= num_items:
        raise InputError(
            f"listed items must lie in 0..{num_items - 1}, or be -1, got {int(listed.min())}..{int(listed.max())}"
        )
    ordered = listed.sort(dim=1).values
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(dim=1)
    if bool(twice.any()):
        raise InputError(f"list {int(torch.nonzero(twice)[0])} holds an item twice")


def _check_popularity(popularity: Tensor) -> None:
    if popularity.dim() != 1 or popularity.numel() == 0 or not bool((popularity >= 0).all()):
        raise InputError("popularity must be [num_items], at least 0 and without NaN")
