"""What the code points of an emoji say about its relatives (Unicode Technical Standard #51).

Nothing here reads a category or a name: every relation is computed from code points alone, and from the tables
below, which list the gendered characters that have code points of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

JOINER, PRESENTATION, RIGHTWARDS, KEYCAP = "200D", "FE0F", "27A1", "20E3"
FEMALE, MALE = "2640", "2642"
TONES = frozenset(("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"))
HAIR = frozenset(("1F9B0", "1F9B1", "1F9B2", "1F9B3"))
MAN, WOMAN, PERSON = "1F468", "1F469", "1F9D1"
ADULTS = frozenset((MAN, WOMAN, PERSON))
FAMILY, FAMILY_MEMBERS = "1F46A", ADULTS | {"1F466", "1F467", "1F9D2"}
MARKERS = frozenset((FEMALE, MALE, RIGHTWARDS))

# Characters that are a pair in CLDR's names ("prince", "princess") but not in their code points.
MALE_TO_FEMALE = {
    "1F466": "1F467",  # boy, girl
    "1F468": "1F469",  # man, woman
    "1F474": "1F475",  # old man, old woman
    "1F934": "1F478",  # prince, princess
    "1FAC3": "1F930",  # pregnant man, pregnant woman
    "1F385": "1F936",  # Santa Claus, Mrs. Claus
    "1F57A": "1F483",  # man dancing, woman dancing
    "1F46C": "1F46D",  # men holding hands, women holding hands
}
NEUTRAL = {
    **dict.fromkeys(("1F466", "1F467"), "1F9D2"),
    **dict.fromkeys((MAN, WOMAN), PERSON),
    **dict.fromkeys(("1F474", "1F475"), "1F9D3"),
    **dict.fromkeys(("1F934", "1F478"), "1FAC5"),
    **dict.fromkeys(("1FAC3", "1F930"), "1FAC4"),
    **dict.fromkeys(("1F385", "1F936"), "1F9D1-200D-1F384"),
    **dict.fromkeys(("1F46B", "1F46C", "1F46D"), "1F9D1-200D-1F91D-200D-1F9D1"),
}
# With two skin tones these are spelled out; with one or none they have a shorter form.
SPELLED_OUT = {
    "1F9D1-200D-2764-200D-1F9D1": "1F491",
    "1F9D1-200D-2764-200D-1F48B-200D-1F9D1": "1F48F",
    "1F469-200D-1F91D-200D-1F469": "1F46D",
    "1F469-200D-1F91D-200D-1F468": "1F46B",
    "1F468-200D-1F91D-200D-1F468": "1F46C",
    "1F9D1-200D-1F430-200D-1F9D1": "1F46F",
    "1F468-200D-1F430-200D-1F468": "1F46F-200D-2642",
    "1F469-200D-1F430-200D-1F469": "1F46F-200D-2640",
    "1F9D1-200D-1FAEF-200D-1F9D1": "1F93C",
    "1F468-200D-1FAEF-200D-1F468": "1F93C-200D-2642",
    "1F469-200D-1FAEF-200D-1F469": "1F93C-200D-2640",
    "1FAF1-200D-1FAF2": "1F91D",
}
VARIANT_RELATIONS = ("skin_tone_of", "direction_of", "gender_form_of", "gender_pair")
SYMMETRIC_RELATIONS = frozenset(("gender_pair", "chart_neighbour"))

Edges = list[tuple[str, str]]


def normal_form(hexcode: str) -> str:
    """Code points without the presentation selector, which changes nothing but the default style."""
    return "-".join(part for part in hexcode.split("-") if part != PRESENTATION)


def elements(key: str) -> list[str]:
    """Parts between zero-width joiners: `1F468-1F3FB-200D-1F33E` -> `[1F468-1F3FB, 1F33E]`."""
    return key.split(f"-{JOINER}-")


def without_tones(key: str) -> str:
    """Code points without skin-tone modifiers; a modifier by itself stays."""
    parts = key.split("-")
    return "-".join(part for part in parts if part not in TONES) if len(parts) > 1 else key


def _is_toned(key: str) -> bool:
    return without_tones(key) != key


def _find(key: str, known: Collection[str]) -> str | None:
    """The sequence itself, or its shorter form if that is what exists."""
    if key in known:
        return key
    tones = [part for part in key.split("-") if part in TONES]
    short = SPELLED_OUT.get(without_tones(key))
    if short is None or len(set(tones)) > 1:
        return None
    first, *rest = short.split("-")
    found = "-".join([first, *tones[:1], *rest])
    return found if found in known else None


def base_form(key: str, known: Collection[str]) -> str | None:
    """The same emoji without skin tones, or None if there are none to take away."""
    return _find(without_tones(key), known) if _is_toned(key) else None


def _replace(key: str, table: Mapping[str, str]) -> str:
    """Exchange characters; a tone that follows one is given to every person of what replaces it."""
    out: list[str] = []
    for element in elements(key):
        first, *rest = element.split("-")
        replaced = table.get(first, first)
        tone = [part for part in rest if part in TONES]
        if JOINER in replaced and tone:
            replaced = "-".join("-".join([part, *tone]) if part in ADULTS else part for part in replaced.split("-"))
            rest = [part for part in rest if part not in TONES]
        out.append("-".join([replaced, *rest]))
    return f"-{JOINER}-".join(out)


def female_form(key: str, known: Collection[str]) -> str | None:
    """The female counterpart of a male emoji with the same skin tones."""
    parts = key.split("-")
    if MALE in parts and len(parts) > 1:
        return _find("-".join(FEMALE if part == MALE else part for part in parts), known)
    if not MALE_TO_FEMALE.keys() & set(parts) or {WOMAN, PERSON} & set(parts):
        return None
    # In "family: man, boy" the adult is exchanged, not the child.
    table = {MAN: WOMAN} if MAN in parts else MALE_TO_FEMALE
    return _find(_replace(key, table), known)


def neutral_form(key: str, known: Collection[str]) -> str | None:
    """The form without a gender of a gendered emoji with the same skin tones."""
    parts = key.split("-")
    if {FEMALE, MALE} & set(parts) and len(parts) > 1:
        kept = [element for element in elements(key) if element not in (FEMALE, MALE)]
        return _find(f"-{JOINER}-".join(kept), known)
    return _find(_replace(key, NEUTRAL), known) if NEUTRAL.keys() & set(parts) else None


def undirected_form(key: str, known: Collection[str]) -> str | None:
    """The emoji that does not face right."""
    base, separator, _ = key.rpartition(f"-{JOINER}-{RIGHTWARDS}")
    return base if separator and base in known else None


def _is_letter(key: str) -> bool:
    return "-" not in key and 0x1F1E6 <= int(key, 16) <= 0x1F1FF


def components(key: str, known: Collection[str]) -> list[str]:
    """Emoji that a sequence is made of, without modifiers, gender signs and arrows."""
    if key.endswith("-E007F"):
        parts = [key.split("-")[0]]  # a flag followed by the letters of a region
    elif key.endswith(f"-{KEYCAP}"):
        parts = [KEYCAP]
    else:
        parts = [part for part in dict.fromkeys(elements(key)) if part not in MARKERS]
    return [part for part in parts if part in known and part != key]


def letters(key: str, known: Collection[str]) -> list[str]:
    """Regional-indicator letters of a flag."""
    parts = key.split("-")
    return [p for p in dict.fromkeys(parts) if p in known] if len(parts) == 2 and all(map(_is_letter, parts)) else []


def emoji_relations(keys: Sequence[str]) -> dict[str, Edges]:
    """Edges by relation. No two nodes are linked by more than one edge, whatever the relation or direction.

    Args:
        keys: Distinct normal forms.

    Returns:
        Pairs `(source, target)`, in the order of `keys`: variant and what it is a variant of (`skin_tone_of`,
        `direction_of`, `gender_form_of`), male and female (`gender_pair`), part and whole (`letter_of`,
        `component_of`), and neighbours in the code charts (`chart_neighbour`).
    """
    known = set(keys)
    bases: dict[str, Callable[[str, Collection[str]], str | None]] = {
        "skin_tone_of": base_form,
        "direction_of": undirected_form,
        "gender_form_of": neutral_form,
        "gender_pair": female_form,
    }
    found: dict[str, Edges] = {
        name: [(key, other) for key in keys if (other := function(key, known)) is not None]
        for name, function in bases.items()
    }
    found["letter_of"] = [(part, key) for key in keys for part in letters(key, known)]
    found["component_of"] = [(part, key) for key in keys for part in components(key, known)]
    found["chart_neighbour"] = [(key, after) for key in keys if (after := _next_code_point(key)) in known]
    return _without_duplicates(found)


def _next_code_point(key: str) -> str:
    return "" if "-" in key else f"{int(key, 16) + 1:04X}"


def _without_duplicates(relations: Mapping[str, Edges]) -> dict[str, Edges]:
    seen: set[frozenset[str]] = set()
    kept: dict[str, Edges] = {}
    for name, edges in relations.items():
        kept[name] = []
        for source, target in edges:
            pair = frozenset((source, target))
            if source != target and pair not in seen:
                seen.add(pair)
                kept[name].append((source, target))
    return kept


def variant_groups(keys: Sequence[str], relations: Mapping[str, Edges]) -> dict[str, str]:
    """Group the variants of one emoji: skin tones, genders, directions, hair, and all families.

    Returns:
        For each key the shortest key of its group, the first in alphabetical order among several.
    """
    parent = {key: key for key in keys}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(pairs: Iterable[tuple[str, str]]) -> None:
        for one, other in pairs:
            low, high = sorted((root(one), root(other)), key=lambda key: (len(key), key))
            parent[high] = low

    for name in VARIANT_RELATIONS:
        join(relations.get(name, []))
    for key in keys:
        parts = elements(without_tones(key))
        if len(parts) > 1 and set(parts) <= FAMILY_MEMBERS and FAMILY in parent:
            join([(key, FAMILY)])
        if len(parts) == 2 and parts[0] in ADULTS and parts[1] in HAIR and parts[0] in parent:
            join([(key, parts[0])])
    return {key: root(key) for key in keys}
