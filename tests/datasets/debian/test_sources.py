from __future__ import annotations

import pytest

from mmgraph.datasets.debian.sources import Source, parse_deb822, parse_one_line
from mmgraph.errors import InputError


def test_both_formats_say_the_same() -> None:
    one_line = (
        "# deb http://a.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian bookworm main contrib # comment main\n"
        "deb-src http://a.example/debian bookworm main\n"
        "deb http://a.example/debian other contrib # main\n"
        "deb cdrom:[disc] bookworm\n"
        "nonsense\n"
    )
    stanzas = (
        "# comment\nTypes: deb deb-src\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main contrib\n"
        "Architectures: amd64\nSigned-By: /k.gpg\n\n"
        "Types: deb\nURIs: http://a.example/debian\nSuites: other\nComponents: contrib\n\n"
        "Types: deb-src\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://b.example/debian\nSuites: bookworm\nComponents: main\n"
    )
    wanted = [Source("http://a.example/debian", "bookworm", (("signed-by", "/k.gpg"),))]
    assert parse_one_line(one_line) == parse_deb822(stanzas) == wanted


def test_every_place_and_suite_is_a_source() -> None:
    found = parse_deb822("Types: deb\nURIs: http://a http://b\nSuites: x x-updates\nComponents: main\n")
    assert [(source.uri, source.suite) for source in found] == [
        ("http://a", "x"),
        ("http://a", "x-updates"),
        ("http://b", "x"),
        ("http://b", "x-updates"),
    ]


def test_a_source_can_be_read_again() -> None:
    key = "\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n.\nabc\n-----END PGP PUBLIC KEY BLOCK-----"
    source = Source("http://a.example/debian", "bookworm", (("signed-by", key), ("trusted", "no")))
    assert parse_deb822(source.stanza()) == [source]
    assert source.stanza().count("\n\n") == 0


def test_damaged_sources_are_named() -> None:
    with pytest.raises(InputError, match=r"my\.sources, line 1: expected 'Field: value', got 'deb http"):
        parse_deb822("deb http //x main\n", where="my.sources")
