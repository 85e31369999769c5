"""`mmgraph cluster` on the toy graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmgraph.cli.main import main
from mmgraph.cluster.clustering import evaluate_clustering
from mmgraph.cluster.kmeans import kmeans
from mmgraph.data.store import load_graph
from mmgraph.export.base import read_table, write_table
from mmgraph.tasks.base import load_tasks


def test_kmeans_with_names_and_labels(workspace, tmp_path: Path, capsys) -> None:
    out = tmp_path / "clusters.parquet"
    words = ["cluster", "--embeddings", str(workspace.table), "--graph", str(workspace.graph), "--k", "4"]
    words += ["--task", "community", "--out", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    table, rows = read_table(workspace.table), pq.read_table(out).to_pydict()
    expected = kmeans(table, 4)
    assert rows["id"] == table.node_ids.values.tolist()
    assert rows["cluster"] == expected.cluster.tolist()
    assert len(set(zip(rows["cluster"], rows["name"], strict=True))) == 4
    assert all(name and name in printed for name in set(rows["name"]))
    metrics = evaluate_clustering(expected, load_tasks(workspace.graph)["community"])
    assert f"{metrics['nmi']:.4f}" in printed
    assert main(words) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_one_type_only_and_texts_from_the_graph(workspace, tmp_path: Path) -> None:
    table = read_table(workspace.table)
    write_table(replace(table, columns=None), tmp_path / "bare.parquet")
    words = ["cluster", "--embeddings", str(tmp_path / "bare.parquet"), "--k", "3", "--type", "item"]
    assert main([*words, "--out", str(tmp_path / "a.parquet")]) == 0
    assert main([*words, "--graph", str(workspace.graph), "--out", str(tmp_path / "b.parquet")]) == 0
    without, with_texts = (pq.read_table(tmp_path / f"{name}.parquet").to_pydict() for name in "ab")
    items = table.node_ids.values[table.nodes_of_type("item").numpy()].tolist()
    assert without["id"] == with_texts["id"] == items
    assert without["cluster"] == with_texts["cluster"]
    assert set(without["name"]) == {""}
    assert "" not in with_texts["name"]


def test_leiden_needs_no_embeddings(workspace, tmp_path: Path, capsys) -> None:
    out = tmp_path / "communities.parquet"
    words = ["cluster", "--graph", str(workspace.graph), "--method", "leiden", "--out", str(out)]
    assert main([*words, "--resolution", "0.8", "--task", "community"]) == 0
    assert "leiden, resolution=0.8, seed=0" in capsys.readouterr().out
    assert pq.read_table(out)["id"].to_pylist() == load_graph(workspace.graph).node_ids.values.tolist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--method kmeans needs --embeddings"),
        ("--method leiden", "--method leiden needs --graph"),
        ("--method leiden --graph {graph} --type item", "--type is for kmeans"),
        ("--embeddings {table} --task community", "--task needs --graph"),
        (
            "--embeddings {table} --graph {graph} --task comunity",
            "unknown task with labels 'comunity'; choose from: community",
        ),
        ("--embeddings {table} --graph {graph} --task links", "unknown task with labels 'links'"),
        ("--embeddings {table} --k 0", "k must be at least 1, got 0"),
        ("--embeddings {table} --k 1000", "k must be at most the number of different directions"),
        ("--embeddings {table} --type nope", "unknown node type 'nope'"),
        ("--embeddings none.parquet", "none.parquet: file or folder not found"),
        ("--method leiden --graph {graph} --resolution 0", "resolution must be a positive number"),
        ("--method louvain", "louvain"),
    ],
)
def test_bad_input_is_one_line(words: str, message: str, workspace, tmp_path: Path, capsys) -> None:
    out = tmp_path / "c.parquet"
    given = words.format(graph=workspace.graph, table=workspace.table).split()
    assert main(["cluster", *given, "--out", str(out)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not out.exists()
