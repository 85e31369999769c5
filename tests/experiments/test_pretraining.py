"""The study of pre-training: its parts by themselves, and all of it on two toy graphs."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
import torch
from scipy import stats

from mmgraph.encoders.folder import encode_folder
from mmgraph.errors import InputError
from mmgraph.files import read_json, write_json
from mmgraph.inference.table import EmbeddingTable
from mmgraph.seeding import generator
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.dropping import isolate
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.testing.datasets import fake_encoders, make_dataset
from mmgraph.testing.factories import make_graph

FOLDER = Path(__file__).parents[2] / "experiments" / "pretraining"
Load = Callable[[str], ModuleType]


def test_holm_by_hand(load: Load) -> None:
    holm = load("significance").holm
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    corrected = holm([0.6, math.nan, 0.02])
    assert corrected[0] == pytest.approx(0.6)
    assert math.isnan(corrected[1])
    assert corrected[2] == pytest.approx(0.04)


def test_pairs_are_joined_by_seed(load: Load) -> None:
    paired_test = load("significance").paired_test
    ours, other = {"0": 0.5, "1": 0.7, "2": 0.9, "3": 0.1}, {"2": 0.6, "0": 0.4, "1": 0.45}
    mean, n, p = paired_test(ours, other)
    assert (mean, n) == (pytest.approx((0.1 + 0.25 + 0.3) / 3), 3)
    assert p == pytest.approx(stats.ttest_rel([0.5, 0.7, 0.9], [0.4, 0.45, 0.6]).pvalue)
    mean, n, p = paired_test(ours, {"none": 0.2})
    assert (mean, n) == (pytest.approx(0.35), 4)
    assert p == pytest.approx(stats.ttest_1samp(list(ours.values()), 0.2).pvalue)
    assert math.isnan(paired_test({"0": 0.5}, {"0": 0.4})[2])
    assert paired_test(ours, {"9": 0.4})[1] == 0
    assert paired_test({"0": 0.5, "1": 0.5}, {"none": 0.5})[2] == 1.0
    assert paired_test({"0": 0.5, "1": 0.5}, {"none": 0.25})[2] == 0.0


def record(seed: int | None, value: float, finished: str, *, model: str = "dgi", settings: str = "s") -> dict[str, Any]:
    measured = {
        "kind": "link_prediction",
        "metrics": {"mrr": value},
        "protocol": "",
        "num_examples": 1,
        "digest": "d",
        "seconds": 1.0,
        "finished": finished,
    }
    return {
        "model": model,
        "label": model,
        "family": "baseline",
        "seed": seed,
        "settings": settings,
        "graph_digest": "g",
        "seconds": {},
        "machine": {"device": "cpu"},
        "commit": None,
        "measures": {"links": measured},
    }


def test_merging_loses_nothing_and_takes_what_is_newer(load: Load) -> None:
    merge = load("results").merge
    there = merge(
        [], [record(0, 0.1, "2026-01-01"), record(1, 0.3, "2026-01-03"), record(None, 0.5, "2026", model="raw")]
    )
    rows = merge(there, [record(1, 0.9, "2026-01-02"), record(0, 0.2, "2026-01-02"), record(2, 0.4, "2026-01-02")])
    assert [row["model"] for row in rows] == ["raw", "dgi"]
    assert {seed: value["metrics"]["mrr"] for seed, value in rows[1]["seeds"].items()} == {"0": 0.2, "1": 0.3, "2": 0.4}
    assert rows[1]["summary"]["mrr"] == {"mean": pytest.approx(0.3), "std": pytest.approx(0.1), "n": 3}
    assert rows[0]["seeds"] == there[0]["seeds"]
    assert merge(rows, []) == rows


def test_older_settings_are_kept_but_not_averaged(load: Load) -> None:
    results = load("results")
    rows = results.merge([], [record(0, 0.1, "2026-01-01", settings="old"), record(1, 0.3, "2026-01-02")])
    assert set(rows[0]["seeds"]) == {"0", "1"}
    assert rows[0]["summary"]["mrr"]["n"] == 1
    kept, notes = results.comparable(rows)
    assert kept == rows
    assert "1 seeds with older settings" in notes[0]


def test_losses_are_marked(load: Load) -> None:
    rows = [record(seed, 0.5 + 0.01 * seed, "2026", model="dgi") for seed in range(5)]
    rows += [record(seed, 0.3 + 0.011 * seed, "2026", model="single") | {"family": "ours"} for seed in range(5)]
    rows += [record(None, 0.1, "2026", model="raw")]
    merged = load("results").merge([], rows)
    found = {one.other: one for one in load("significance").compare(merged, "single")}
    assert found["dgi"].loses
    assert found["dgi"].p < 0.001
    assert not found["raw"].loses
    text = load("tables").differences(list(found.values()))
    assert "**loses** -19.8 (p < 0.001)" in text
    assert "+22.2 (p < 0.001)" in text


def test_a_sample_of_labels_leaves_valid_and_test(load: Load, tmp_path: Path) -> None:
    task = load_tasks(make_dataset(tmp_path / "toy"))["community"]
    assert isinstance(task, NodeClassificationTask)
    fewer = load("measures").fewer_labels(task, 12)
    assert fewer.num_examples("train") == 12
    for split in ("valid", "test"):
        assert fewer.examples(split)[0].tolist() == task.examples(split)[0].tolist()
    assert fewer.digest == load("measures").fewer_labels(task, 12).digest != task.digest


def test_seconds_of_all_sessions_are_added(load: Load, tmp_path: Path) -> None:
    lines = [1.0, 2.5, 0.5, 3.0, 1.0]
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"seconds": {value}}}\n' for value in lines))
    assert load("context").seconds_of_steps(tmp_path) == pytest.approx(2.5 + 3.0 + 1.0)


def test_a_claim_is_exclusive_and_ends(load: Load, tmp_path: Path) -> None:
    claimed = load("context").claimed
    for _ in range(2):
        with claimed(tmp_path / "lock", wait=False) as mine, claimed(tmp_path / "lock", wait=False) as theirs:
            assert (mine, theirs) == (True, False)


def test_ranking_warm_queries_is_the_task_itself(load: Load, tmp_path: Path) -> None:
    cold = load("cold")
    graph = make_graph(60, 200, missing=0.0)
    relation = graph.relations["similar"]
    rows = [{"source": graph.node_ids[a], "target": graph.node_ids[b], "relation": "similar", "split": split}
            for (a, b), split in zip(relation.edge_index.t()[:30].tolist(), itertools.cycle(["test", "valid"]))]  # fmt: skip
    task = LinkPredictionTask("links", pa.Table.from_pylist(rows))
    kept = torch.arange(relation.num_edges) >= 30
    graph = graph.__class__(**{**graph.__dict__, "relations": {**graph.relations, "similar": relation.take(kept)}})
    vectors = torch.randn(60, 8, generator=generator(0, "vectors"))
    table = EmbeddingTable.for_graph(graph, vectors, model="random")
    pairs = cold.cold_pairs(task, graph)
    assert pairs.size(1) == 2 * task.num_examples("test")
    assert cold.cold_metrics(task, graph, table, table, pairs) == pytest.approx(task.evaluate(table, graph))
    other = EmbeddingTable.for_graph(graph, vectors.flip(0), model="random")
    assert cold.cold_metrics(task, graph, other, table, pairs) != pytest.approx(task.evaluate(table, graph))
    assert isolate(graph, pairs[0]).num_edges < graph.num_edges


def test_every_variant_of_the_ablation_is_valid_and_differs(load: Load, tmp_path: Path) -> None:
    ablation = load("ablation")
    found = ablation.variants(load("context").CONFIG)
    assert next(iter(found)) == "full"
    assert {
        "no links",
        "no levels",
        "no views",
        "no cross-modal",
        "no relations",
        "no experts",
        "no zero start",
    } <= set(found)
    assert found["no experts"].encoder.moe.num_experts == 0
    assert found["no experts"].encoder.gnn == found["full"].encoder.gnn
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("nothing:\n  objectives: {linx: {weight: 0}}\n")
    with pytest.raises(InputError, match="linx"):
        ablation.variants(load("context").CONFIG, wrong)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))
    with fake_encoders():
        for seed, name in enumerate(("a", "b")):
            folder = make_dataset(tmp_path / "data" / name, name=name, seed=seed)
            encode_folder(folder, encoders={"text": "fake-text", "image": "fake-image"})
        yield tmp_path / "data"


def call(load: Load, monkeypatch: pytest.MonkeyPatch, script: str, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
    load(script).main()


def common_words(tmp_path: Path, data: Path) -> list[object]:
    config = tmp_path / "small.yaml"
    config.write_text("sampling: {batch_size: 16}\nencoder: {dim: 16}\n")
    return ["--data", data, "--out", tmp_path / "out", "--steps", 2, "--config", config]


def contents(out: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in sorted(out.glob("records/*/*.json"))}


def test_a_trial_is_run_once_and_kept_apart(
    load: Load, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load("measures"), "EPISODES", 10)
    words, out = [*common_words(tmp_path, data), "--graphs", "a", "--seeds", 0, 1], tmp_path / "out"
    models = ["raw", "dgi", "single", "single-all-levels"]
    call(load, monkeypatch, "study", *words, "--models", *models)
    before = contents(out)
    assert len(before) == 1 + 2 * 3
    assert not list(out.glob("vectors/*"))
    assert len(list(out.glob("runs/ours-a-*/seed*"))) == 2
    raw = read_json(out / "records" / "a" / "raw.json")
    assert {"community", "links", "recommend", "descriptions"} <= set(raw["measures"])
    assert "mrr@sampled(100,0)" in raw["measures"]["links"]["metrics"]
    assert raw["trial"]
    call(load, monkeypatch, "study", *words, "--models", *models)
    assert contents(out) == before

    path = out / "records" / "a" / "dgi-seed1.json"
    record = read_json(path)
    lost = record["measures"].pop("links")
    write_json(path, record)
    call(load, monkeypatch, "study", *words, "--models", "dgi")  # as if it had been stopped there
    again = read_json(path)["measures"]
    assert again["links"]["metrics"] == lost["metrics"]
    assert again["community"] == record["measures"]["community"]

    capsys.readouterr()
    call(load, monkeypatch, "tables", "--out", out, "--trial")
    printed = capsys.readouterr().out
    assert "| ours, single, all levels |" in printed
    assert "links, 1,000 negatives (mrr)" in printed
    assert "ours, single against the others" in printed
    call(load, monkeypatch, "tables", "--out", out, "--results", tmp_path / "real")  # trials never enter real results
    assert not list((tmp_path / "real").glob("*"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trial_of_everything(
    load: Load, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load("measures"), "EPISODES", 10)
    common, out = [*common_words(tmp_path, data), "--seeds", 0], tmp_path / "out"
    both = ["--graphs", "a", "b"]
    call(load, monkeypatch, "study", *common, *both)
    assert len(contents(out)) == 2 * len(load("models").MODELS)
    runs = sorted(path.name.rsplit("-", 1)[0] for path in out.glob("runs/*"))
    assert runs == ["ours-a", "ours-a+b", "ours-b", "unigraph2-a+b"]  # leaving one of two out leaves the other alone
    call(load, monkeypatch, "tables", "--out", out, "--trial")
    capsys.readouterr()

    call(load, monkeypatch, "robustness", *common, *both, "--models", "raw", "single", "leave-one-out", "--score", "a")
    printed = capsys.readouterr().out
    assert "image hidden at test time" in printed
    assert "queries without edges" in printed
    assert (out / "plots" / "a-text-hidden.png").exists()
    swept = read_json(out / "robustness" / "a" / "raw-seed0.json")["sweep"]
    assert swept["text 1"]["links"]["mrr"] != swept["nothing 0"]["links"]["mrr"]

    call(load, monkeypatch, "ablation", *common, "--graphs", "a", "--variants", "no links")
    assert "| no links |" in capsys.readouterr().out
    call(load, monkeypatch, "plots", "--results", out / "results", "--out", out)
    assert (out / "plots" / "b-bars.png").exists()
