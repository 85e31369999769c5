from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mmgraph.audit import audit_dataset
from mmgraph.data.store import find_graph, load_graph
from mmgraph.datasets import available_datasets, build_dataset
from mmgraph.datasets.base import is_built
from mmgraph.datasets.manifest import read_manifest
from mmgraph.datasets.ogb import PUBLISHED
from mmgraph.errors import InputError
from mmgraph.formats.ogb.graph import ogb_facts
from mmgraph.splits.base import load_splits
from mmgraph.testing import ogb_files
from mmgraph.testing.ogb_files import PAPERS


def test_every_name_is_one_that_ogb_knows() -> None:
    names = {name for name in available_datasets() if name.startswith("ogb")}
    assert names == set(PUBLISHED)
    for name in names:
        assert ogb_facts(name)["task type"] != "KG completion"
        counts = PUBLISHED[name]
        parts = counts["train"] + counts["valid"] + counts["test"]
        # Parts of links add up to all edges; labelled nodes are all nodes but in ogbn-mag, where only papers have labels.
        assert parts == (736_389 if name == "ogbn-mag" else counts["edges" if name.startswith("ogbl") else "nodes"])


def test_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ogb_files.write_arxiv(tmp_path / "files")
    out = build_dataset("ogbn-arxiv", tmp_path / "out", local=[tmp_path / "files"])
    assert "ogbn-arxiv: not the published dataset: nodes 6 (published: 169,343)" in capsys.readouterr().err
    graph = load_graph(find_graph(out))
    assert graph.node_ids.values.tolist() == list(PAPERS)
    split = load_splits(out)["labels"]
    assert split.part("valid").to_pylist() == [{"id": PAPERS[4], "label": 0, "split": "valid"}]
    manifest = read_manifest(out)
    assert manifest["counts"]["tasks"]["labels"] == {"train": 3, "valid": 1, "test": 2, "labels": 3}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(manifest["sources"]) == files
    assert {path.name for path in out.iterdir()} == {"README.md", "dataset.json", "encoded", "splits", "tasks"}


def test_links(tmp_path: Path) -> None:
    ogb_files.write_citation(tmp_path / "files")
    out = build_dataset("ogbl-citation2", tmp_path / "out", local=[tmp_path / "files"])
    manifest = read_manifest(out)
    assert manifest["counts"]["edges"] == {"edge": 4}
    assert manifest["counts"]["tasks"]["links"] == {"valid": 2, "test": 2}
    assert "1 of 3 test edges are not asked" in manifest["facts"]["notes"][0]
    assert [str(finding) for finding in audit_dataset(out).findings] == []
    with pytest.raises(InputError, match="ogbl-citation2: its graph comes without the held-out edges; --no-holdout"):
        build_dataset("ogbl-citation2", tmp_path / "whole", local=[tmp_path / "files"], holdout=False)


class Answer(io.BytesIO):
    """What a server answers."""

    def __init__(self, data: bytes, *, length: int | None = None) -> None:
        super().__init__(data)
        self.headers = {"Content-Length": str(len(data) if length is None else length)}


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """The archive of ogbn-arxiv, whose folder is called `arxiv`."""
    folder = ogb_files.write_arxiv(tmp_path / "source")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"arxiv/{path.relative_to(folder).as_posix()}")
    shutil.rmtree(folder)
    return buffer.getvalue()


def test_download_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: bytes) -> None:
    asked = []

    def urlopen(url: str, timeout: float) -> Any:
        asked.append(url)
        return Answer(archive)

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked a question"))
    for number in range(2):
        build_dataset("ogbn-arxiv", tmp_path / f"out{number}", cache=tmp_path / "cache")
    assert asked == [ogb_facts("ogbn-arxiv")["url"]]
    assert is_built("ogbn-arxiv", tmp_path / "out1")
    assert [path.name for path in (tmp_path / "cache" / "ogb").iterdir()] == ["ogbn_arxiv"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            lambda archive: OSError("no route"),
            r"arxiv\.zip cannot be fetched \(no route\); unpack the archive of ogbn-arxiv",
        ),
        (lambda archive: Answer(archive[:50], length=99), r"cannot be fetched \(expected 99 bytes, got 50\); unpack"),
        (lambda archive: Answer(b"<html>sign in</html>"), r"ogbn-arxiv\.zip: expected an archive, got: "),
    ],
)
def test_downloads_that_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: bytes, reply: Any, message: str
) -> None:
    def urlopen(url: str, timeout: float) -> Any:
        result = reply(archive)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with pytest.raises(InputError, match=message) as error:
        build_dataset("ogbn-arxiv", tmp_path / "out", cache=tmp_path / "cache")
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
