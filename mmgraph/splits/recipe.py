"""The recipe of a split, followed once more: on another graph, or with another seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mmgraph.errors import InputError, first_few
from mmgraph.splits.base import Split
from mmgraph.splits.edge_rows import AnyGraph
from mmgraph.splits.edges import (
    split_edges_by_relation,
    split_edges_by_time,
    split_edges_cold_nodes,
    split_edges_random,
)
from mmgraph.splits.interactions import (
    split_cold_items,
    split_cold_users,
    split_interactions_by_time,
    split_leave_last_out,
)
from mmgraph.splits.negatives import sample_negatives
from mmgraph.splits.nodes import (
    split_nodes_by_time,
    split_nodes_few_shot,
    split_nodes_random,
    split_nodes_stratified,
)


@dataclass(frozen=True)
class _Recipe:
    """A splitter and the settings that it was told, those that it only reports left out."""

    make: Callable[..., Split]
    told: tuple[str, ...]


_RECIPES: dict[str, dict[str, _Recipe]] = {
    "edge": {
        "random": _Recipe(split_edges_random, ("relations", "shares", "seed", "together", "attribute")),
        "time": _Recipe(split_edges_by_time, ("relations", "shares", "together", "attribute")),
        "relation": _Recipe(split_edges_by_relation, ("parts", "together", "attribute")),
        "cold-node": _Recipe(split_edges_cold_nodes, ("relations", "node_type", "shares", "seed", "attribute")),
    },
    "interaction": {
        "leave-last-out": _Recipe(split_leave_last_out, ("relation", "user_type", "attribute", "seed")),
        "time": _Recipe(split_interactions_by_time, ("relation", "user_type", "shares", "attribute")),
        "cold-item": _Recipe(split_cold_items, ("relation", "user_type", "shares", "attribute", "seed")),
        "cold-user": _Recipe(split_cold_users, ("relation", "user_type", "shares", "fold_in", "attribute", "seed")),
    },
    "node": {
        "random": _Recipe(split_nodes_random, ("shares", "seed")),
        "stratified": _Recipe(split_nodes_stratified, ("shares", "seed")),
        "few-shot": _Recipe(split_nodes_few_shot, ("train_per_label", "valid_per_label", "seed", "small_labels")),
        "time": _Recipe(split_nodes_by_time, ("shares", "column")),
    },
}


def has_recipe(split: Split) -> bool:
    """Whether `resplit` knows the method of a split and finds its settings; an official split is what it is."""
    recipe = _RECIPES[split.kind].get(split.method)
    return recipe is not None and all(name in split.settings for name in recipe.told)


def resplit(
    graph: AnyGraph,
    split: Split,
    *,
    nodes: pa.Table | None = None,
    groups: Mapping[Any, Any] | None = None,
    seed: int | None = None,
) -> Split:
    """Split a graph the way another split was made: the same method with the same settings, negatives included.

    On the graph that the split was made of it gives the same split again. Moments of a cut by time are found anew, so
    that the shares hold.

    Args:
        graph: The graph with all its edges. A split of nodes uses its ids only.
        split: Whose recipe to follow.
        nodes: For a split of nodes, the table to split (see `mmgraph.splits.nodes`); by default that of `split` itself.
        groups: For a split of nodes, groups as the splitters take them. The split does not remember its groups, so they
            must be given if it had some; an empty mapping says that there are none.
        seed: Another seed, for negatives too; by default that of the split. Where nothing is random it changes nothing.

    Raises:
        InputError: If the method has no recipe (an official split is what it is), settings are missing, groups are not
            given, nodes are not in the graph, or the splitter refuses the graph.
    """
    recipes = _RECIPES[split.kind]
    if split.method not in recipes:
        raise InputError(
            f"{split.where} cannot be made again: it has no recipe; "
            f"splits of this kind with one: {', '.join(sorted(recipes))}"
        )
    recipe = recipes[split.method]
    missing = [name for name in recipe.told if name not in split.settings]
    if missing:
        raise InputError(
            f"{split.where} cannot be made again: its settings lack {first_few(missing)}; "
            f"they hold: {first_few(sorted(split.settings), 10) or '(nothing)'}"
        )
    told = {name: split.settings[name] for name in recipe.told}
    if seed is not None and "seed" in told:
        told["seed"] = seed
    if split.kind == "node":
        return recipe.make(_nodes(graph, split, nodes), groups=_groups(split, groups), **_few_shot(told))
    again = recipe.make(graph, **told)
    return _negatives(graph, split, again, seed)


def _few_shot(told: dict[str, Any]) -> dict[str, Any]:
    """Settings count the labels that were left out, the splitter is told what to do with them."""
    if "small_labels" not in told:
        return told
    return told | {"small_labels": "unused" if told["small_labels"] else "error"}


def _nodes(graph: AnyGraph, split: Split, nodes: pa.Table | None) -> pa.Table:
    table = split.table if nodes is None else nodes
    if "id" in table.column_names:
        graph.node_ids.positions(table["id"], where=f"{split.where}, column 'id'")
    return table


def _groups(split: Split, groups: Mapping[Any, Any] | None) -> Mapping[Any, Any] | None:
    if "groups" not in split.settings:
        return groups
    if groups is None:
        raise InputError(
            f"{split.where} kept groups of nodes together ({split.settings['groups']:,} of several nodes), which it does "
            "not remember; give groups, or an empty mapping for none"
        )
    return groups


def _negatives(graph: AnyGraph, split: Split, again: Split, seed: int | None) -> Split:
    if "negatives" not in split.settings:
        return again
    how = dict(split.settings["negatives"])
    missing = [name for name in ("count", "parts", "distinct", "seed") if name not in how]
    if missing:
        raise InputError(f"{split.where}: its negatives cannot be drawn again: settings lack {first_few(missing)}")
    drawn = how["seed"] if seed is None else seed
    return sample_negatives(graph, again, how["count"], parts=how["parts"], distinct=how["distinct"], seed=drawn)
