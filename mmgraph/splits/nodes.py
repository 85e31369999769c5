"""Splits of nodes: at random, by label, few-shot, by time.

Nodes come as a table with the column `id` and whatever else there is (`label`, `time`); all columns travel along into
the split. The order of rows never matters.

Every function takes `groups`, the group of nodes by id: members of a group (copies of one product, variants of one
emoji, see `content_groups`) never straddle parts. A node without an entry is a group of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.seeding import generator
from mmgraph.splits.base import TEST, TRAIN, UNUSED, VALID, Split
from mmgraph.splits.groups import NODE_SHARES
from mmgraph.splits.node_rows import NodeRows, Strata
from mmgraph.splits.shares import CODE, TimeCut, check_shares, deal_groups, settle


def split_nodes_random(
    nodes: pa.Table,
    *,
    shares: Mapping[str, float] = NODE_SHARES,
    seed: int = 0,
    groups: Mapping[Any, Any] | None = None,
) -> Split:
    """Deal nodes, or whole groups of them, at random.

    Args:
        nodes: Column `id` and others.
        shares: Shares of the nodes, met as closely as the groups allow.
        seed: Another seed, another split.
        groups: Group by id.

    Raises:
        InputError: If an id is missing or occurs twice, or shares do not add up to 1.
    """
    shares = check_shares(shares)
    rows = NodeRows.of(nodes, groups)
    part = deal_groups(rows.sizes, shares, generator(seed, "split", "nodes", "random"))[rows.group]
    return rows.split(part, "random", {"shares": shares, "seed": seed})


def split_nodes_stratified(
    nodes: pa.Table,
    *,
    shares: Mapping[str, float] = NODE_SHARES,
    seed: int = 0,
    groups: Mapping[Any, Any] | None = None,
) -> Split:
    """Deal the nodes of each label apart, so that every part has its share of every label, and at least one.

    A label with fewer groups than there are parts (3, or 2 if a share is 0) cannot be in all of them: its nodes go to
    training, and the settings count such labels as `small_labels`. A node with a list of labels counts for the rarest
    of them, a group of nodes for its most frequent label. Nodes without a label are `unused`.

    Args:
        nodes: Columns `id`, `label` (a string, an integer or a list of strings) and others.
        shares: Shares of the nodes of each label, met as closely as the groups allow.
        seed: Another seed, another split.
        groups: Group by id.

    Raises:
        InputError: If an id is missing or occurs twice, there are no labels, or shares do not add up to 1.
    """
    shares = check_shares(shares)
    rows = NodeRows.of(nodes, groups)
    strata = Strata.of(rows)
    chosen = np.full(len(rows.sizes), CODE[UNUSED], dtype=np.int8)
    num_parts, small = sum(share > 0 for share in shares.values()), 0
    for name, members in strata:
        random = generator(seed, "split", "nodes", "stratified", name)
        chosen[members] = deal_groups(strata.sizes[members], shares, random, in_all_parts=True)
        small += len(members) < num_parts
    part = np.where(strata.label >= 0, chosen[rows.group], np.int8(CODE[UNUSED]))
    return rows.split(part, "stratified", {"shares": shares, "seed": seed, "small_labels": small})


def split_nodes_few_shot(
    nodes: pa.Table,
    *,
    train_per_label: int,
    valid_per_label: int,
    seed: int = 0,
    groups: Mapping[Any, Any] | None = None,
    small_labels: Literal["error", "unused"] = "error",
) -> Split:
    """Train on a few nodes of each label, validate on a few more, test on all others.

    A group gives at most one node to training or validation; its other members become `unused`, because they are
    copies of what is known. A group counts for its most frequent label, a node with a list of labels for the rarest of
    them. Nodes without a label are `unused`.

    Args:
        nodes: Columns `id`, `label` (a string, an integer or a list of strings) and others.
        train_per_label: Nodes of each label to train on.
        valid_per_label: Nodes of each label to validate on.
        seed: Another seed, another split.
        groups: Group by id.
        small_labels: What to do with labels that have too few groups for all three parts: refuse them, or leave their
            nodes `unused` (then settings count them as `small_labels`).

    Raises:
        InputError: If a number is too small, a label has too few groups, or the table is not as above.
    """
    if train_per_label < 1 or valid_per_label < 0:
        raise InputError(
            f"expected at least 1 training and 0 validation nodes per label, got {train_per_label} and {valid_per_label}"
        )
    if small_labels not in ("error", "unused"):
        raise unknown_choice("small_labels", small_labels, ("error", "unused"))
    rows = NodeRows.of(nodes, groups)
    strata = Strata.of(rows)
    asked = train_per_label + valid_per_label
    small = [(name, len(members)) for name, members in strata if len(members) <= asked]
    if small and small_labels == "error":
        raise InputError(
            f"{len(small):,} labels have fewer than {asked + 1} {'nodes' if groups is None else 'groups of nodes'}: "
            f"{first_few([f'{name} ({count})' for name, count in small])}; "
            "take fewer per label, or leave such labels unused"
        )
    chosen = np.full(len(rows.sizes), CODE[UNUSED], dtype=np.int8)
    for name, members in strata:
        if len(members) > asked:
            random = generator(seed, "split", "nodes", "few-shot", name)
            order = members[torch.randperm(len(members), generator=random).numpy()]
            chosen[order] = CODE[TEST]
            chosen[order[:asked]] = CODE[VALID]
            chosen[order[:train_per_label]] = CODE[TRAIN]
    part = np.where(strata.label >= 0, chosen[rows.group], np.int8(CODE[UNUSED]))
    is_copy = np.ones(len(rows), dtype=bool)
    is_copy[strata.representatives(generator(seed, "split", "nodes", "representatives"))] = False
    part[is_copy & (part != CODE[TEST])] = CODE[UNUSED]
    settings = {"train_per_label": train_per_label, "valid_per_label": valid_per_label, "seed": seed}
    return rows.split(part, "few-shot", {**settings, "small_labels": len(small)})


def split_nodes_by_time(
    nodes: pa.Table,
    *,
    shares: Mapping[str, float] = NODE_SHARES,
    groups: Mapping[Any, Any] | None = None,
    column: str = "time",
) -> Split:
    """Train on older nodes. All nodes of one moment lie on the same side.

    A group belongs where its oldest member lies; members past the cut become `unused`, as training must not see the
    future and the test must not ask for copies of what is known. Settings name the moments of the cuts.

    Args:
        nodes: Columns `id`, `time` and others.
        shares: Shares of the groups, by their oldest member, as closely as equal times allow.
        groups: Group by id.
        column: Column that holds the time, numbers or dates.

    Raises:
        InputError: If an id is missing or occurs twice, a node has no time, or shares do not add up to 1.
    """
    shares = check_shares(shares)
    rows = NodeRows.of(nodes, groups)
    time = rows.times(column)
    first = np.full(len(rows.sizes), time.max(initial=0), dtype=time.dtype)
    np.minimum.at(first, rows.group, time)
    cut = TimeCut.by_shares(first, shares)
    part = settle(cut.parts(time), rows.group)
    return rows.split(part, "time", {"shares": shares, "column": column, **cut.to_dict()})
