from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.datasets.debian.control import package_names, stanzas, version_key
from mmgraph.errors import InputError

FIELD = st.text("ab-", min_size=1, max_size=6).map("x".__add__)
VALUE = st.text("aB0 .,:()|=+~#-", min_size=1, max_size=12).map(str.strip).filter(bool)
NAME = st.text("a0+.-", max_size=6).map("n".__add__)


@given(st.lists(st.dictionaries(FIELD, st.lists(VALUE, min_size=1, max_size=3), min_size=1, max_size=5), max_size=5))
def test_what_is_written_as_stanzas_is_read_again(wanted: list[dict[str, list[str]]]) -> None:
    text = "\n \n\n".join("".join(f"{k.title()}: " + "\n\t".join(v) + "\n" for k, v in s.items()) for s in wanted)
    assert list(stanzas("# a comment\n" + text)) == [{k: "\n".join(v) for k, v in s.items()} for s in wanted]


def test_fields_can_be_chosen() -> None:
    text = "Package: a\nMaintainer: Jane Doe\n <jane@example.org>\nVersion: 1\n\nMaintainer: nobody\n"
    assert list(stanzas(text, fields={"package", "version"})) == [{"package": "a", "version": "1"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Package: a\nno colon\n", "P, line 2: expected 'Field: value', got 'no colon'"),
        (" continues nothing\n", "P, line 1: expected 'Field: value', got ' continues nothing'"),
        ("<html>: a\n two words: b\nmore words: c\n", "P, line 3: expected 'Field: value', got 'more words: c'"),
        ("Package: a\n\nPackage: b\npackage: c\n", "P, line 4: the field 'package' occurs twice in a stanza"),
    ],
)
def test_what_is_no_stanza_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        list(stanzas(text, where="P"))
    assert str(error.value) == message


@given(
    st.lists(
        st.tuples(
            NAME,
            st.sampled_from(
                ["", ":any", " (>= 1.0-2)", ":amd64 (<< 2:1~rc1)", " [amd64 !i386]", " <!nocheck> <cross>"]
            ),
            st.sampled_from([", ", " | ", ",\n ", "|"]),
        )
    )
)
def test_names_in_a_field(parts: list[tuple[str, str, str]]) -> None:
    value = "".join("".join(part) for part in parts)
    assert package_names(value) == tuple(dict.fromkeys(name for name, _, _ in parts))


def test_a_field_without_names() -> None:
    assert package_names(" , | ${misc:Depends},, ") == ()


def compare(one: str, other: str) -> int:
    """As in dpkg: digits as numbers, the rest by characters, where `~` < end < letters < others. Slow and literal."""

    def order(text: str, i: int) -> int:
        if i >= len(text) or text[i].isdigit():
            return 0
        return -1 if text[i] == "~" else ord(text[i]) if text[i].isalpha() else ord(text[i]) + 256

    i = j = 0
    while i < len(one) or j < len(other):
        while (i < len(one) and not one[i].isdigit()) or (j < len(other) and not other[j].isdigit()):
            a, b = order(one, i), order(other, j)
            if a != b:
                return a - b
            i, j = i + 1, j + 1
        numbers = []
        for text, start in ((one, i), (other, j)):
            end = start
            while end < len(text) and text[end].isdigit():
                end += 1
            numbers.append((int(text[start:end] or 0), end))
        (a, i), (b, j) = numbers
        if a != b:
            return a - b
    return 0


PART = st.text(alphabet="019ab~+.", max_size=8)


@given(PART, PART)
def test_versions_sort_as_in_dpkg(one: str, other: str) -> None:
    keys = version_key(one), version_key(other)
    found = (keys[0] > keys[1]) - (keys[0] < keys[1])
    wanted = compare(one, other)
    assert found == (wanted > 0) - (wanted < 0)


def test_known_orders_of_versions() -> None:
    ascending = [
        "1.0~rc1-1",
        "1.0~rc1-1+b1",
        "1.0",
        "1.0-1~bpo1",
        "1.0-1",
        "1.0-1+b1",
        "1.0a-1",
        "1.0+dfsg-1",
        "1.10-1",
    ]
    ascending += ["1.10-1-2", "1:0.5"]
    keys = [version_key(version) for version in ascending]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert version_key("1.0") == version_key("0:1.0-0")
