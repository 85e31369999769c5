from __future__ import annotations

from collections import defaultdict

import pytest

from mmgraph.datasets.debian import tasks
from mmgraph.datasets.debian.packages import Package
from mmgraph.datasets.debian.tasks import package_groups, split_links, split_sections, split_tags, usable_tags


def package(name: str, *, source: str = "", text: str = "", section: str | None = "net", tags: str = "") -> Package:
    return Package(name, "1", source or name, name, text, section, tuple(tags.split()), (), {})


def test_what_keeps_packages_together() -> None:
    packages = [
        package("a", source="s", text="Plays, music!"),
        package("b", text="plays music"),
        package("c", source="s"),
        package("d"),  # without a description, as c: that is nothing to share
        package("e", text="other"),
        package("f", text="new"),
    ]
    pictures = {"d": "1", "e": "1", "f": "2"}
    assert package_groups(packages, pictures, by_source=False) == {
        **{"a": "a", "b": "a", "c": "c", "d": "d", "e": "d", "f": "f"}
    }
    assert package_groups(packages, pictures, by_source=True) == {
        **{"a": "a", "b": "a", "c": "a", "d": "d", "e": "d", "f": "f"}
    }


def test_sections_of_baskets_and_metapackages_are_no_labels() -> None:
    packages = [package(f"{section}{n}", section=section) for section in ("net", "mail") for n in range(10)]
    packages += [package("meta", section="metapackages"), package("basket"), package("none", section=None)]
    split = split_sections(packages, {"basket"}, {}, 0)
    assert split is not None
    assert set(split.table["id"].to_pylist()) == {p.name for p in packages[:20]}
    assert split.counts == {"train": 12, "valid": 4, "test": 4, "unused": 0}
    for part in ("train", "valid", "test"):
        assert set(split.part(part)["label"].to_pylist()) == {"net", "mail"}
    assert split_sections(packages[20:], {"basket"}, {}, 0) is None


def test_tags_that_a_word_or_the_section_tells_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MIN_PER_TAG", 4)
    common = "role::program culture::TODO"
    packages = [
        *(package(f"lib{n}-perl", section="perl", tags=f"lang::perl use::{n % 2} {common}") for n in range(8)),
        *(package(f"x{n}", tags=f"use::{n % 2} rare::tag {common}") for n in range(3)),
    ]
    # `lang::perl` is the word `perl` and the section, `rare::tag` too rare, roles and TODO are never asked.
    assert usable_tags(packages) == {"use::0", "use::1"}
    split = split_tags(packages, {"x0"}, {}, 0)
    assert split is not None
    assert split.table.num_rows == 10
    assert set(split.table["label"].to_pylist()[0]) == {"use::0"}
    assert split_tags([package("a")], set(), {}, 0) is None


def links(seed: int = 0):
    source = {f"p{n}": f"s{n // 3}" for n in range(90)}
    names = list(source)
    relations = {
        "depends": [(names[n], names[n + 1]) for n in range(0, 80, 2)],
        "recommends": [(names[n], names[(n + step) % 90]) for n in range(90) for step in (1, 7)],
        "suggests": [(names[(n + 7) % 90], names[n]) for n in range(0, 90, 2)] + [("p0", "p50")],
        "enhances": [("p50", "p0")],
    }
    return relations, source, split_links(relations, source, seed)


def test_pairs_that_other_relations_tell_stay() -> None:
    relations, _, split = links()
    assert split is not None
    told = {frozenset(pair) for name in ("depends", "enhances") for pair in relations[name]}
    asked = {frozenset((row["source"], row["target"])) for row in split.part("valid", "test").to_pylist()}
    assert asked
    assert not asked & told
    assert split.settings["told_by_other_relations"] == len(told)
    rows = {(r["source"], r["target"], r["relation"]) for r in split.table.to_pylist()}
    assert rows == {(*pair, name) for name in ("recommends", "suggests") for pair in relations[name]}


def test_pairs_of_the_same_sources_move_together() -> None:
    _, source, split = links()
    assert split is not None
    parts = defaultdict(set)
    for row in split.table.to_pylist():
        parts[tuple(sorted((source[row["source"]], source[row["target"]])))].add(row["split"])
    told = {key for key, found in parts.items() if "train" in found and len(found) > 1}
    assert all(len(found - {"train"}) <= 1 for found in parts.values())
    # Where a group has a training pair as well, `depends` tells that one: it could not be asked.
    assert told
    pairs = {frozenset((r["source"], r["target"])): r["split"] for r in split.table.to_pylist()}
    num_asked = len(pairs) - split.settings["told_by_other_relations"]
    shares = {part: sum(p == part for p in pairs.values()) / num_asked for part in ("valid", "test")}
    assert shares == pytest.approx({"valid": 0.05, "test": 0.10}, abs=0.04)


def test_seed_and_order() -> None:
    relations, source, split = links()
    assert split is not None
    turned = {name: list(reversed(pairs)) for name, pairs in relations.items()}
    again = split_links(turned, source, 0)
    assert again is not None
    assert again.digest == split.digest
    other = links(1)[2]
    assert other is not None
    assert other.table != split.table
    assert split_links({"recommends": [], "suggests": [], "depends": []}, {}, 0) is None
