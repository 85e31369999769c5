"""How many of a number of things go into each part, at random or by time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmgraph.errors import InputError, unknown_choice
from mmgraph.splits.base import PARTS, TEST, TRAIN, UNUSED, VALID

CODE = {name: code for code, name in enumerate(PARTS)}
"""Parts as small integers; a smaller one is known earlier."""


def check_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """Shares of `train`, `valid` and `test`, in this order.

    Raises:
        InputError: If a name is not one of these, a share is negative, or the sum is not 1.
    """
    for name in shares:
        if name not in (TRAIN, VALID, TEST):
            raise unknown_choice("part", str(name), (TRAIN, VALID, TEST))
    found = {name: float(shares.get(name, 0.0)) for name in (TRAIN, VALID, TEST)}
    total = sum(found.values())
    if not (min(found.values()) >= 0 and math.isclose(total, 1.0, abs_tol=1e-6)):
        raise InputError(f"shares must not be negative and add up to 1, got {list(found.values())}")
    return found


def part_sizes(count: int, shares: Mapping[str, float]) -> np.ndarray:
    """Sizes of the parts, each within one of its share: `[3]`, int64."""
    bounds = np.floor(np.cumsum(list(shares.values())) * count + 0.5).clip(0, count)
    bounds[-1] = count
    return np.diff(bounds, prepend=0).astype(np.int64)


def deal(count: int, shares: Mapping[str, float], random: torch.Generator) -> np.ndarray:
    """Deal things in random order: the part of each, `[count]`, int8."""
    part = np.empty(count, dtype=np.int8)
    sizes = part_sizes(count, shares)
    part[torch.randperm(count, generator=random).numpy()] = np.repeat(np.arange(3, dtype=np.int8), sizes)
    return part


def deal_groups(
    sizes: np.ndarray, shares: Mapping[str, float], random: torch.Generator, *, in_all_parts: bool = False
) -> np.ndarray:
    """Deal whole groups so that the numbers of their members come close to the shares.

    Groups of several members are placed first, the largest first, each into the part that lacks most; groups of equal
    size come in random order. Single members fill up what is lacking.

    Args:
        sizes: `[num_groups]`: number of members.
        shares: As `check_shares` gives them.
        random: Decides the order of groups of equal size.
        in_all_parts: Give each part with a share at least one group. Where there are fewer groups than such parts,
            all groups go to `train`.

    Returns:
        The part of each group, `[num_groups]`, int8.
    """
    wanted = np.array(list(shares.values()))
    part = np.zeros(len(sizes), dtype=np.int8)
    if in_all_parts and len(sizes) < np.count_nonzero(wanted):
        return part
    order = torch.randperm(len(sizes), generator=random).numpy()
    order = order[np.argsort(-sizes[order], kind="stable")]
    lacking = wanted * sizes.sum()
    num_large = int(np.count_nonzero(sizes > 1))
    for group in order[:num_large].tolist():
        part[group] = np.argmax(lacking)
        lacking[part[group]] -= sizes[group]
    single = order[num_large:]
    lacking = lacking.clip(min=0)
    if len(single):
        rest = part_sizes(len(single), dict(zip(shares, lacking / lacking.sum(), strict=True)))
        part[single] = np.repeat(np.arange(3, dtype=np.int8), rest)
    if in_all_parts:
        for empty in np.flatnonzero((wanted > 0) & (np.bincount(part, minlength=3) == 0)):
            donor = np.argmax(np.bincount(part, minlength=3))
            part[order[part[order] == donor][-1]] = empty  # its smallest group
    return part


@dataclass(frozen=True)
class TimeCut:
    """Where time is cut: all that happens at one moment lies on one side.

    Attributes:
        valid: First moment of validation, `None` if there is nothing after training.
        test: First moment of the test, `None` if there is nothing after validation.
    """

    valid: Any
    test: Any

    @classmethod
    def by_shares(cls, times: np.ndarray, shares: Mapping[str, float]) -> TimeCut:
        """Cut so that the parts come as close to their shares as equal times allow.

        No part with a share stays empty, as long as there are enough distinct times: of two, the first is training
        and the second test; with only one, all is training.
        """
        moments, counts = np.unique(times, return_counts=True)
        if not len(moments):
            return cls(None, None)
        before = np.append(0, np.cumsum(counts))  # how many are older than moment i; at the end, all
        train, valid, test = (share > 0 for share in shares.values())
        if len(moments) < train + valid + test:
            train, valid, test = True, False, test and len(moments) > 1
        last = len(moments) - test
        wanted = np.floor(np.cumsum(list(shares.values()))[:2] * len(times) + 0.5)
        first_valid = np.arange(int(train), last - valid + 1)
        # Whatever the first cut is, the best second one is the nearest that leaves enough between them.
        nearest = len(before) - 1 - int(np.argmin(np.abs(before - wanted[1])[::-1]))
        first_test = np.clip(nearest, first_valid + valid, last)
        distance = np.abs(before[first_valid] - wanted[0]) + np.abs(before[first_test] - wanted[1])
        best = len(distance) - 1 - int(np.argmin(distance[::-1]))  # of equals the later, which trains on more
        places = int(first_valid[best]), int(first_test[best])
        return cls(*(moments[place].item() if place < len(moments) else None for place in places))

    def parts(self, times: np.ndarray) -> np.ndarray:
        """The part that each time lies in, int8."""
        part = np.zeros(len(times), dtype=np.int8)
        for first in (self.valid, self.test):
            if first is not None:
                part += times >= first
        return part

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"first_valid": self.valid, "first_test": self.test}


def settle(part: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Keep together what cannot straddle: a unit belongs to the earliest part that one of its rows lies in.

    Rows of a unit that lie in a later part become `unused`: training must not see them, because they lie in the
    future or in a part that is held out, and they cannot be asked, because the unit is known by then.

    Args:
        part: `[num_rows]`, int8: where each row lies on its own account.
        unit: `[num_rows]`: number of its unit.
    """
    earliest = np.full(int(unit.max(initial=-1)) + 1, CODE[UNUSED], dtype=np.int8)
    np.minimum.at(earliest, unit, part)
    return np.where(part == earliest[unit], part, np.int8(CODE[UNUSED]))
