"""Labels and held-out links of the packages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import pyarrow as pa
import torch

from mmgraph.datasets.debian.baskets import BASKET_SECTIONS, Edges
from mmgraph.datasets.debian.packages import Package
from mmgraph.seeding import generator
from mmgraph.splits.groups import EDGE_SHARES, NODE_SHARES, grouped_split

ASKED_RELATIONS = ("recommends", "suggests")
MIN_PER_TAG = 100
TOO_EASY = 0.8
"""F1 from which a single word of the name, or the section, is said to tell a tag."""

_PLACEHOLDER = re.compile(r"role::.*|.*::TODO")
"""What a package is technically (library, documentation) is in its name; `TODO` stands where nobody has looked yet."""


def section_labels(packages: Iterable[Package], baskets: Collection[str], seed: int, *, by_source: bool) -> pa.Table:
    """Sections of packages; metapackages and tasks are left out, which are a form and no subject.

    Args:
        packages: All packages.
        baskets: Names of those that are baskets; they have no label.
        seed: Seed of the split.
        by_source: Keep all packages of one source package in one split; otherwise only those with the same description.

    Returns:
        Columns `id`, `label`, `split`; every section in all splits, as far as groups allow.
    """
    labelled = [p for p in packages if p.name not in baskets and p.section and p.section not in BASKET_SECTIONS]
    groups = {p.name: p.source if by_source else _plain(p.description or p.name) for p in labelled}
    sections: dict[str, Counter[str]] = defaultdict(Counter)
    for package in labelled:
        sections[groups[package.name]][str(package.section)] += 1
    # One stratum per group, whatever sections its members have: a group is never torn apart.
    stratum = {
        group: min(counts.items(), key=lambda item: (-item[1], item[0]))[0] for group, counts in sections.items()
    }
    members: dict[str, list[Package]] = defaultdict(list)
    for package in labelled:
        members[stratum[groups[package.name]]].append(package)
    rows = []
    for section, found in sorted(members.items()):
        rng = generator(seed, "debian", "section", "by source" if by_source else "by text", section)
        splits = grouped_split([groups[package.name] for package in found], NODE_SHARES, rng)
        rows += [(package.name, str(package.section), split) for package, split in zip(found, splits, strict=True)]
    return _table(sorted(rows), ("id", "label", "split"))


def tag_labels(packages: Iterable[Package], baskets: Collection[str], seed: int) -> pa.Table:
    """Debtags of the packages that have any of `usable_tags`; all packages of one source lie in one split.

    Returns:
        Columns `id`, `label` (a list), `split`.
    """
    tagged = [package for package in packages if package.tags and package.name not in baskets]
    wanted = usable_tags(tagged)
    rows = [(package, [tag for tag in package.tags if tag in wanted]) for package in tagged]
    rows = [(package, tags) for package, tags in rows if tags]
    rng = generator(seed, "debian", "debtags")
    splits = grouped_split([package.source for package, _ in rows], NODE_SHARES, rng)
    return pa.table(
        {
            "id": pa.array([package.name for package, _ in rows], pa.string()),
            "label": pa.array([tags for _, tags in rows], pa.list_(pa.string())),
            "split": pa.array(splits, pa.string()),
        }
    )


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


def split_links(relations: Edges, source_of: Mapping[str, str], seed: int) -> dict[frozenset[str], str]:
    """Choose pairs of packages that leave the graph: 5 % for `valid`, 10 % for `test`.

    A pair moves with all its edges, in both relations and directions. All pairs between the same two source packages
    share a split: otherwise a quarter of the test pairs would be told by a sibling (`gcc-12-multilib` suggests the same
    documentation as `gcc-12`). A pair that `depends` or `enhances` joins too is not asked: the graph tells it anyway.

    Returns:
        `valid` or `test` by pair.
    """
    told = {frozenset(pair) for name, pairs in relations.items() if name not in ASKED_RELATIONS for pair in pairs}
    asked = {frozenset(pair) for name in ASKED_RELATIONS for pair in relations[name]} - told
    groups: dict[tuple[str, ...], list[frozenset[str]]] = defaultdict(list)
    for pair in asked:
        groups[tuple(sorted(source_of[name] for name in pair))].append(pair)
    # Groups in random order: `grouped_split` would put the large ones into training, all of them.
    names = sorted(groups)
    waiting = [names[i] for i in torch.randperm(len(names), generator=generator(seed, "debian", "links")).tolist()]
    chosen: dict[frozenset[str], str] = {}
    for split, share in ((split, share) for split, share in EDGE_SHARES.items() if split != "train"):
        drawn: list[frozenset[str]] = []
        while waiting and len(drawn) < round(share * len(asked)):
            drawn += groups[waiting.pop()]
        chosen |= dict.fromkeys(drawn, split)
    return chosen


def link_table(relations: Edges, chosen: Mapping[frozenset[str], str]) -> pa.Table:
    """Edges of the chosen pairs; columns `source`, `target`, `relation`, `split`."""
    rows = [
        (*pair, name, chosen[frozenset(pair)])
        for name in ASKED_RELATIONS
        for pair in relations[name]
        if frozenset(pair) in chosen
    ]
    return _table(sorted(rows), ("source", "target", "relation", "split"))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _table(rows: Sequence[tuple[str, ...]], names: Sequence[str]) -> pa.Table:
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)})
