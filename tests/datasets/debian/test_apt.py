"""The whole way through apt, with an apt that only copies files."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmgraph.datasets.debian import apt
from mmgraph.datasets.debian.archive import COMPONENTS, ICONS_LARGE, ICONS_SMALL, PACKAGES, RELEASE, find_files
from mmgraph.datasets.debian.sources import release_sources
from mmgraph.errors import InputError
from mmgraph.testing.archives import write_archive

FAKE = """#!{python}
import json, pathlib, shutil, sys
state = pathlib.Path({state!r})
plan = json.loads((state / "plan.json").read_text())
words = sys.argv[1:]
with open(state / "calls.jsonl", "a") as log:
    print(json.dumps([pathlib.Path(sys.argv[0]).name, *words]), file=log)
if pathlib.Path(sys.argv[0]).name == "apt-config":
    print("LIST=" + repr(plan["list"]) + chr(10) + "PARTS=" + repr(plan["parts"]))
    sys.exit()
options = dict(word.split("=", 1) for flag, word in zip(words, words[1:]) if flag == "-o")
lists = pathlib.Path(options["Dir::State::lists"])
suite = [l.split()[1] for l in open(options["Dir::Etc::sourcelist"]) if l.startswith("Suites")][0]
prefix = "mirror.example_debian_dists_" + suite + "_"
if "update" in words:
    if suite in plan["fail"]:
        print("W: Download is performed unsandboxed as root\\nE: Failed to fetch it  Could not connect\\nE: and more",
              file=sys.stderr)
        sys.exit(100)
    for path in pathlib.Path(plan["files"]).iterdir():
        name = "InRelease" if path.name == "Release" else "main_" + path.name
        shutil.copyfile(path, lists / (prefix + name))
if "indextargets" in words:
    for path in sorted(lists.glob(prefix + "main_*")):
        print(plan["origin"] + "|" + str(path))
"""


@dataclass
class FakeApt:
    """Files of a machine with an apt that copies files."""

    root: Path

    def plan(self, **changes: object) -> None:
        path = self.root / "plan.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def calls(self, program: str) -> list[list[str]]:
        path = self.root / "calls.jsonl"
        calls = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [words[1:] for words in calls if words[0] == program]

    def fetch(self) -> Path:
        apt.fetch_index(self.root / "cache" / "index", self.root / "cache" / "apt")
        return self.root / "cache" / "index"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    programs, parts = tmp_path / "bin", tmp_path / "sources.list.d"
    programs.mkdir()
    parts.mkdir()
    for name in ("apt-get", "apt-config"):
        (programs / name).write_text(FAKE.format(python=sys.executable, state=str(tmp_path)))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"VERSION_CODENAME": "tiny"})
    (parts / "debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: newer tiny tiny-updates tiny-security\nComponents: main\n"
    )
    (parts / "debian.sources.disabled").write_text("not read")
    write_archive(tmp_path / "files")
    plan = {"list": str(tmp_path / "none"), "parts": str(parts), "files": str(tmp_path / "files"), "fail": []}
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"origin": "Debian"}))
    return FakeApt(tmp_path)


def test_files_of_this_machines_release_are_fetched(machine: FakeApt) -> None:
    index = machine.fetch()
    assert set(find_files([index])) == {PACKAGES, COMPONENTS, ICONS_LARGE, ICONS_SMALL, RELEASE}
    assert sorted(path.name for path in index.iterdir()) == [
        "Components-amd64.yml.gz",
        "InRelease",
        "Packages.xz",
        "icons-128x128.tar.gz",
        "icons-64x64.tar.gz",
    ]
    assert (index / "Packages.xz").read_bytes() == (machine.root / "files" / "Packages.xz").read_bytes()
    assert [source.suite for source in release_sources()] == ["tiny", "newer"]  # and no updates


def test_apt_works_in_folders_of_its_own(machine: FakeApt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(machine.root)
    apt.fetch_index(Path("cache/index"), Path("cache/apt"))  # apt itself would misread relative paths
    work = machine.root / "cache" / "apt"
    for words in machine.calls("apt-get"):
        assert words[:2] == ["-c", str(work / "apt.conf")]
        options = dict(word.split("=", 1) for flag, word in itertools.pairwise(words) if flag == "-o")
        assert options == {
            "Dir::State::lists": str(work / "lists"),
            "Dir::Cache": str(work / "cache"),
            "Dir::Etc::sourcelist": str(work / "mmgraph.sources"),
            "Dir::Etc::sourceparts": "/dev/null",
        }
    settings = (work / "apt.conf").read_text()
    for target in ("binary-amd64/Packages", "dep11/Components-amd64.yml", "icons-64x64.tar", "icons-128x128.tar"):
        assert settings.count(f'{target}"; ShortDescription') == 1
    assert "#clear APT::Update::Post-Invoke;" in settings
    assert "Components: main\n" in (work / "mmgraph.sources").read_text()


def test_another_source_is_tried_when_one_fails(machine: FakeApt) -> None:
    machine.plan(fail=["tiny"])
    assert (machine.fetch() / "Packages.xz").is_file()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (
            lambda machine: machine.plan(fail=["tiny", "newer"]),
            "debian: apt-get could not fetch the index of tiny (E: Failed to fetch it  Could not connect); check the network",
        ),
        (lambda machine: machine.plan(origin="Other"), "debian: none of apt's sources is a release of Debian; or get"),
        (
            lambda machine: (machine.root / "sources.list.d" / "debian.sources").unlink(),
            "debian: apt has no source with a release and the component main; add one, or get",
        ),
        (lambda machine: (machine.root / "bin" / "apt-get").unlink(), "debian: this machine has no apt-get; use one"),
    ],
)
def test_what_cannot_be_fetched_is_one_line_that_says_what_to_do(
    machine: FakeApt, prepare: Callable[[FakeApt], object], message: str
) -> None:
    prepare(machine)
    with pytest.raises(InputError) as error:
        machine.fetch()
    assert str(error.value).startswith(message)
    assert str(error.value).endswith("name them: --local FILE ...")
    assert "\n" not in str(error.value)
    assert not (machine.root / "cache" / "index").exists()
