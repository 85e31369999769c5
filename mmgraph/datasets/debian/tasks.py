"""Labels and held-out links of the packages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import pyarrow as pa
import torch

from mmgraph.datasets.debian.baskets import BASKET_SECTIONS, Edges
from mmgraph.datasets.debian.packages import Package
from mmgraph.datasets.grouping import joined_groups
from mmgraph.seeding import generator
from mmgraph.splits.base import TEST, TRAIN, VALID, Split
from mmgraph.splits.groups import EDGE_SHARES
from mmgraph.splits.nodes import split_nodes_stratified

ASKED_RELATIONS = ("recommends", "suggests")
MIN_PER_TAG = 100
TOO_EASY = 0.8
"""F1 from which a single word of the name, or the section, is said to tell a tag."""

_PLACEHOLDER = re.compile(r"role::.*|.*::TODO")
"""What a package is technically (library, documentation) is in its name; `TODO` stands where nobody has looked yet."""


def package_groups(packages: Iterable[Package], pictures: Mapping[str, str], *, by_source: bool) -> dict[str, str]:
    """Groups of packages that no split of labels tears apart: those with the same description or icon.

    Args:
        packages: All packages.
        pictures: Digest of the icon by name of the package.
        by_source: Keep all packages of one source package together as well.

    Returns:
        Group by name. Case, white space and punctuation of descriptions do not count.
    """
    packages = list(packages)
    shared: list[Mapping[str, str]] = [
        {p.name: plain for p in packages if (plain := " ".join(re.findall(r"\w+", p.description.casefold())))},
        pictures,
    ]
    if by_source:
        shared.append({p.name: p.source for p in packages})
    return joined_groups([p.name for p in packages], *shared)


def split_sections(
    packages: Iterable[Package], baskets: Collection[str], groups: Mapping[str, str], seed: int
) -> Split | None:
    """Split packages by section; metapackages and tasks are left out, which are a form and no subject.

    Args:
        packages: All packages.
        baskets: Names of those that are baskets; they have no label.
        groups: Group by name.
        seed: Seed of the split.

    Returns:
        A split with the column `label`; `None` if no package has a section.
    """
    rows = [(p.name, p.section) for p in packages if p.name not in baskets and p.section not in BASKET_SECTIONS]
    rows = [(name, section) for name, section in rows if section]
    names, sections = [name for name, _ in rows], [section for _, section in rows]
    table = pa.table({"id": pa.array(names, pa.string()), "label": pa.array(sections, pa.string())})
    return split_nodes_stratified(table, seed=seed, groups=groups) if rows else None


def split_tags(
    packages: Iterable[Package], baskets: Collection[str], groups: Mapping[str, str], seed: int
) -> Split | None:
    """Split the packages that have any of `usable_tags`.

    Returns:
        A split with the column `label` (a list); `None` if there is no such package.
    """
    tagged = [package for package in packages if package.tags and package.name not in baskets]
    wanted = usable_tags(tagged)
    rows = [(package.name, tags) for package in tagged if (tags := [tag for tag in package.tags if tag in wanted])]
    names, lists = [name for name, _ in rows], [tags for _, tags in rows]
    table = pa.table({"id": pa.array(names, pa.string()), "label": pa.array(lists, pa.list_(pa.string()))})
    return split_nodes_stratified(table, seed=seed, groups=groups) if rows else None


def usable_tags(tagged: Sequence[Package]) -> set[str]:
    """Tags worth asking for: of enough packages, and not told by one word of the name or by the section alone."""
    counts = Counter(tag for package in tagged for tag in package.tags if not _PLACEHOLDER.fullmatch(tag))
    frequent = {tag for tag, count in counts.items() if count >= MIN_PER_TAG}
    signs = Counter(sign for package in tagged for sign in _signs(package))
    both = Counter((tag, sign) for package in tagged for tag in package.tags for sign in _signs(package))
    told = {
        tag
        for (tag, sign), common in both.items()
        if tag in frequent and 2 * common >= TOO_EASY * (counts[tag] + signs[sign])
    }
    return frequent - told


def _signs(package: Package) -> set[str]:
    return {*re.findall(r"[a-z]+|[0-9]+", package.name), f"section {package.section}"}


def split_links(relations: Edges, source_of: Mapping[str, str], seed: int) -> Split | None:
    """Choose pairs of packages that leave the graph: 5 % for `valid`, 10 % for `test`.

    A pair moves with all its edges, in both relations and directions. All pairs between the same two source packages
    share a split: otherwise a quarter of the test pairs would be told by a sibling (`gcc-12-multilib` suggests the same
    documentation as `gcc-12`). A pair that `depends` or `enhances` joins too is not asked: the graph tells it anyway.

    Args:
        relations: All pairs of packages by relation.
        source_of: Name of the source package by package.
        seed: Seed of the split.

    Returns:
        A split of all edges of both relations; `None` if there are none.
    """
    told = {frozenset(pair) for name, pairs in relations.items() if name not in ASKED_RELATIONS for pair in pairs}
    rows = [(*pair, name) for name in ASKED_RELATIONS for pair in relations[name]]
    if not rows:
        return None
    pairs = {frozenset(row[:2]) for row in rows}
    asked = pairs - told
    groups: dict[tuple[str, ...], list[frozenset[str]]] = defaultdict(list)
    for pair in asked:
        groups[tuple(sorted(source_of[name] for name in pair))].append(pair)
    # Groups in random order: a splitter that places the largest first would put all of these into training.
    names = sorted(groups)
    waiting = [names[i] for i in torch.randperm(len(names), generator=generator(seed, "debian", "links")).tolist()]
    chosen: dict[frozenset[str], str] = {}
    for part in (VALID, TEST):
        drawn: list[frozenset[str]] = []
        while waiting and len(drawn) < round(EDGE_SHARES[part] * len(asked)):
            drawn += groups[waiting.pop()]
        chosen |= dict.fromkeys(drawn, part)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(("source", "target", "relation"))}
    columns["split"] = [chosen.get(frozenset(row[:2]), TRAIN) for row in rows]
    settings = {"shares": EDGE_SHARES, "seed": seed, "relations": list(ASKED_RELATIONS), "together": "pair"}
    return Split(
        "edge", pa.table(columns), "random-by-source", settings | {"told_by_other_relations": len(pairs & told)}
    )
