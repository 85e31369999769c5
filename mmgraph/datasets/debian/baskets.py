"""Baskets: metapackages and tasks, which exist to bring other packages along.

A metapackage's own `Depends` and `Recommends` are the answer to the question what belongs into it. So a metapackage that
is large enough is no package of the graph but a node of the type `basket`, and these fields become the relation
`contains`, from which the task holds items out. Nothing else joins a basket with a package: what it suggests, and what
packages say about it, is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import networkx as nx
import pyarrow as pa
import torch

from mmgraph.datasets.debian.packages import RELATIONS, Package
from mmgraph.seeding import generator
from mmgraph.splits.base import TEST, TRAIN, UNUSED, VALID, Split

BASKET_SECTIONS = ("metapackages", "tasks")
CONTENTS = ("depends", "recommends")
MIN_ITEMS = 5
SHARES = {TRAIN: 0.7, VALID: 0.1, TEST: 0.2}

Edges = Mapping[str, Sequence[tuple[str, str]]]
"""Pairs of names, source first, by relation."""


@dataclass(frozen=True)
class TypedEdges:
    """Edges between nodes of known types.

    Attributes:
        baskets: Names of the baskets; all other packages are of the type `package`.
        relations: By relation: those of the archive between packages, `contains` (basket to package) and `includes`
            (basket to basket).
        suggested: Pairs of a basket and a package that it only suggests; not in the graph.
        left_out: Number of edges that lead to or from a basket and are in no relation.
    """

    baskets: frozenset[str]
    relations: dict[str, list[tuple[str, str]]]
    suggested: list[tuple[str, str]]
    left_out: int


def type_edges(packages: Iterable[Package], edges: Edges) -> TypedEdges:
    """Turn metapackages and tasks that bring at least five packages into baskets."""
    sections = {package.name: package.section for package in packages}
    contents: dict[str, set[str]] = {}
    for relation in CONTENTS:
        for source, target in edges[relation]:
            if sections[source] in BASKET_SECTIONS:
                contents.setdefault(source, set()).add(target)
    baskets = frozenset(name for name, items in contents.items() if len(items) >= MIN_ITEMS)
    relations = {
        name: [pair for pair in edges[name] if pair[0] not in baskets and pair[1] not in baskets] for name in RELATIONS
    }
    inside = sorted((basket, item) for basket in baskets for item in contents[basket])
    relations["contains"] = [pair for pair in inside if pair[1] not in baskets]
    relations["includes"] = [pair for pair in inside if pair[1] in baskets]
    known = set(inside)
    others = [pair for name in RELATIONS for pair in edges[name] if not baskets.isdisjoint(pair) and pair not in known]
    suggested = [
        pair for pair in edges["suggests"] if pair[0] in baskets and pair[1] not in baskets and pair not in known
    ]
    return TypedEdges(baskets, relations, suggested, len(set(others)))


def askable_items(contains: Iterable[tuple[str, str]], source_of: Mapping[str, str]) -> dict[str, set[str]]:
    """Items by basket that may be held out, of baskets that have at least five of them.

    An item that is built from the same source as its basket is not asked: the name tells it (`science-config` in
    `science-biology`, `libreoffice-calc` in `libreoffice`, `tasksel` in every task).
    """
    items: dict[str, set[str]] = {}
    for basket, item in contains:
        if source_of[basket] != source_of[item]:
            items.setdefault(basket, set()).add(item)
    return {basket: found for basket, found in sorted(items.items()) if len(found) >= MIN_ITEMS}


def families(items: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of baskets that repeat each other: two belong together if they share half of the smaller one's items."""
    graph = nx.Graph()
    graph.add_nodes_from(items)
    graph.add_edges_from(
        (one, other)
        for one, other in combinations(items, 2)
        if 2 * len(items[one] & items[other]) >= min(len(items[one]), len(items[other]))
    )
    return sorted(sorted(family) for family in nx.connected_components(graph))


def hold_out_items(
    contains: Iterable[tuple[str, str]], source_of: Mapping[str, str], seed: int
) -> dict[tuple[str, str], str]:
    """Draw a fifth of the items for `test`, a tenth for `valid`.

    What is drawn is an item of a whole family of baskets, and all of them lose it: no basket of the family tells what is
    in the other. No basket loses more than half of its items.

    Args:
        contains: Pairs of basket and item.
        source_of: Name of the source package by package.
        seed: Seed of the draw.

    Returns:
        `valid` or `test` by held-out pair.
    """
    items = askable_items(contains, source_of)
    held_out: dict[tuple[str, str], str] = {}
    for family in families(items):
        left = {basket: len(items[basket]) // 2 for basket in family}
        together = sorted(set().union(*(items[basket] for basket in family)))
        lacking = {part: round(SHARES[part] * len(together)) for part in (TEST, VALID)}
        rng = generator(seed, "debian", "baskets", family[0])
        for index in torch.randperm(len(together), generator=rng).tolist():
            item = together[index]
            owners = [basket for basket in family if item in items[basket]]
            split = next((split for split, count in lacking.items() if count), None)
            if split is None:
                break
            if all(left[basket] for basket in owners):
                lacking[split] -= 1
                for basket in owners:
                    left[basket] -= 1
                    held_out[basket, item] = split
    return held_out


def split_items(
    contains: Sequence[tuple[str, str]],
    suggested: Sequence[tuple[str, str]],
    source_of: Mapping[str, str],
    seed: int,
) -> Split | None:
    """Split what baskets contain, see `hold_out_items`.

    Args:
        contains: Pairs of basket and item.
        suggested: Pairs that a basket only suggests: `unused`, no right answer and no wrong one.
        source_of: Name of the source package by package.
        seed: Seed of the draw.

    Returns:
        The split; `None` if there are no baskets.
    """
    if not contains:
        return None
    parts = dict.fromkeys(suggested, UNUSED) | dict.fromkeys(contains, TRAIN)
    parts |= hold_out_items(contains, source_of, seed)
    columns = {
        "user": [basket for basket, _ in parts],
        "item": [item for _, item in parts],
        "split": list(parts.values()),
    }
    ends = {"relation": "contains", "user_type": "basket", "item_type": "package"}
    return Split("interaction", pa.table(columns), "random-by-family", {"shares": SHARES, "seed": seed} | ends)
