"""Queries to learn from: other English names of emoji, split by groups of emoji."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from mmgraph.datasets.openmoji.sequences import without_tones
from mmgraph.datasets.openmoji.source import Emoji, words
from mmgraph.datasets.openmoji.tasks import related, usable
from mmgraph.seeding import generator
from mmgraph.splits.groups import grouped_split

FREE_SHARES = {"train": 0.75, "valid": 0.15, "test": 0.10}
"""Of the queries for groups that `name_queries` does not ask for; those that it asks for are in its split already."""
EMPTY_WORDS = frozenset(
    words(
        "a an and at emoji for in of on or the to with button clock face flag flags sign symbol "
        "female male man men person woman women"
    )
)
"""Words that do not make a new name: `zambia flag` (Zambia), `female singer` (woman singer)."""


def says_more(query: str, name: str) -> bool:
    """Whether a query has a word that is not empty and is related to no word of the name.

    Example:
        >>> says_more("electric light bulb", "light bulb"), says_more("flag for oman", "Oman")
        (True, False)
    """
    known = words(name)
    return any(word not in EMPTY_WORDS and not any(related(word, other) for other in known) for word in words(query))


def paraphrases(emoji: Sequence[Emoji], groups: Mapping[str, str], asked: pa.Table, seed: int) -> pa.Table:
    """Queries that are English names with a word of their own, in three splits.

    Unlike those of `name_queries` they may share words with the node's text, so there are enough of them to learn from.
    A group of emoji lies in one split. Groups that `name_queries` asks for keep its split, so a model that was
    fine-tuned on the train queries has not seen the answers of that task either. Names that belong to emoji of several
    groups are left out: they would tie groups together.

    Args:
        emoji: All emoji.
        groups: Group by key, see `look_alikes`.
        asked: The table of `name_queries`.
        seed: Seed of the split.

    Returns:
        Columns `query`, `id`, `split`. Queries that differ in case, accents or punctuation only are one.
    """
    group = {item.id: groups[item.key] for item in emoji}
    found = _candidates(emoji)
    found = {query: ids for query, ids in found.items() if len({group[i] for i in ids}) == 1}
    fixed: dict[str, str] = {}
    for row in asked.to_pylist():
        # Were both splits asked for one group, test wins: nothing of it may be learnt from or chosen by.
        name = group[row["id"]]
        fixed[name] = "test" if "test" in (row["split"], fixed.get(name)) else row["split"]
    owner = {query: group[min(ids)] for query, ids in found.items()}
    free = [query for query in found if owner[query] not in fixed]
    drawn = grouped_split([owner[query] for query in free], FREE_SHARES, generator(seed, "openmoji", "paraphrases"))
    split = dict(zip(free, drawn, strict=True))
    rows = [(query, i, split.get(query) or fixed[owner[query]]) for query, ids in found.items() for i in sorted(ids)]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table({n: pa.array(c, pa.string()) for n, c in zip(("query", "id", "split"), columns, strict=True)})


def _candidates(emoji: Sequence[Emoji]) -> dict[str, Collection[str]]:
    """Ids by query, in order of the query; no emoji with a skin tone is asked for, as in `name_queries`."""
    texts = {" ".join(words(item.name)) for item in emoji if item.name}
    found: dict[str, set[str]] = defaultdict(set)
    name: dict[str, str] = {}
    for item in emoji:
        if item.name and without_tones(item.key) == item.key:
            name[item.id] = item.name
            for alias in item.aliases:
                plain = " ".join(words(alias))
                if usable(alias) and plain not in texts:
                    found[plain].add(item.id)
    return {q: ids for q, ids in sorted(found.items()) if all(says_more(q, name[i]) for i in ids)}
