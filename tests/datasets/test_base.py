from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mmgraph.datasets import available_datasets, build_dataset
from mmgraph.datasets.base import BuildOptions, card_of, dataset_cache, is_built
from mmgraph.datasets.manifest import BuildRecord, read_manifest
from mmgraph.datasets.movielens import build as movielens_module
from mmgraph.errors import InputError
from mmgraph.testing.archives import write_archive
from mmgraph.testing.datasets import make_dataset


def test_every_dataset_has_one_line_and_a_card() -> None:
    found = available_datasets()
    assert {"debian", "openmoji", "movielens-100k", "cora", "ogbn-arxiv"} <= set(found)
    for name, line in found.items():
        assert len(line.splitlines()) == 1
        card = Path(__file__).parents[2] / "datasets" / card_of(name) / "README.md"
        assert f"`{name}`" in card.read_text(encoding="utf-8") or card.parent.name == name


def test_cards_are_those_of_datasets() -> None:
    cards = {path.parent.name for path in (Path(__file__).parents[2] / "datasets").glob("*/README.md")}
    assert cards == {card_of(name) for name in available_datasets()}
    with pytest.raises(InputError, match="unknown dataset 'coral'; choose from: cora, "):
        card_of("coral")


def test_an_unknown_name_lists_the_known_ones_closest_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown dataset 'openmojo'; choose from: openmoji, "):
        build_dataset("openmojo", tmp_path / "out")


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(InputError, match="already exists"):
        build_dataset("openmoji", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize("error", [InputError("no network"), KeyboardInterrupt()])
def test_a_build_that_stops_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stop(folder: Path, options: BuildOptions) -> None:
        (folder / "half.txt").write_text("half")
        raise error

    monkeypatch.setattr(movielens_module, "build", stop)
    with pytest.raises(type(error)):
        build_dataset("movielens-100k", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_the_argument_or_the_variable_or_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "variable"))
    assert dataset_cache(tmp_path / "argument") == tmp_path / "argument"
    assert dataset_cache() == tmp_path / "variable" / "datasets"
    monkeypatch.delenv("MMGRAPH_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert dataset_cache() == tmp_path / "home" / ".cache" / "mmgraph" / "datasets"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[BuildOptions]:
    """The builder of movielens-100k writes a toy dataset; the list grows with every build."""
    calls: list[BuildOptions] = []

    def build(folder: Path, options: BuildOptions) -> BuildRecord:
        calls.append(options)
        folder.rmdir()
        make_dataset(folder, seed=options.seed)
        return BuildRecord({"ratings": "1"}, pinned={"ratings": "2"}, expected={"nodes.movie": 5})

    monkeypatch.setattr(movielens_module, "build", build)
    return calls


def test_a_second_build_does_nothing(builds: list[BuildOptions], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert not is_built("movielens-100k", out)
    assert build_dataset("movielens-100k", out, seed=3, cache=tmp_path) == out
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert is_built("movielens-100k", out, seed=3)
    assert build_dataset("movielens-100k", out, seed=3, cache=tmp_path / "other") == out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert len(builds) == 1
    assert read_manifest(out)["options"] == {"seed": 3, "holdout": True, "local": []}


def test_other_options_are_refused_and_overwritten_on_demand(builds: list[BuildOptions], tmp_path: Path) -> None:
    out = build_dataset("movielens-100k", tmp_path / "out")
    with pytest.raises(InputError, match=r"out: holds a dataset with seed 0, not 1; .* add --overwrite"):
        build_dataset("movielens-100k", out, seed=1)
    (out / "nodes.parquet").unlink()
    with pytest.raises(InputError, match=r"nodes\.parquet: the file is missing; .* add --overwrite"):
        is_built("movielens-100k", out)
    build_dataset("movielens-100k", out, seed=1, overwrite=True)
    assert is_built("movielens-100k", out, seed=1)
    assert [options.seed for options in builds] == [0, 1]


def test_a_build_that_stops_keeps_what_was_there(
    builds: list[BuildOptions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = build_dataset("movielens-100k", tmp_path / "out")

    def stop(folder: Path, options: BuildOptions) -> BuildRecord:
        raise InputError("no network")

    monkeypatch.setattr(movielens_module, "build", stop)
    with pytest.raises(InputError, match="no network"):
        build_dataset("movielens-100k", out, seed=1, overwrite=True)
    assert is_built("movielens-100k", out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled_and_a_strange_one_never_overwritten(
    builds: list[BuildOptions], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    build_dataset("movielens-100k", out)
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"refusing to overwrite a folder that also holds 'thesis\.tex'"):
        build_dataset("movielens-100k", out, overwrite=True)
    assert (out / "thesis.tex").is_file()


def test_what_the_card_does_not_describe_is_told(
    builds: list[BuildOptions], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_dataset("movielens-100k", tmp_path / "out")
    told = capsys.readouterr().err
    assert "movielens-100k: built from other data than the card describes (ratings); counts differ: nodes.movie" in told
    assert len(told.splitlines()) == 1


def test_a_folder_may_lie_among_the_local_files_it_was_built_from(tmp_path: Path) -> None:
    index = write_archive(tmp_path / "index")
    build_dataset("debian", index / "built", local=[index])
    assert is_built("debian", index / "built", local=[index])
    (index / "more.txt").write_text("another file")
    with pytest.raises(InputError, match="holds a dataset from other local files"):
        is_built("debian", index / "built", local=[index])


def test_a_second_build_needs_no_torch(tmp_path: Path) -> None:
    index = write_archive(tmp_path / "index")
    build_dataset("debian", tmp_path / "out", local=[index])
    words = ["datasets", "build", "debian", "--out", str(tmp_path / "out"), "--local", str(index)]
    code = (
        "import sys; from mmgraph.cli.main import main; "
        f"code = main({words!r}); print(code, [name for name in ('torch', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == f"{tmp_path / 'out'}\n0 []\n"
    assert result.stderr == "the folder holds exactly this dataset already; nothing was done\n"


@pytest.mark.parametrize("name", ["openmoji", "movielens-100k"])
def test_local_files_that_nobody_would_read_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("1")
    with pytest.raises(InputError, match=rf"{name}: reads no local files, got '.*u\.data'"):
        build_dataset(name, tmp_path / "out", local=[tmp_path / "u.data"])
    assert not (tmp_path / "out").exists()
