"""Splits that keep what belongs together on one side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

import torch

from mmgraph.errors import InputError, first_few

NODE_SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}
EDGE_SHARES = {"train": 0.85, "valid": 0.05, "test": 0.10}
QUERY_SHARES = {"valid": 0.25, "test": 0.75}


def grouped_split(groups: Sequence[str], shares: Mapping[str, float], generator: torch.Generator) -> list[str]:
    """Assign whole groups to splits so that the numbers of items come close to the shares.

    Large groups are placed first, each into the split that lacks most; groups of equal size come in random
    order. The result depends on which items form a group, not on the order of the items.

    Args:
        groups: Name of the group of each item.
        shares: Wanted share of items by split; the sum is 1.
        generator: Decides the order of groups of equal size.

    Returns:
        The split of each item.
    """
    sizes = Counter(groups)
    names = sorted(sizes)
    shuffled = [names[i] for i in torch.randperm(len(names), generator=generator).tolist()]
    lacking = {split: share * len(groups) for split, share in shares.items()}
    chosen = {}
    for name in sorted(shuffled, key=lambda group: -sizes[group]):
        split = max(lacking, key=lambda s: lacking[s])
        chosen[name] = split
        lacking[split] -= sizes[name]
    return [chosen[group] for group in groups]


def check_held_out(held_out: Iterable[tuple[Hashable, Hashable]], kept: Iterable[tuple[Hashable, Hashable]]) -> None:
    """Refuse a graph that still contains a held-out pair, in whatever direction or relation.

    Raises:
        InputError: Names the first leaked pairs.
    """
    pairs = {frozenset(pair) for pair in kept}
    leaked = [pair for pair in held_out if frozenset(pair) in pairs]
    if leaked:
        raise InputError(f"{len(leaked):,} held-out pairs are still in the graph: {first_few(leaked)}")
