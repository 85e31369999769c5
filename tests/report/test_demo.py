"""The whole demo on two toy graphs with fake encoders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mmgraph.errors import InputError
from mmgraph.export.base import read_table
from mmgraph.report import demo
from mmgraph.report.demo import DemoConfig, run_demo
from mmgraph.report.html import write_report
from mmgraph.testing.datasets import fake_encoders, make_dataset

CONFIG = replace(DemoConfig.small(), datasets=("shapes", "shops"), steps=3, device="cpu")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")

    def build(name: str, out: Path, *, seed: int = 0) -> Path:
        return make_dataset(out, name=name, seed=seed + len(name))

    with pytest.MonkeyPatch.context() as patch, fake_encoders():
        patch.setenv("MMGRAPH_CACHE", str(folder / "cache"))
        patch.setattr(demo, "build_dataset", build)
        run_demo(folder / "out", CONFIG)
        yield folder / "out"


def test_everything_is_there(out: Path) -> None:
    assert (out / "report.html").stat().st_size > 10_000
    for name in CONFIG.datasets:
        assert len(read_table(out / "embeddings" / f"{name}.parquet")) == 60
        assert (out / "runs" / name / "model" / "config.json").exists()
    records = json.loads((out / "results" / "evaluation.json").read_text())
    models = {record["model"] for record in records}
    assert models >= {"joint", "alone", "random init", "raw features", "smoothed features", "popularity", "item-knn"}
    keys = [(r["graph"], r["task"], r["model"]) for r in records]
    assert len(keys) == len(set(keys)), "each model once per task"


def test_the_report_is_made_from_the_files_alone(out: Path) -> None:
    before = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    write_report(out)
    assert (out / "report.html").read_bytes() == before


def test_hits_are_really_held_out(out: Path) -> None:
    shown = json.loads((out / "results" / "recommendations.json").read_text())
    for user in shown["users"]:
        assert user["hits"] == sum(item["hit"] for item in user["top"])
        assert user["hits"] <= user["num_test"]
        assert not {item["title"] for item in user["top"] if item["hit"]} & set(user["history"])


def test_loads_sum_to_one_and_patterns_cover_all_nodes(out: Path) -> None:
    rows = json.loads((out / "results" / "experts.json").read_text())
    assert all(sum(row["load"]) == pytest.approx(1) for row in rows)
    for name in CONFIG.datasets:
        assert sum(row["num_nodes"] for row in rows if row["graph"] == name) == 60
    assert {row["pattern"] for row in rows} <= {"text + image", "text", "image", "nothing"}


def test_a_second_run_trains_and_evaluates_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    files = [*out.glob("runs/*/model/*"), *out.glob("runs/*/evaluation/*"), *out.glob("data/*/encoded/*")]
    files += [out / "results" / "map.json"]
    before = {path: path.stat().st_mtime_ns for path in files}
    run_demo(out, CONFIG, note=steps.append)
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert "pre-train joint" in steps
    timings = json.loads((out / "results" / "summary.json").read_text())["timings"]
    assert all(row["seconds"] < row["first"] for row in timings if row["step"].startswith("pre-train"))


def test_other_settings_are_refused(out: Path) -> None:
    with pytest.raises(InputError, match="holds a demo with other settings"):
        run_demo(out, replace(CONFIG, seed=1))


def test_a_strange_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="holds no demo"):
        run_demo(tmp_path, CONFIG)
