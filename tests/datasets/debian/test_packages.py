from __future__ import annotations

import random

import pytest

from mmgraph.datasets.debian.packages import find_edges, read_packages
from mmgraph.errors import InputError
from mmgraph.testing.archives import package_stanzas, packages_text


def read(*stanzas: dict[str, str]):
    return read_packages(packages_text([{"Version": "1"} | stanza for stanza in stanzas]).encode(), where="P")


def edges(*stanzas: dict[str, str]):
    return find_edges(read(*stanzas)[0])


def test_what_is_read_of_a_package() -> None:
    (package,), left_out = read(
        {
            "Package": "gcc-12-doc",
            "Source": "gcc-12 (12.2.0-14)",
            "Version": "12.2.0-14",
            "Maintainer": "Jane Doe <jane.doe@example.org>",
            "Description": "manual,  ask <jane.doe@example.org>\n Long text by Jane Doe.",
            "Section": "contrib/doc",
            "Tag": "role::documentation, made-of::html,\n devel::compiler",
            "Provides": "c-doc (= 12), doc",
            "Pre-Depends": "dpkg (>= 1)",
            "Depends": "gcc-12 (= 12) | gcc, libc6:any",
        }
    )
    assert (package.name, package.version, package.source) == ("gcc-12-doc", "12.2.0-14", "gcc-12")
    assert (package.text, package.description) == ("gcc-12-doc: manual, ask", "manual, ask")
    assert package.section == "doc"
    assert package.tags == ("devel::compiler", "made-of::html", "role::documentation")
    assert package.provides == ("c-doc", "doc")
    assert package.wants["depends"] == ("dpkg", "gcc-12", "gcc", "libc6")
    assert package.wants["recommends"] == ()
    assert "Doe" not in repr(package)
    assert left_out == {"older_versions": 0, "addresses": 1}


def test_without_description_or_section() -> None:
    (package,), _ = read({"Package": "a"})
    assert (package.text, package.description, package.section, package.source) == ("a", "", None, "a")


def test_the_highest_version_of_a_name_stays_wherever_it_stands() -> None:
    versions = [{"Package": "a", "Version": version} for version in ("1.10", "1.9", "1:0.1", "1.10~rc1")]
    for shift in range(4):
        (package,), left_out = read(*versions[shift:], *versions[:shift])
        assert package.version == "1:0.1"
        assert left_out["older_versions"] == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "P: expected at least one package, got none"),
        (b"Package: a\nVersion: 1\xff\n", "P: expected UTF-8, got: 'utf-8' codec can't decode byte 0xff"),
        (b"Package: a\n", "P: a stanza has no Version: {'package': 'a'}"),
        (b"Version: 1\n", "P: a stanza has no Package: {'version': '1'}"),
        (b"<html><body>not found", "P, line 1: expected 'Field: value'"),
    ],
)
def test_what_is_no_index_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_packages(data, where="P")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_every_alternative_is_a_target_and_pre_depends_counts_as_depends() -> None:
    found, unresolved = edges(
        {"Package": "a", "Depends": "b (>= 2) | c, nowhere", "Pre-Depends": "d", "Suggests": "a, b"},
        {"Package": "b"},
        {"Package": "c", "Enhances": "a"},
        {"Package": "d"},
    )
    assert found["depends"] == [("a", "b"), ("a", "c"), ("a", "d")]
    assert found["suggests"] == [("a", "b")]  # and not itself
    assert found["enhances"] == [("c", "a")]
    assert found["recommends"] == []
    assert unresolved == {"depends": 1, "recommends": 0, "suggests": 0, "enhances": 0}


def test_a_virtual_name_stands_for_its_only_provider() -> None:
    found, unresolved = edges(
        {"Package": "a", "Depends": "mail-server, awk, b"},
        {"Package": "b", "Provides": "mail-server, awk"},
        {"Package": "c", "Provides": "awk, b"},  # b is a package: what provides it as well plays no role
    )
    assert found["depends"] == [("a", "b")]
    assert unresolved["depends"] == 1


def test_the_order_of_stanzas_changes_nothing() -> None:
    stanzas = package_stanzas()
    wanted = read_packages(packages_text(stanzas).encode())
    for seed in range(3):
        random.Random(seed).shuffle(stanzas)
        found = read_packages(packages_text(stanzas).encode())
        assert found == wanted
        assert find_edges(found[0]) == find_edges(wanted[0])
