from __future__ import annotations

import random

import pytest

from mmgraph.datasets.openmoji.sequences import (
    base_form,
    components,
    emoji_relations,
    female_form,
    letters,
    neutral_form,
    normal_form,
    undirected_form,
    variant_groups,
)
from mmgraph.datasets.openmoji.source import read_emoji


@pytest.fixture(scope="module")
def keys() -> list[str]:
    return [item.key for item in read_emoji()]


def test_the_presentation_selector_does_not_count() -> None:
    assert normal_form("1F3F3-FE0F-200D-1F308") == "1F3F3-200D-1F308"


@pytest.mark.parametrize(
    ("function", "key", "expected"),
    [
        (base_form, "1F44D-1F3FB", "1F44D"),
        (base_form, "1F469-1F3FB-200D-1F33E", "1F469-200D-1F33E"),
        (base_form, "1F469-1F3FB-200D-1F91D-200D-1F469-1F3FC", "1F46D"),  # women holding hands has a short form
        (base_form, "1F468-1F3FB-200D-1F430-200D-1F468-1F3FC", "1F46F-200D-2642"),
        (base_form, "1FAF1-1F3FB-200D-1FAF2-1F3FF", "1F91D"),  # handshake
        (base_form, "1F44D", None),
        (base_form, "1F3FB", None),  # a modifier is no variant of nothing
        (female_form, "1F468-1F3FB-200D-1F33E", "1F469-1F3FB-200D-1F33E"),
        (female_form, "1F3C3-200D-2642-200D-27A1", "1F3C3-200D-2640-200D-27A1"),
        (female_form, "1F934-1F3FE", "1F478-1F3FE"),  # prince, princess
        (female_form, "1F468-200D-1F466", "1F469-200D-1F466"),  # the boy stays
        (female_form, "1F468-200D-1F469-200D-1F466", None),
        (female_form, "1F469-200D-1F33E", None),
        (female_form, "2642", None),  # the sign itself
        (neutral_form, "1F469-1F3FB-200D-1F33E", "1F9D1-1F3FB-200D-1F33E"),
        (neutral_form, "1F3C3-1F3FB-200D-2640", "1F3C3-1F3FB"),
        (neutral_form, "1F46D-1F3FB", "1F9D1-1F3FB-200D-1F91D-200D-1F9D1-1F3FB"),
        (neutral_form, "1F468-1F3FB-200D-2764-200D-1F468-1F3FB", "1F491-1F3FB"),
        (neutral_form, "1F468-200D-1F469-200D-1F466", "1F9D1-200D-1F9D1-200D-1F9D2"),
        (neutral_form, "1F9D1-200D-1F33E", None),
        (undirected_form, "1F6B6-1F3FB-200D-2640-200D-27A1", "1F6B6-1F3FB-200D-2640"),
        (undirected_form, "27A1", None),
    ],
)
def test_forms(keys: list[str], function: object, key: str, expected: str | None) -> None:
    assert function(key, set(keys)) == expected  # type: ignore[operator]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("1F469-1F3FB-200D-1F33E", ["1F469-1F3FB", "1F33E"]),
        ("1F3C3-200D-2640-200D-27A1", ["1F3C3"]),  # signs and arrows are markers, not parts
        ("1F468-200D-1F468-200D-1F466", ["1F468", "1F466"]),
        ("1F3F4-E0067-E0062-E0065-E006E-E0067-E007F", ["1F3F4"]),
        ("0031-20E3", ["20E3"]),
        ("1F600", []),
    ],
)
def test_components(keys: list[str], key: str, expected: list[str]) -> None:
    assert components(key, set(keys)) == expected


def test_letters_of_flags(keys: list[str]) -> None:
    assert letters("1F1E9-1F1EA", set(keys)) == ["1F1E9", "1F1EA"]
    assert letters("1F1E8-1F1E8", set(keys)) == ["1F1E8"]
    assert letters("1F44D-1F3FB", set(keys)) == []


def test_no_pair_is_linked_twice(keys: list[str]) -> None:
    relations = emoji_relations(keys)
    pairs = [frozenset(edge) for edges in relations.values() for edge in edges]
    assert len(pairs) == len(set(pairs))
    assert all(len(pair) == 2 for pair in pairs)
    assert {name: len(edges) for name, edges in relations.items()} == {
        "skin_tone_of": 2030,
        "direction_of": 108,
        "gender_form_of": 1369,
        "gender_pair": 649,
        "letter_of": 511,
        "component_of": 2599,
        "chart_neighbour": 1656,
    }


def test_relations_depend_on_code_points_not_on_their_order(keys: list[str]) -> None:
    shuffled = list(keys)
    random.Random(0).shuffle(shuffled)
    one, other = emoji_relations(keys), emoji_relations(shuffled)
    assert {name: set(edges) for name, edges in one.items()} == {name: set(edges) for name, edges in other.items()}
    assert variant_groups(keys, one) == variant_groups(shuffled, other)


def test_names_agree_with_the_structure() -> None:
    # An independent witness: Unicode's names say "light skin tone" and so on, our relations never read them.
    name = {item.key: item.name for item in read_emoji()}
    toned = [(name[a], name[b]) for a, b in emoji_relations(list(name))["skin_tone_of"]]
    for variant, base in toned:
        if variant is None or base is None:
            continue
        words = variant.replace("medium-", "").split(" ")
        plain = [w for w in words if w not in ("light", "medium", "dark", "skin", "tone", "person")]
        assert plain == [w for w in base.split(" ") if w != "person"], (variant, base)


def test_variants_form_one_group(keys: list[str]) -> None:
    groups = variant_groups(keys, emoji_relations(keys))
    for members in (
        ("1F9D1-200D-1F33E", "1F468-1F3FB-200D-1F33E", "1F469-1F3FF-200D-1F33E"),
        ("1F491", "1F468-1F3FB-200D-2764-200D-1F468-1F3FC", "1F469-200D-2764-200D-1F468"),
        ("1F9D1", "1F468", "1F469-1F3FB", "1F469-200D-1F9B0"),
        ("1F46A", "1F468-200D-1F466", "1F9D1-200D-1F9D1-200D-1F9D2"),
        ("1F3C3", "1F3C3-1F3FB-200D-2640-200D-27A1"),
        ("1F385", "1F936-1F3FB", "1F9D1-200D-1F384"),
    ):
        assert {groups[key] for key in members} == {members[0] if members[0] in groups.values() else groups[members[1]]}
    assert groups["1F9D1-200D-1F33E"] != groups["1F9D1"]
    assert groups["1F600"] == "1F600"
