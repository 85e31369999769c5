"""What is asked of the emoji graph, and what is held out of it for that."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import torch

from mmgraph.datasets.grouping import joined_groups
from mmgraph.datasets.openmoji.sequences import Edges, without_tones
from mmgraph.datasets.openmoji.source import Emoji, words
from mmgraph.seeding import generator
from mmgraph.splits.groups import EDGE_SHARES, NODE_SHARES, QUERY_SHARES, grouped_split

HELD_OUT_RELATIONS = ("component_of", "gender_form_of", "gender_pair")
NUM_IMAGE_QUERIES, NUM_FOREIGN_NAMES = 240, 100
NO_CATEGORY = "Component"
"""The five skin-tone modifiers are no subject, and too few to learn."""


def look_alikes(emoji: Sequence[Emoji], groups: Mapping[str, str], digests: Sequence[str]) -> dict[str, str]:
    """Join groups of variants that show the same picture (Chad and Romania) or have the same name.

    Args:
        emoji: All emoji.
        groups: Group of variants by key.
        digests: Digest of the picture of each emoji.

    Returns:
        For each key the name of one of the joined groups.
    """
    pictures = {item.key: digest for item, digest in zip(emoji, digests, strict=True)}
    names = {item.key: item.name.casefold() for item in emoji if item.name}
    joined = joined_groups([item.key for item in emoji], groups, pictures, names)
    return {key: groups[first] for key, first in joined.items()}


def category_labels(emoji: Sequence[Emoji], groups: Mapping[str, str], seed: int) -> pa.Table:
    """Labels of the category task; groups lie in one split each, and every category in all three.

    Args:
        emoji: All emoji.
        groups: Group by key, see `look_alikes`.
        seed: Seed of the split.

    Returns:
        Columns `id`, `label`, `split`.
    """
    by_category: dict[str, list[Emoji]] = defaultdict(list)
    categories: dict[str, Counter[str]] = defaultdict(Counter)
    labelled = [item for item in emoji if item.category not in (None, NO_CATEGORY)]
    for item in labelled:
        categories[groups[item.key]][str(item.category)] += 1
    for item in labelled:
        # One stratum per group, whatever labels its members have: a group is never torn apart.
        by_category[min(categories[groups[item.key]].most_common())[0]].append(item)
    rows = []
    for category, items in sorted(by_category.items()):
        splits = grouped_split(
            [groups[item.key] for item in items], NODE_SHARES, generator(seed, "openmoji", "category", category)
        )
        rows += [(item.id, str(item.category), split) for item, split in zip(items, splits, strict=True)]
    return _table(sorted(rows), ("id", "label", "split"))


def split_edges(relations: Mapping[str, Edges], groups: Mapping[str, str], seed: int) -> dict[str, list[str]]:
    """Split for each edge of the relations that the link task asks for.

    All edges between the same two groups of variants share a split, whatever their relation: if "ear of corn is part
    of farmer" is held out, the graph does not tell it of the woman farmer with dark skin either.

    Returns:
        By relation `train`, `valid` or `test` for each edge.
    """
    splits: dict[str, list[str]] = {}
    for names in (("component_of",), ("gender_form_of", "gender_pair")):
        edges = [(name, edge) for name in names for edge in relations.get(name, [])]
        facts = [" ".join(sorted((groups[source], groups[target]))) for _, (source, target) in edges]
        chosen = grouped_split(facts, EDGE_SHARES, generator(seed, "openmoji", "links", names[0]))
        for name in names:
            splits[name] = [split for (owner, _), split in zip(edges, chosen, strict=True) if owner == name]
    return splits


def related(one: str, other: str) -> bool:
    """Whether two words are the same, one contains the other, or they begin alike (`cry`, `crying`)."""
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= 3 and short in long) or (len(short) >= 4 and short[:4] == long[:4])


def shares_a_word(query: str, text: str) -> bool:
    """Whether any word of the query is related to any word of the text."""
    known = words(text)
    return any(related(word, other) for word in words(query) for other in known)


def usable(query: str) -> bool:
    """Whether a name is made of words: no codes (`u6307`, `clock730`), and more than `flag ad` or `de`."""
    found = words(query)
    return not any(re.search(r"\d", word) for word in found) and any(len(w) >= 3 and w != "flag" for w in found)


def honest_queries(candidates: Iterable[tuple[str, Emoji]], names: Iterable[str]) -> dict[str, list[Emoji]]:
    """Keep the names that say something which the text of their emoji does not.

    Args:
        candidates: Names and the emoji they belong to.
        names: Texts of all nodes; a query that is the text of another node would have the wrong answer.

    Returns:
        Emoji by query. Queries that differ in case, accents or punctuation only are one; the first spelling stays.
    """
    texts = {" ".join(words(name)) for name in names}
    spelling: dict[str, str] = {}
    found: dict[str, dict[str, Emoji]] = defaultdict(dict)
    for query, item in candidates:
        plain = " ".join(words(query))
        if usable(query) and plain not in texts:
            found[plain][item.id] = item
            spelling.setdefault(plain, query)
    return {
        spelling[plain]: list(items.values())
        for plain, items in sorted(found.items())
        if not any(shares_a_word(plain, item.name or "") for item in items.values())
    }


def name_queries(emoji: Sequence[Emoji], seed: int) -> pa.Table:
    """Queries that are English aliases without a word of the node's text; columns `query`, `id`, `split`."""
    plain = _without_variants(emoji)
    queries = honest_queries(((alias, e) for e in plain for alias in e.aliases), _names(emoji))
    return _query_table(queries, generator(seed, "openmoji", "name_queries"))


def foreign_names(emoji: Sequence[Emoji], seed: int) -> pa.Table:
    """Queries in other languages, a sample of each; columns `query`, `id`, `split`."""
    plain = _without_variants(emoji)
    languages = sorted({language for item in plain for language, _ in item.foreign})
    chosen: dict[str, list[Emoji]] = {}
    for language in languages:
        queries = honest_queries(((n, e) for e in plain for code, n in e.foreign if code == language), _names(emoji))
        keys = sorted(set(queries) - set(chosen))
        order = torch.randperm(len(keys), generator=generator(seed, "openmoji", "foreign_names", language))
        chosen |= {keys[i]: queries[keys[i]] for i in sorted(order[:NUM_FOREIGN_NAMES].tolist())}
    return _query_table(chosen, generator(seed, "openmoji", "foreign_names"))


def image_queries(
    emoji: Sequence[Emoji], groups: Mapping[str, str], digests: Sequence[str], seed: int
) -> tuple[pa.Table, set[str]]:
    """Choose emoji whose picture is taken out of the graph and becomes the query.

    Only emoji with a name and no variants qualify, and no picture that another emoji has too: otherwise the graph
    would still hold (almost) the same picture.

    Args:
        emoji: All emoji.
        groups: Group of variants by key.
        digests: Digest of the picture of each emoji.
        seed: Seed of the choice.

    Returns:
        Columns `query` (path relative to the dataset), `id`, `split`; and the ids that lose their picture.
    """
    copies, members = Counter(digests), Counter(groups[item.key] for item in emoji)
    fit = [
        item
        for item, digest in zip(emoji, digests, strict=True)
        if item.name and copies[digest] == 1 and members[groups[item.key]] == 1
    ]
    # Never more than a fifth of them, so that a small graph keeps its pictures.
    count = min(NUM_IMAGE_QUERIES, len(fit) // 5)
    order = torch.randperm(len(fit), generator=generator(seed, "openmoji", "image_queries"))[:count].tolist()
    queries = {f"images/{fit[i].id}.png": [fit[i]] for i in sorted(order)}
    table = _query_table(queries, generator(seed, "openmoji", "image_queries", "split"))
    return table, {fit[i].id for i in order}


def _without_variants(emoji: Sequence[Emoji]) -> list[Emoji]:
    return [item for item in emoji if item.name and without_tones(item.key) == item.key]


def _names(emoji: Sequence[Emoji]) -> list[str]:
    return [item.name for item in emoji if item.name]


def _query_table(queries: Mapping[str, Sequence[Emoji]], rng: torch.Generator) -> pa.Table:
    """Rows in the order of the queries. Queries for the same emoji lie in the same split."""
    targets = [" ".join(sorted(item.id for item in items)) for items in queries.values()]
    splits = grouped_split(targets, QUERY_SHARES, rng)
    rows = [
        (query, item.id, split) for (query, items), split in zip(queries.items(), splits, strict=True) for item in items
    ]
    return _table(rows, ("query", "id", "split"))


def _table(rows: Sequence[tuple[str, ...]], names: Sequence[str]) -> pa.Table:
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)})
