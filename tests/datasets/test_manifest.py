from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmgraph.datasets.manifest import (
    MANIFEST,
    BuildRecord,
    check_replaceable,
    compare_counts,
    flat_counts,
    is_current,
    local_digests,
    read_manifest,
    write_manifest,
)
from mmgraph.errors import InputError
from mmgraph.files import read_json
from mmgraph.sealed import sealed_json
from mmgraph.testing.datasets import make_dataset

IDENTITY = {"name": "toy", "seed": 0, "holdout": True, "local": []}
OFFER = "give another folder, or add --overwrite to build it again"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = make_dataset(tmp_path / "toy")
    record = BuildRecord({"b": "2", "a": "1"}, facts={"release": "9"})
    assert write_manifest(folder, IDENTITY, record) == ""
    return folder


def test_what_a_manifest_says(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert (manifest["name"], manifest["options"]) == ("toy", {"seed": 0, "holdout": True, "local": []})
    assert manifest["sources"] == {"a": "1", "b": "2"}
    assert manifest["facts"] == {"release": "9"}
    assert manifest["mmgraph"]
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == files - {MANIFEST}
    assert manifest["files"]["nodes.parquet"] == (folder / "nodes.parquet").stat().st_size


def test_a_whole_folder_is_current_whatever_was_added(folder: Path) -> None:
    assert is_current(folder, IDENTITY)
    (folder / "encoded").mkdir()
    (folder / "notes.txt").write_text("mine")
    assert is_current(folder, IDENTITY)


def test_nothing_and_an_empty_folder_are_to_be_built(tmp_path: Path) -> None:
    assert not is_current(tmp_path / "none", IDENTITY)
    assert not is_current(tmp_path, IDENTITY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "other"}, "holds toy, not other"),
        ({"seed": 1}, "holds a dataset with seed 0, not 1"),
        ({"holdout": False, "seed": 7}, "holds a dataset with seed 0, not 7, a dataset with holdout True, not False"),
        ({"local": [["a", "1"]]}, "holds a dataset from other sources"),
    ],
)
def test_another_dataset_is_named(folder: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        is_current(folder, IDENTITY | change)
    assert str(error.value) == f"{folder}: {message}; {OFFER}"


def test_other_local_files_are_named(folder: Path) -> None:
    write_manifest(folder, IDENTITY | {"local": [["a", "1"]]}, None)
    with pytest.raises(InputError, match="holds a dataset from other local files; give another"):
        is_current(folder, IDENTITY | {"local": [["a", "2"]]})


def test_a_changed_byte_of_any_file_is_named(folder: Path) -> None:
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        data = path.read_bytes()
        if not data:
            continue
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(InputError, match=f"{re.escape(path.name)}: (the file was changed|expected JSON)"):
            is_current(folder, IDENTITY)
        path.write_bytes(data)
    assert is_current(folder, IDENTITY)


def test_files_that_are_missing_or_resized_are_named(folder: Path) -> None:
    path = folder / "edges.parquet"
    content = path.read_bytes()
    path.write_bytes(content + b"more")
    with pytest.raises(InputError) as error:
        is_current(folder, IDENTITY)
    size = len(content)
    assert str(error.value) == f"{path}: the file has {size + 4:,} bytes, {size:,} were written; {OFFER}"
    path.unlink()
    with pytest.raises(InputError) as error:
        is_current(folder, IDENTITY)
    assert str(error.value) == f"{path}: the file is missing; {OFFER}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": "other", "version": 1}, "expected format 'mmgraph.dataset' version 1"),
        ([], "expected format 'mmgraph.dataset' version 1"),
        ({"format": "mmgraph.dataset", "version": 1, "name": "x", "files": {}}, "missing keys 'options', 'counts'"),
    ],
)
def test_a_damaged_manifest_is_named_and_can_be_overwritten(folder: Path, content: object, message: str) -> None:
    (folder / MANIFEST).write_text(sealed_json(content) if isinstance(content, dict) else "[]")
    with pytest.raises(InputError) as error:
        is_current(folder, IDENTITY)
    assert str(error.value) == f"{folder / MANIFEST}: {message}"
    check_replaceable(folder)


def test_what_has_no_manifest_is_not_taken_for_a_dataset(folder: Path, tmp_path: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(InputError, match=f"already exists and has no {MANIFEST}; {OFFER}"):
        is_current(folder, IDENTITY)  # built by an older version
    check_replaceable(folder)
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(InputError) as error:
        is_current(folder, IDENTITY)
    assert str(error.value) == f"{folder} already exists and has no {MANIFEST}; give another folder"
    with pytest.raises(InputError, match=r"refusing to overwrite a folder that also holds 'thesis\.tex'"):
        check_replaceable(folder)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("a file")
    for check in (lambda: is_current(path, IDENTITY), lambda: check_replaceable(path)):
        with pytest.raises(InputError, match="out: expected a folder, found a file"):
            check()


def test_local_files_are_known_by_name_and_content_not_by_place(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "sub" / "a").write_text("a")
        (tmp_path / place / "b").write_text("b")
    found = local_digests([tmp_path / "one"])
    assert [name for name, _ in found] == ["b", "sub/a"]
    assert local_digests([tmp_path / "two"]) == found
    assert local_digests([tmp_path / "two" / "b"]) == found[:1]
    (tmp_path / "two" / "b").write_text("c")
    assert local_digests([tmp_path / "two"]) != found
    with pytest.raises(InputError, match="none: file not found"):
        local_digests([tmp_path / "none"])


COUNTS = {"nodes": {"movie": 3}, "tasks": {"genres": {"test": 5}}}


def compare(sources: dict[str, str], expected: dict[str, int], drawn: dict[str, int]) -> str:
    return compare_counts("toy", BuildRecord(sources, {"a": "1", "b": "2"}, expected, drawn), COUNTS)


def test_counts_have_dotted_names() -> None:
    assert dict(flat_counts(COUNTS)) == {"nodes.movie": 3, "tasks.genres.test": 5}


def test_equal_sources_must_give_the_counts_of_the_card() -> None:
    card = {"a": "1", "b": "2"}
    assert compare(card, {"nodes.movie": 3}, {"tasks.genres.test": 5}) == ""
    with pytest.raises(InputError) as error:
        compare(card, {"nodes.movie": 4, "edges.likes": 1}, {})
    assert str(error.value) == (
        "toy: a bug in mmgraph: the sources of the card gave other counts: "
        "nodes.movie 3 (card: 4), edges.likes 0 (card: 1)"
    )
    told = compare(card, {"nodes.movie": 3}, {"tasks.genres.test": 6})
    assert told == "toy: the splits are not those of the card, random numbers differ: tasks.genres.test 5 (card: 6)"


def test_other_sources_are_built_and_told() -> None:
    told = compare({"a": "1", "b": "3"}, {"nodes.movie": 3}, {"tasks.genres.test": 6})
    assert told == "toy: built from other data than the card describes (b); its counts are equal"
    told = compare({"b": "2"}, {f"nodes.{n}": n for n in range(1, 8)}, {})
    assert told.startswith(
        "toy: built from other data than the card describes (no a); counts differ: nodes.1 0 (card: 1)"
    )
    assert told.endswith("nodes.5 0 (card: 5) and 2 more")


def test_a_builder_that_pins_nothing_still_keeps_its_counts() -> None:
    with pytest.raises(InputError, match="a bug in mmgraph"):
        compare_counts("toy", BuildRecord({}, expected={"nodes.movie": 4}), COUNTS)
    assert compare_counts("toy", BuildRecord({}), COUNTS) == ""


def test_wrong_counts_write_nothing(folder: Path) -> None:
    before = read_json(folder / MANIFEST)
    with pytest.raises(InputError, match="a bug in mmgraph"):
        write_manifest(folder, IDENTITY, BuildRecord({}, expected={"nodes.user": 1_000_000}))
    assert read_json(folder / MANIFEST) == before
