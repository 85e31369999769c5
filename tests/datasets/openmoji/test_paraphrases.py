from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from mmgraph.datasets.openmoji.paraphrases import paraphrases, says_more
from mmgraph.datasets.openmoji.sequences import emoji_relations, variant_groups, without_tones
from mmgraph.datasets.openmoji.source import Emoji, read_emoji, words
from mmgraph.datasets.openmoji.tasks import foreign_names, name_queries


@pytest.fixture(scope="module")
def emoji() -> list[Emoji]:
    return read_emoji()


@pytest.fixture(scope="module")
def groups(emoji: list[Emoji]) -> dict[str, str]:
    keys = [item.key for item in emoji]
    return variant_groups(keys, emoji_relations(keys))


@pytest.mark.parametrize(
    ("query", "name", "expected"),
    [
        ("electric light bulb", "light bulb", True),
        ("cop", "police officer", True),
        ("light bulbs", "light bulb", False),  # the same word in the plural
        ("flag for oman", "Oman", False),
        ("female singer", "woman singer", False),
        ("bulb, light!", "light bulb", False),
    ],
)
def test_a_paraphrase_says_something_of_its_own(query: str, name: str, expected: bool) -> None:
    assert says_more(query, name) is expected


@pytest.mark.parametrize("seed", [0, 1])
def test_no_group_and_no_query_lies_in_two_splits(emoji: list[Emoji], groups: dict[str, str], seed: int) -> None:
    rows = paraphrases(emoji, groups, name_queries(emoji, seed), seed).to_pylist()
    key = {item.id: item.key for item in emoji}
    by_group, by_base, by_query = defaultdict(set), defaultdict(set), defaultdict(set)
    for row in rows:
        by_group[groups[key[row["id"]]]].add(row["split"])
        by_base[without_tones(key[row["id"]])].add(row["split"])
        by_query[words(row["query"])].add(row["split"])
    for found in (by_group, by_base, by_query):
        assert {len(splits) for splits in found.values()} == {1}
    counts = {split: sum(row["split"] == split for row in rows) for split in ("train", "valid", "test")}
    assert counts["train"] > 200
    assert min(counts["valid"], counts["test"]) > 70


@pytest.mark.parametrize("seed", [0, 1])
def test_train_knows_nothing_of_what_any_text_task_asks(emoji: list[Emoji], groups: dict[str, str], seed: int) -> None:
    asked = name_queries(emoji, seed)
    rows = paraphrases(emoji, groups, asked, seed).to_pylist()
    key = {item.id: item.key for item in emoji}
    texts = {words(item.name) for item in emoji if item.name}
    assert not {words(row["query"]) for row in rows} & texts
    home = {groups[key[row["id"]]]: row["split"] for row in rows}
    for row in asked.to_pylist():
        assert home.get(groups[key[row["id"]]], "test") in (row["split"], "test")
    train = {words(row["query"]) for row in rows if row["split"] == "train"}
    assert not train & {words(row["query"]) for row in asked.to_pylist()}
    assert not train & {words(row["query"]) for row in foreign_names(emoji, seed).to_pylist()}


def test_names_of_several_groups_are_left_out_and_spellings_are_one() -> None:
    def one(stem: str, name: str, *aliases: str) -> Emoji:
        return Emoji(stem, stem, Path(), name, aliases)

    emoji = [
        one("A1", "police officer", "Cop", "cop!"),
        one("A2", "memo", "pencil", "a sheet", "u6307"),
        one("A3", "guard", "sentinel", "a sheet"),
        one("A4", "pencil", "graphite"),
    ]
    own = {item.key: item.key for item in emoji}
    rows = paraphrases(emoji, own, name_queries(emoji, 0), 0).to_pylist()
    assert {(row["query"], row["id"]) for row in rows} == {("cop", "A1"), ("graphite", "A4"), ("sentinel", "A3")}
    joined = own | {"A3": "A2"}
    rows = paraphrases(emoji, joined, name_queries(emoji, 0), 0).to_pylist()
    assert {row["id"] for row in rows if row["query"] == "a sheet"} == {"A2", "A3"}
    nameless = [replace(item, aliases=()) for item in emoji]
    empty = paraphrases(nameless, own, name_queries(nameless, 0), 0)
    assert (empty.num_rows, empty.column_names) == (0, ["query", "id", "split"])


def test_seeds_change_the_split_and_calls_repeat(emoji: list[Emoji], groups: dict[str, str]) -> None:
    asked = name_queries(emoji, 0)
    first = paraphrases(emoji, groups, asked, 0)
    assert first.equals(paraphrases(emoji, groups, asked, 0))
    assert not first.equals(paraphrases(emoji, groups, asked, 1))
