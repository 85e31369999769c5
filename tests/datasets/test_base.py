from __future__ import annotations

from pathlib import Path

import pytest

from mmgraph.datasets import available_datasets, build_dataset
from mmgraph.datasets import movielens as movielens_module
from mmgraph.datasets.base import BuildOptions, dataset_cache
from mmgraph.errors import InputError


def test_every_dataset_has_one_line_and_a_card() -> None:
    found = available_datasets()
    assert {"openmoji", "movielens-100k"} <= set(found)
    for name, line in found.items():
        assert len(line.splitlines()) == 1
        assert (Path(__file__).parents[2] / "datasets" / name / "README.md").is_file()


def test_an_unknown_name_lists_the_known_ones_closest_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown dataset 'openmojo'; choose from: openmoji, movielens-100k"):
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
