from __future__ import annotations

import json
import lzma
import random
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmgraph.audit import audit_dataset
from mmgraph.datasets import build_dataset
from mmgraph.datasets.debian import build as build_module
from mmgraph.datasets.debian import tasks as tasks_module
from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.formats.tables import read_tables
from mmgraph.splits.base import load_splits
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.testing.archives import package_stanzas, packages_text, write_archive


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("files") / "index")


def build(out: Path, index: Path, **options: object) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks_module, "MIN_PER_TAG", 20)
        return build_dataset("debian", out, local=[index], **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, index: Path) -> Path:
    return build(tmp_path_factory.mktemp("data") / "debian", index)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, index: Path) -> Path:
    return build(tmp_path_factory.mktemp("data") / "whole", index, holdout=False)


def pairs(folder: Path) -> dict[str, set[tuple[str, str]]]:
    found = defaultdict(set)
    for row in pq.read_table(folder / "edges.parquet").to_pylist():
        found[row["relation"]].add((row["source"], row["target"]))
    return found


def rows_of(folder: Path, task: str) -> list[dict[str, str]]:
    found = load_tasks(folder)[task]
    (table,) = found.tables().values()
    return table.to_pylist()


def test_nodes(folder: Path) -> None:
    raw = read_tables(folder)
    ids = raw.node_ids.values.tolist()
    assert ids == sorted({stanza["Package"] for stanza in package_stanzas()})
    text = dict(zip(ids, raw.content["text"], strict=True))
    assert text["draw-0"] == "draw-0: draw things of kind 0"
    assert text["init-tool"] == "init-tool: starts"  # of the higher version
    assert text["no-section"] == "no-section: ask for more"
    kinds = dict(zip(ids, (raw.node_types[int(kind)] for kind in raw.node_type), strict=True))
    assert {name for name, kind in kinds.items() if kind == "basket"} == {
        f"{section}-{kind}" for section in ("graphics", "sound", "science") for kind in ("all", "desktop")
    }
    assert kinds["small-meta"] == "package"
    assert raw.columns is not None
    assert raw.columns.column_names == ["source", "version"]


def test_edges_are_typed_and_directed(whole: Path) -> None:
    raw, found = read_tables(whole), pairs(whole)
    assert not any(relation.symmetric for relation in raw.relations.values())
    assert ("draw-0", "init-tool") in found["depends"]  # Pre-Depends
    assert {("draw-0", "libgraphics1"), ("draw-0", "paint-1")} <= found["depends"]  # an alternative
    assert ("mail-a", "init-tool") in found["depends"]  # the only provider of `starter`
    assert not any("mail-a" in pair or "mail-b" in pair for pair in found["suggests"])  # two providers
    assert ("draw-0", "paint-2") in found["recommends"]
    assert ("draw-0-doc", "draw-0") in found["enhances"]
    assert ("graphics-all", "graphics-desktop") in found["includes"]
    assert len(found["contains"]) == 3 * (20 + 8)
    assert (raw.relations["contains"].source_type, raw.relations["contains"].target_type) == ("basket", "package")


def test_icons(folder: Path) -> None:
    nodes = pq.read_table(folder / "nodes.parquet").to_pylist()
    pictures = {row["id"]: folder / row["image"] for row in nodes if row["image"]}
    assert sorted(pictures) == ["draw-0", "draw-1", "mix-0", "play-0"]
    assert sorted(path.name for path in (folder / "images").iterdir()) == [f"{name}.png" for name in sorted(pictures)]
    sizes = {name: int.from_bytes(path.read_bytes()[16:20], "big") for name, path in pictures.items()}
    assert sizes == {"draw-0": 128, "draw-1": 128, "mix-0": 64, "play-0": 64}
    facts = json.loads((folder / "dataset.json").read_text())["facts"]["icons"]
    assert facts == {
        "quarantined": ["mix-0_icon.png", "sing-0_icon.png"],
        "without_usable_file": 2,
        "of_no_package": 1,
    }


def test_tasks_and_splits(folder: Path) -> None:
    tasks, splits = load_tasks(folder), load_splits(folder)
    assert {name: type(task) for name, task in tasks.items()} == {
        "baskets": RecommendationTask,
        "debtags": NodeClassificationTask,
        "links": LinkPredictionTask,
        "section": NodeClassificationTask,
        "section_by_source": NodeClassificationTask,
    }
    assert set(splits) == set(tasks)
    for name, split in splits.items():
        wanted = split.part("valid", "test")
        (table,) = tasks[name].tables().values()
        columns = [column for column in wanted.column_names if column in table.column_names]
        asked = [row for row in table.select(columns).to_pylist() if row["split"] in ("valid", "test")]
        assert asked == wanted.select(columns).to_pylist()


def test_nothing_that_is_asked_is_in_the_graph(folder: Path, whole: Path) -> None:
    kept, all_edges = pairs(folder), pairs(whole)
    joined = {frozenset(pair) for found in kept.values() for pair in found}
    links = {(row["source"], row["target"]) for row in rows_of(folder, "links")}
    items = {(r["user"], r["item"]) for r in rows_of(folder, "baskets") if r["split"] in ("valid", "test")}
    seen = {(r["user"], r["item"]) for r in rows_of(folder, "baskets") if r["split"] == "seen"}
    assert len(links) > 10
    assert len(items) > 10
    for pair in links | items | seen:
        assert frozenset(pair) not in joined
    assert {name: found - kept[name] for name, found in all_edges.items() if found - kept[name]} == {
        "recommends": {p for p in all_edges["recommends"] if p in links or p[::-1] in links},
        "suggests": {p for p in all_edges["suggests"] if p in links or p[::-1] in links},
        "contains": items,
    }
    assert seen == {
        (f"{section}-all", f"{word}-2")
        for section, word in (("graphics", "shade"), ("sound", "hum"), ("science", "plot"))
    }


def test_the_audit_finds_nothing(folder: Path, whole: Path) -> None:
    for built in (folder, whole):
        assert [str(finding) for finding in audit_dataset(built).findings] == []


def test_no_basket_has_another_edge_than_what_it_contains(whole: Path) -> None:
    baskets = {row["id"] for row in pq.read_table(whole / "nodes.parquet").to_pylist() if row["type"] == "basket"}
    for relation, found in pairs(whole).items():
        if relation not in ("contains", "includes"):
            assert all(not baskets & set(pair) for pair in found), relation


@pytest.mark.parametrize("task", ["section", "section_by_source", "debtags"])
def test_what_is_alike_lies_in_one_part(folder: Path, task: str) -> None:
    part = {row["id"]: row["split"] for row in rows_of(folder, task)}
    assert set(part.values()) == {"train", "valid", "test"}
    nodes = {row["id"]: row for row in pq.read_table(folder / "nodes.parquet").to_pylist()}
    shared = defaultdict(list)
    for name, split in part.items():
        shared["text", nodes[name]["text"].partition(": ")[2].casefold()].append(split)
        if nodes[name]["image"]:
            shared["image", file_digest(folder / nodes[name]["image"])].append(split)
        if task != "section":
            shared["source", nodes[name]["source"]].append(split)
    assert all(len(set(found)) == 1 for found in shared.values())
    kinds = {kind for (kind, _), found in shared.items() if len(found) > 1}
    assert (
        kinds
        == {"section": {"text", "image"}, "section_by_source": {"text", "image", "source"}, "debtags": {"image"}}[task]
    )


def test_no_person_and_no_label_is_in_any_file_of_the_graph(folder: Path) -> None:
    nodes = pq.read_table(folder / "nodes.parquet")
    cells = [str(cell) for column in nodes.columns for cell in column.to_pylist()]
    assert not any("doe" in cell.casefold() or "@" in cell for cell in cells)
    labels = {row["label"] for row in rows_of(folder, "section")}
    assert {"graphics", "sound"} <= labels
    assert not labels & set(cells)
    for path in folder.rglob("*.json"):
        assert "jane" not in path.read_text().casefold()


def test_the_same_seed_gives_the_same_bytes_in_whatever_order(folder: Path, index: Path, tmp_path: Path) -> None:
    shuffled = tmp_path / "index"
    stanzas = package_stanzas()
    random.Random(0).shuffle(stanzas)
    write_archive(shuffled, stanzas)
    again = build(tmp_path / "again", shuffled)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    other = [str(file) for file in files if (folder / file).read_bytes() != (again / file).read_bytes()]
    assert other == ["dataset.json"]  # which has the digests of the sources
    same = build(tmp_path / "same", index)
    assert (same / "dataset.json").read_bytes() == (folder / "dataset.json").read_bytes()


def test_another_seed_gives_other_splits(folder: Path, index: Path, tmp_path: Path) -> None:
    other = build(tmp_path / "other", index, seed=1)
    for name, split in load_splits(folder).items():
        assert load_splits(other)[name].table != split.table, name


def test_without_holdout_nothing_is_asked_of_edges(whole: Path) -> None:
    assert sorted(load_tasks(whole)) == sorted(load_splits(whole)) == ["debtags", "section", "section_by_source"]


def test_packages_alone_are_enough(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build_dataset("debian", tmp_path / "out", local=[index / "Packages.xz"])
    assert not (folder / "images").exists()
    assert json.loads((folder / "dataset.json").read_text())["counts"]["modalities"] == {"text": 158, "image": 0}
    told = capsys.readouterr().err
    assert "debian: built from other data than the card describes (no Components, Packages, no icons-128x128" in told
    assert "debtags" not in load_tasks(folder)  # no tag is frequent enough


def test_an_archive_without_anything_to_ask_is_a_graph(tmp_path: Path) -> None:
    (tmp_path / "Packages").write_text(
        packages_text([{"Package": "a", "Version": "1"}, {"Package": "b", "Version": "1"}])
    )
    folder = build_dataset("debian", tmp_path / "out", local=[tmp_path / "Packages"])
    assert read_tables(folder).num_nodes == 2
    assert load_tasks(folder) == {}


@pytest.fixture
def fetched(index: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Fetching through apt puts the tiny archive into the cache; the list grows with every fetch."""
    calls: list[Path] = []

    def fetch(folder: Path, work: Path) -> None:
        calls.append(work)
        write_archive(folder)

    monkeypatch.setattr(build_module, "fetch_index", fetch)
    return calls


def test_the_index_is_fetched_once(fetched: list[Path], folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = build_dataset("debian", tmp_path / "one", cache=cache)
    two = build_dataset("debian", tmp_path / "two", cache=cache)
    assert fetched == [cache / "debian" / "apt"]
    assert (one / "edges.parquet").read_bytes() == (two / "edges.parquet").read_bytes()
    assert (one / "edges.parquet").read_bytes() == (folder / "edges.parquet").read_bytes()


def test_a_damaged_cache_is_fetched_again(fetched: list[Path], tmp_path: Path) -> None:
    index = write_archive(tmp_path / "cache" / "debian" / "index")
    (index / "Packages.xz").write_bytes(lzma.compress(b"Package: a\nVersion: 1\n"))
    build_dataset("debian", tmp_path / "one", cache=tmp_path / "cache")
    assert len(fetched) == 1


def test_a_cache_that_cannot_be_used_is_named(fetched: list[Path], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match="the cache of downloads cannot be used .*; choose another: --cache DIR"):
        build_dataset("debian", tmp_path / "one", cache=tmp_path / "cache")
    assert not (tmp_path / "one").exists()
