"""Files are whole or absent, on the disk before they get their name, and leftovers of the dead go."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmgraph.errors import InputError
from mmgraph.files import (
    _temporary_name,
    atomic_folder,
    atomic_path,
    final_path,
    is_temporary,
    read_json,
    remove_leftovers,
    write_json,
)
from mmgraph.sealed import (
    check_digests,
    digests_of,
    is_canonical,
    read_sealed_json,
    seal,
    unseal,
    write_sealed_json,
)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leftover(path: Path, pid: int) -> Path:
    name = _temporary_name(path).name.replace(f"-{os.getpid()}-", f"-{pid}-")
    return path.with_name(name)


def test_leftovers_of_dead_processes_go_and_others_stay(tmp_path: Path) -> None:
    target, dead = tmp_path / "a.json", dead_process()
    gone = leftover(target, dead)
    gone.write_text("half")
    gone_folder = leftover(leftover(target, dead), dead)
    gone_folder.mkdir()
    (gone_folder / "part").write_text("half")
    mine, other = _temporary_name(target), leftover(tmp_path / "b.json", dead)
    elsewhere = tmp_path / f".a.json.00000000-{dead}-0123abcd.tmp"  # the process may live on another machine
    strange = tmp_path / ".a.json.tmp"
    for path in (mine, other, elsewhere, strange):
        path.write_text("x")
    write_json(target, {})
    assert not gone.exists()
    assert not gone_folder.exists()
    assert all(path.exists() for path in (mine, other, elsewhere, strange))
    remove_leftovers(tmp_path)
    assert not other.exists()
    assert mine.exists()
    remove_leftovers(tmp_path / "nothing")


def test_messages_name_what_a_temporary_path_would_have_become(tmp_path: Path) -> None:
    once = _temporary_name(tmp_path / "data")
    twice = _temporary_name(once)
    assert final_path(twice / "a.json") == tmp_path / "data" / "a.json"
    assert final_path("a/.b.tmp/c") == Path("a/.b.tmp/c")


def test_a_copy_onto_a_full_disk_names_the_target(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as found, atomic_folder(tmp_path / "data") as new:
        raise OSError(errno.ENOSPC, "No space left on device", "/elsewhere/source.png")
    assert found.value.filename == str(tmp_path / "data")
    with pytest.raises(OSError, match="No space") as found, atomic_folder(tmp_path / "data") as new:
        raise OSError(errno.ENOSPC, "No space left on device", str(new / "a.npy"))
    assert str(final_path(found.value.filename)) == str(tmp_path / "data" / "a.npy")


def test_a_folder_sweeps_too_and_caches_do_not(tmp_path: Path) -> None:
    gone = leftover(tmp_path / "data", dead_process())
    gone.mkdir()
    with atomic_path(tmp_path / "data", cache=True) as temporary:
        temporary.write_text("x")
    assert gone.exists()
    with atomic_folder(tmp_path / "data", overwrite=True) as new:
        assert is_temporary(new)
    assert not gone.exists()
    assert not is_temporary(tmp_path / ".data.tmp")


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_takes_the_place_of_a_folder_a_file_and_a_link(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr("mmgraph.files._exchange", lambda one, other: False)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("file", "link", "folder"):
        with atomic_folder(tmp_path / name, overwrite=True) as new:
            (new / "new").write_text("x")
        assert [path.name for path in (tmp_path / name).iterdir()] == ["new"]
        assert not (tmp_path / name).is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link"]


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    target, dead = tmp_path / "data", dead_process()
    old = leftover(target, dead).with_suffix(".old")
    old.mkdir()
    (old / "kept").write_text("x")
    with pytest.raises(InputError, match="already exists"), atomic_folder(target):
        pass
    assert (target / "kept").read_text() == "x"
    assert not old.exists()


def test_contents_are_flushed_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    replace = os.replace

    def told(source: Path, target: Path) -> None:
        events.append(f"rename {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(
        "mmgraph.files.flush", lambda path: events.append("temporary" if is_temporary(path) else path.name)
    )
    monkeypatch.setattr("os.replace", told)
    write_json(tmp_path / "a.json", 1)
    assert events == ["temporary", "rename a.json", tmp_path.name]
    events.clear()
    with atomic_folder(tmp_path / "new") as folder:
        write_json(folder / "b.json", 1)  # flushed with the folder
    assert events == ["rename b.json", "b.json", "temporary", "rename new", tmp_path.name]
    events.clear()
    with atomic_path(tmp_path / "c", cache=True) as temporary:
        temporary.write_text("")
    assert events == ["rename c"]


def test_real_flushes_work(tmp_path: Path, flushed: None) -> None:
    write_json(tmp_path / "a.json", [1])
    for count in (2, 40):  # file by file, and the whole file system
        with atomic_folder(tmp_path / str(count)) as folder:
            for number in range(count):
                (folder / str(number)).write_text("x")
    assert read_json(tmp_path / "a.json") == [1]
    assert len(list((tmp_path / "40").iterdir())) == 40


def test_every_byte_of_a_sealed_json_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {"text": "größer", "number": 0.1, "list": [1, {"a": None}], "empty": {}}
    write_sealed_json(path, value)
    assert read_sealed_json(path) == value
    assert list(read_json(path)) == [*value, "sha256"]
    data = path.read_bytes()
    for place in range(len(data)):
        for bit in (1, 8, 32):
            path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
            with pytest.raises(InputError, match="a.json"):
                read_sealed_json(path)
        path.write_bytes(data[:place])
        if place not in (len(data) - 1,):
            with pytest.raises(InputError, match="a.json"):
                read_sealed_json(path)


def test_json_without_a_seal_is_read_as_it_is(tmp_path: Path) -> None:
    for value in ([1], {}, {"a": 1}, {"digest": "0" * 64}):
        write_json(tmp_path / "a.json", value)
        assert read_sealed_json(tmp_path / "a.json") == value
    assert is_canonical(tmp_path / "a.json", {"digest": "0" * 64})


def test_sealed_bytes(tmp_path: Path) -> None:
    data = os.urandom(300)
    whole = data + seal(data)
    assert bytes(unseal(whole, "x")) == data
    for place in range(len(whole)):
        with pytest.raises(InputError, match="x: the file is damaged"):
            unseal(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :], "x")
        with pytest.raises(InputError, match="x: the file is damaged"):
            unseal(whole[:place], "x")


def test_digests_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_text("b")
    (tmp_path / "a").write_text("a")
    (tmp_path / "manifest").write_text("m")
    digests = digests_of(tmp_path, besides=["manifest"])
    assert list(digests) == ["a", "sub/b"]
    check_digests(tmp_path, digests, source="manifest")
    (tmp_path / "sub" / "b").write_text("c")
    with pytest.raises(InputError, match=r"sub/b: the file was changed.*\(manifest\)"):
        check_digests(tmp_path, digests, source="manifest")
    (tmp_path / "sub" / "b").unlink()
    with pytest.raises(InputError, match="sub/b: the file is missing"):
        check_digests(tmp_path, digests, source="manifest")
    for name in ("../x", "/etc/passwd"):
        with pytest.raises(InputError, match="the file is missing"):
            check_digests(tmp_path, {name: "0"}, source="manifest")
    with pytest.raises(InputError, match="expected SHA-256 by file"):
        check_digests(tmp_path, ["a"], source="manifest")


@pytest.mark.parametrize(
    ("error", "full", "named"),
    [
        (RuntimeError("IO Error: No space left on device"), False, True),  # faiss, duckdb
        (RuntimeError("write failed"), True, True),
        (OSError("12 requested and 3 written"), True, True),  # numpy
        (OSError(errno.ENOSPC, "No space left on device"), False, True),
        (OSError(errno.EIO, "I/O error"), True, False),
        (RuntimeError("write failed"), False, False),
        (ValueError("wrong"), True, False),
    ],
)
def test_a_full_disk_has_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, full: bool, named: bool
) -> None:
    monkeypatch.setattr("mmgraph.files._is_full", lambda folder: full)
    for write in (atomic_path, atomic_folder):
        with pytest.raises(type(error) if not named else OSError) as found, write(tmp_path / "x"):
            raise error
        if named:
            assert (found.value.errno, found.value.filename) == (errno.ENOSPC, str(tmp_path / "x"))
        assert list(tmp_path.iterdir()) == []
