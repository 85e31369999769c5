"""`mmgraph datasets build` on a tiny archive of packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmgraph.cli.datasets_build import count_rows
from mmgraph.cli.main import main
from mmgraph.testing.archives import write_archive


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("files") / "index")


def test_a_build_shows_the_folder_and_its_counts(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["datasets", "build", "debian", "--out", str(out), "--local", str(index)]
    assert main(command) == 0
    shown = capsys.readouterr()
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[:4] == [str(out), "what name count", "nodes basket 6", "nodes package 152"]
    assert "edges depends 218" in lines
    assert "with image 4" in lines
    assert "task links valid 6, test 15" in lines
    assert shown.err.startswith("debian: built from other data than the card describes (Components, Packages, icons-")

    assert main(command) == 0
    again = capsys.readouterr()
    assert again.out == f"{out}\n"
    assert again.err == "the folder holds exactly this dataset already; nothing was done\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--seed", "1"],
            "holds a dataset with seed 0, not 1; give another folder, or add --overwrite to build it again",
        ),
        (["--no-holdout"], "holds a dataset with holdout True, not False; "),
        (["--local", "{index}/Packages.xz"], "holds a dataset from other local files; "),
        (["--local", "{index}/none"], "none: file not found"),
        (["--local", "{index}/../elsewhere.txt"], "elsewhere.txt: file not found"),
    ],
)
def test_another_build_into_the_folder_is_refused_in_one_line(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    out = str(tmp_path / "out")
    assert main(["datasets", "build", "debian", "--out", out, "--local", str(index)]) == 0
    capsys.readouterr()
    more = [word.format(index=index) for word in words]
    assert main(["datasets", "build", "debian", "--out", out, "--local", str(index), *more]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    if "file not found" not in message:
        assert main(["datasets", "build", "debian", "--out", out, "--local", str(index), *more, "--overwrite"]) == 0
        assert main(["datasets", "build", "debian", "--out", out, "--local", str(index), *more]) == 0


def test_rows_of_the_table_leave_zeros_of_tasks_out() -> None:
    counts = {
        "nodes": {"user": 1_000},
        "edges": {"likes": 0},
        "modalities": {},
        "tasks": {"queries": {"train": 0, "valid": 5, "rows_valid": 1_234}},
    }
    assert count_rows(counts) == [
        ("nodes", "user", "1,000"),
        ("edges", "likes", "0"),
        ("task", "queries", "valid 5, rows valid 1,234"),
    ]
