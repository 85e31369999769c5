"""`mmgraph synthetic`, and the commands that take what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmgraph.cli.main import main
from mmgraph.data.store import load_graph
from mmgraph.synthetic.writing import load_truth
from mmgraph.tasks.base import load_tasks

PLANTED = """
num_nodes: 250
factors: {colour: 3}
modalities:
  - {name: text, factors: [colour], dim: 8}
relations:
  - {name: similar, edges_per_node: 3.0}
holdout: 0.2
ids: strings
"""
TASTES = """
num_users: 40
num_items: 30
cold: 0.2
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_planted_graph_of_a_size(tmp_path, capsys) -> None:
    words = ["synthetic", "--nodes", "600", "--edges", "3000", "--seed", "3", "--out", str(tmp_path / "g")]
    assert main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["best", "possible", "score", "standard", "error"]
    assert out[1].split() == ["accuracy", "of", "communities,", "chance", "0.0833"]
    assert out[-1] == str(tmp_path / "g")
    graph = load_graph(tmp_path / "g")
    assert graph.num_nodes == 600
    assert 2000 < graph.num_edges < 3100
    assert load_truth(tmp_path / "g").model.seed == 3
    best = json.loads((tmp_path / "g" / "synthetic.json").read_text())["best"]
    assert any(f"{best['links']['similar']['mrr_ceiling']['value']:.4f}" in line for line in out)
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"mmgraph: error: {tmp_path / 'g'} already exists")


def test_without_sizes_or_config(tmp_path, monkeypatch, capsys) -> None:
    asked = []
    monkeypatch.setattr(
        "mmgraph.synthetic.planted_config.benchmark_config", lambda *sizes: asked.append(sizes) or _small()
    )
    assert main(["synthetic", "--out", str(tmp_path / "a")]) == 0
    assert main(["synthetic", "--nodes", "70", "--out", str(tmp_path / "b")]) == 0
    assert asked == [(10_000, 100_000), (70, 700)]
    assert "links" not in capsys.readouterr().out


def _small() -> object:
    from mmgraph.synthetic.planted_config import PlantedConfig

    return PlantedConfig(num_nodes=30, relations=())


def test_a_planted_graph_goes_through_the_whole_job(tmp_path, small, capsys) -> None:
    graph, run = tmp_path / "g", tmp_path / "run"
    assert main(["synthetic", "--config", str(written(tmp_path, PLANTED)), "--out", str(graph)]) == 0
    assert list(load_tasks(graph)) == ["community", "links-similar"]
    assert main(["pretrain", "--graphs", str(graph), "--out", str(run), *small]) == 0
    capsys.readouterr()
    assert main(["evaluate", "--run", str(run), "--graph", str(graph), "--task", "all"]) == 0
    out = capsys.readouterr().out
    assert "community" in out
    assert "links-similar" in out


def test_a_graph_of_tastes_goes_through_the_whole_job(tmp_path, small, capsys) -> None:
    graph, run = tmp_path / "g", tmp_path / "run"
    words = ["synthetic", "--kind", "user-item", "--config", str(written(tmp_path, TASTES)), "--out", str(graph)]
    assert main(words) == 0
    assert "recommendation, recall@10" in capsys.readouterr().out
    assert load_graph(graph).num_nodes == 70
    assert main(["pretrain", "--graphs", str(graph), "--out", str(run), *small]) == 0
    capsys.readouterr()
    assert main(["evaluate", "--run", str(run), "--graph", str(graph), "--task", "recommend"]) == 0
    assert "recall@10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "required: out"),
        ("--out {tmp}/g --kind random", "--kind: expected Literal['planted', 'user-item'], got random"),
        ("--out {tmp}/g --nodes 0", "num_nodes must be at least 1, got 0"),
        (
            "--out {tmp}/g --nodes 10 --edges 1000",
            "relation 'similar': expected a sparse graph, got 800 edges for 45 pairs of nodes; lower edges_per_node",
        ),
        (
            "--out {tmp}/g --nodes 9 --config {tmp}/config.yaml",
            "--nodes and --edges: only for planted graphs without --config, which gives the sizes itself",
        ),
        ("--out {tmp}/g --edges 9 --kind user-item", "--nodes and --edges: only for planted graphs without --config"),
        ("--out {tmp}/g --config {tmp}/none.yaml", "none.yaml: file not found"),
        ("--out {tmp}/g --config {tmp}/config.yaml", "config.yaml: unknown key 'num_node'; choose from: num_nodes"),
        ("--out {tmp}/g --kind user-item --config {tmp}/config.yaml", "config.yaml: unknown key 'num_node'"),
    ],
)
def test_bad_input_is_one_line(tmp_path, words: str, expected: str, capsys) -> None:
    written(tmp_path, "num_node: 5\n")
    assert main(["synthetic", *words.format(tmp=tmp_path).split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert expected in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_type_of_the_features(tmp_path) -> None:
    words = ["synthetic", "--config", str(written(tmp_path, PLANTED)), "--dtype", "int8"]
    assert main([*words, "--out", str(tmp_path / "g")]) == 0
    features = load_graph(tmp_path / "g").features["text"]
    assert str(features.values.dtype) == "torch.int8"
    assert load_truth(tmp_path / "g").model.config.dtype == "int8"
