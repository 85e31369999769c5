from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from mmgraph.datasets.openmoji.sequences import Edges, emoji_relations, variant_groups, without_tones
from mmgraph.datasets.openmoji.source import Emoji, read_emoji, words
from mmgraph.datasets.openmoji.tasks import (
    category_labels,
    foreign_names,
    honest_queries,
    image_queries,
    look_alikes,
    name_queries,
    related,
    split_edges,
    usable,
)


@pytest.fixture(scope="module")
def emoji() -> list[Emoji]:
    return read_emoji()


@pytest.fixture(scope="module")
def relations(emoji: list[Emoji]) -> dict[str, Edges]:
    return emoji_relations([item.key for item in emoji])


@pytest.fixture(scope="module")
def groups(emoji: list[Emoji], relations: dict[str, Edges]) -> dict[str, str]:
    return variant_groups([item.key for item in emoji], relations)


@pytest.mark.parametrize("seed", [0, 1])
def test_variants_of_an_emoji_lie_in_one_split(emoji: list[Emoji], groups: dict[str, str], seed: int) -> None:
    rows = category_labels(emoji, groups, seed).to_pylist()
    splits, labels = defaultdict(set), defaultdict(set)
    key = {item.id: item.key for item in emoji}
    for row in rows:
        splits[groups[key[row["id"]]]].add(row["split"])
        labels[row["split"]].add(row["label"])
    assert all(len(found) == 1 for found in splits.values())
    # No two names differ by a skin tone only across splits either; this does not use our own groups.
    by_base = defaultdict(set)
    for row in rows:
        by_base[without_tones(key[row["id"]])].add(row["split"])
    assert all(len(found) == 1 for found in by_base.values())
    assert labels["train"] == labels["valid"] == labels["test"]
    assert len(labels["train"]) == 9
    shares = {split: sum(row["split"] == split for row in rows) / len(rows) for split in labels}
    assert shares == pytest.approx({"train": 0.6, "valid": 0.2, "test": 0.2}, abs=0.01)


def test_equal_pictures_and_names_join_groups(emoji: list[Emoji], groups: dict[str, str]) -> None:
    digests = [item.id for item in emoji]
    assert look_alikes(emoji, groups, digests) == groups  # no two names are equal
    flags = [position for position, item in enumerate(emoji) if item.key in ("1F1F9-1F1E9", "1F1F7-1F1F4")]
    for position in flags:
        digests[position] = "Chad and Romania"
    found = look_alikes(emoji, groups, digests)
    assert len({found[emoji[position].key] for position in flags}) == 1
    assert {key for key in groups if found[key] != groups[key]} == {emoji[flags[1]].key}
    renamed = [
        replace(item, name="FLAG" if row == flags[0] else "flag") for row, item in enumerate(emoji) if row in flags
    ]
    keys = {item.key: item.key for item in renamed}
    assert len(set(look_alikes(renamed, keys, ["1", "2"]).values())) == 1


@pytest.mark.parametrize("seed", [0, 1])
def test_a_held_out_fact_is_told_by_no_variant(relations: dict[str, Edges], groups: dict[str, str], seed: int) -> None:
    splits = split_edges(relations, groups, seed)
    kept, asked = set(), set()
    for name in ("component_of", "gender_form_of", "gender_pair"):
        for (source, target), split in zip(relations[name], splits[name], strict=True):
            fact = (name == "component_of", frozenset((groups[source], groups[target])))
            (kept if split == "train" else asked).add(fact)
    assert kept
    assert asked
    assert not kept & asked
    counts = [split for found in splits.values() for split in found]
    assert counts.count("test") / len(counts) == pytest.approx(0.10, abs=0.01)
    assert counts.count("valid") / len(counts) == pytest.approx(0.05, abs=0.01)


def test_queries_share_no_word_with_the_text(emoji: list[Emoji]) -> None:
    name = {item.id: item.name or "" for item in emoji}
    texts = {" ".join(words(text)) for text in name.values()}
    for table in (name_queries(emoji, 0), foreign_names(emoji, 0)):
        rows = table.to_pylist()
        assert len(rows) > 100
        for row in rows:
            asked, known = words(row["query"]), words(name[row["id"]])
            assert not set(asked) & set(known), row
            assert not any(a.startswith(k) for a in asked for k in known if len(k) > 3), row
            assert " ".join(asked) not in texts, row
        assert {row["split"] for row in rows} == {"valid", "test"}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("cry", "crying", True),
        ("tophat", "top", True),
        ("persevere", "persevering", True),
        ("cop", "police", False),
        ("t", "teacup", False),
        ("x", "x", True),
    ],
)
def test_related_words(one: str, other: str, expected: bool) -> None:
    assert related(one, other) is related(other, one) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cop", True), ("u6307", False), ("flag ad", False), ("de", False), ("+1", False), ("", False)],
)
def test_codes_are_no_queries(name: str, expected: bool) -> None:
    assert usable(name) is expected


def test_honest_queries_drop_texts_of_other_nodes_and_join_spellings(emoji: list[Emoji]) -> None:
    by_name = {item.name: item for item in emoji if item.name}
    police, memo, guard = by_name["police officer"], by_name["memo"], by_name["guard"]
    candidates = [("Cop", police), ("cop!", police), ("pencil", memo), ("the police", police), ("cop", guard)]
    found = honest_queries(candidates, list(by_name))
    assert found == {"Cop": [police, guard]}


def test_a_picture_that_is_asked_for_has_no_copy_in_the_graph(emoji: list[Emoji], groups: dict[str, str]) -> None:
    digests = [f"{i // 2}" if i < 400 else f"unique {i}" for i in range(len(emoji))]
    table, withheld = image_queries(emoji, groups, digests, 0)
    assert {row["id"] for row in table.to_pylist()} == withheld
    assert 100 < len(withheld) <= 240
    members = [groups[item.key] for item in emoji]
    for position, item in enumerate(emoji):
        if item.id in withheld:
            assert item.name
            assert position >= 400
            assert members.count(groups[item.key]) == 1
    assert all(row["query"] == f"images/{row['id']}.png" for row in table.to_pylist())


def test_seeds_change_every_split(emoji: list[Emoji], relations: dict[str, Edges], groups: dict[str, str]) -> None:
    assert category_labels(emoji, groups, 0) != category_labels(emoji, groups, 1)
    assert split_edges(relations, groups, 0) != split_edges(relations, groups, 1)
    assert name_queries(emoji, 0) != name_queries(emoji, 1)
    assert category_labels(emoji, groups, 0) == category_labels(emoji, groups, 0)
