"""Splits of interactions of users with items: the last ones, the latest ones, those of new items or new users.

Each function takes a graph and one of its relations. What moves is the pair of user and item: of repeats the earliest
counts, later ones are `unused`. A declared reverse of the relation states the same interactions.

Each returns a `Split` whose table lists every interaction. Its settings count what the user should know: `repeats`;
`cold_users` and `cold_items`, those that are asked about in a part without any training interaction; and
`told_by_other_relations`, held-out pairs that other relations join too ("viewed" beside "bought"). These stay held
out, so `message_graph` takes the edges of the other relations away as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mmgraph.errors import InputError
from mmgraph.seeding import generator
from mmgraph.splits.base import TEST, TRAIN, UNUSED, VALID, Split
from mmgraph.splits.edge_rows import AnyGraph
from mmgraph.splits.groups import EDGE_SHARES
from mmgraph.splits.interaction_rows import InteractionRows
from mmgraph.splits.shares import CODE, TimeCut, check_shares, deal, deal_groups


def split_leave_last_out(
    graph: AnyGraph, relation: str, *, user_type: str | None = None, attribute: str = "time", seed: int = 0
) -> Split:
    """Test on each user's last item, validate on the one before, train on all others.

    A user with two items has no validation item; a user with one is never asked. Items of the same moment come in an
    order that is drawn from the seed. Time is cut for each user apart: training may see what happened to others after
    a user's test item. If that matters, use `split_interactions_by_time`.

    Args:
        graph: The graph with all its edges.
        relation: The relation between users and items.
        user_type: Which of its node types are the users; by default that of the sources.
        attribute: Edge attribute that holds the time.
        seed: Seed of the order among equal times.

    Raises:
        InputError: If the relation or type is unknown, or interactions have no times.
    """
    rows = InteractionRows.of(graph, relation, user_type, attribute=attribute, need_time=True)
    part = np.where(rows.repeat, np.int8(CODE[UNUSED]), np.int8(CODE[TRAIN]))
    counted = np.flatnonzero(~rows.repeat)
    place, size = _places(rows, counted, generator(seed, "split", "interactions", "last"))
    part[counted[(place == size - 2) & (size >= 3)]] = CODE[VALID]
    part[counted[(place == size - 1) & (size >= 2)]] = CODE[TEST]
    return rows.split(part, "leave-last-out", {"seed": seed})


def split_interactions_by_time(
    graph: AnyGraph,
    relation: str,
    *,
    shares: Mapping[str, float] = EDGE_SHARES,
    user_type: str | None = None,
    attribute: str = "time",
) -> Split:
    """Train on the past of all users, ask about the future. All interactions of one moment lie on the same side.

    Users and items that are new after a cut are asked about all the same; the settings count them (`cold_users`,
    `cold_items`) and name the moments of the cuts.

    Args:
        graph: The graph with all its edges.
        relation: The relation between users and items.
        shares: Shares of the interactions, without repeats, as closely as equal times allow.
        user_type: Which of its node types are the users; by default that of the sources.
        attribute: Edge attribute that holds the time.

    Raises:
        InputError: If the relation or type is unknown, interactions have no times, or shares do not add up to 1.
    """
    shares = check_shares(shares)
    rows = InteractionRows.of(graph, relation, user_type, attribute=attribute, need_time=True)
    time = np.asarray(rows.time)
    cut = TimeCut.by_shares(time[~rows.repeat], shares)
    part = np.where(rows.repeat, np.int8(CODE[UNUSED]), cut.parts(time))
    return rows.split(part, "time", {"shares": shares, **cut.to_dict()})


def split_cold_items(
    graph: AnyGraph,
    relation: str,
    *,
    shares: Mapping[str, float] = EDGE_SHARES,
    user_type: str | None = None,
    attribute: str = "time",
    seed: int = 0,
    groups: Mapping[Any, Any] | None = None,
) -> Split:
    """Hold out items: all their interactions leave training, as if the items were new.

    Their edges in other relations (brand, genre) stay: they are what is known about a new item.

    Args:
        graph: The graph with all its edges.
        relation: The relation between users and items.
        shares: Shares of the *items* that have an interaction, by part.
        user_type: Which of its node types are the users; by default that of the sources.
        attribute: Edge attribute that tells repeats apart; not used unless all interactions have it.
        seed: Another seed, another split.
        groups: Group by id, as `content_groups` gives it: copies of one item are new together. An item without an
            entry is a group of its own.

    Raises:
        InputError: If the relation or type is unknown, or shares do not add up to 1.
    """
    shares = check_shares(shares)
    rows = InteractionRows.of(graph, relation, user_type, attribute=attribute, need_time=False)
    random = generator(seed, "split", "interactions", "cold items")
    side = _deal_nodes(rows.item, len(rows.ids), shares, random, _group_numbers(rows.ids.to_pylist(), groups))
    part = np.where(rows.repeat, np.int8(CODE[UNUSED]), side[rows.item])
    return rows.split(part, "cold-item", {"shares": shares, "seed": seed})


def split_cold_users(
    graph: AnyGraph,
    relation: str,
    *,
    shares: Mapping[str, float] = EDGE_SHARES,
    fold_in: float = 0.0,
    user_type: str | None = None,
    attribute: str = "time",
    seed: int = 0,
) -> Split:
    """Hold out users: all their interactions leave training, as if the users were new.

    With `fold_in` a share of each held-out user's history, rounded down, may be used as input when that user is asked,
    and never before: `message_graph(..., with_fold_in=True)` puts it into the graph of its stage. These rows are
    `unused` and have that stage in the column `fold_in`. They are the user's earliest items, or random ones if there
    are no times. At least one item of each user is asked.

    Args:
        graph: The graph with all its edges.
        relation: The relation between users and items.
        shares: Shares of the *users* that have an interaction, by part.
        fold_in: Share of a held-out user's history that is input, from 0 to below 1.
        user_type: Which of its node types are the users; by default that of the sources.
        attribute: Edge attribute that holds the time; not used unless all interactions have it.
        seed: Another seed, another split.

    Raises:
        InputError: If the relation or type is unknown, or shares or `fold_in` are out of range.
    """
    shares = check_shares(shares)
    if not 0 <= fold_in < 1:
        raise InputError(f"fold_in must be at least 0 and below 1, got {fold_in}")
    rows = InteractionRows.of(graph, relation, user_type, attribute=attribute, need_time=False)
    side = _deal_nodes(rows.user, len(rows.ids), shares, generator(seed, "split", "interactions", "cold users"))
    part = np.where(rows.repeat, np.int8(CODE[UNUSED]), side[rows.user])
    settings = {"shares": shares, "fold_in": fold_in, "seed": seed}
    if fold_in == 0:
        return rows.split(part, "cold-user", settings)
    counted = np.flatnonzero(~rows.repeat & (side[rows.user] != CODE[TRAIN]))
    place, size = _places(rows, counted, generator(seed, "split", "interactions", "fold-in"))
    folded = counted[place < np.floor(fold_in * size + 1e-9)]  # 0.3 * 10 is 3
    stage = np.full(len(rows), -1, dtype=np.int8)
    stage[folded] = part[folded]
    part[folded] = CODE[UNUSED]
    return rows.split(part, "cold-user", settings, stage)


def _group_numbers(ids: list[Any], groups: Mapping[Any, Any] | None) -> np.ndarray | None:
    """Number of the group of each node, `[num_nodes]`, in an order that depends on ids alone; `None` without groups."""
    if not groups:
        return None
    number: dict[tuple[bool, Any], int] = {}
    # A node without an entry is named by its own id, which no group is mistaken for.
    return np.array([number.setdefault((i in groups, groups.get(i, i)), len(number)) for i in ids], dtype=np.int64)


def _deal_nodes(
    ends: np.ndarray,
    num_nodes: int,
    shares: Mapping[str, float],
    random: torch.Generator,
    group: np.ndarray | None = None,
) -> np.ndarray:
    """The part of each node, `[num_nodes]`; nodes without an interaction are not dealt."""
    side = np.zeros(num_nodes, dtype=np.int8)
    nodes = np.unique(ends)
    if group is None:
        side[nodes] = deal(len(nodes), shares, random)
        return side
    _, member, sizes = np.unique(group[nodes], return_inverse=True, return_counts=True)
    side[nodes] = deal_groups(sizes, shares, random)[member]
    return side


def _places(rows: InteractionRows, chosen: np.ndarray, random: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Place of each chosen row among those of its user by time, from 0, and their number; both `[num_chosen]`."""
    chance = torch.randperm(len(rows), generator=random).numpy()[chosen]
    user = rows.user[chosen]
    order = np.lexsort([chance, user] if rows.time is None else [chance, rows.time[chosen], user])
    _, first, sizes = np.unique(user[order], return_index=True, return_counts=True)
    place = np.empty(len(chosen), dtype=np.int64)
    place[order] = np.arange(len(chosen)) - np.repeat(first, sizes)
    size = np.empty(len(chosen), dtype=np.int64)
    size[order] = np.repeat(sizes, sizes)
    return place, size
