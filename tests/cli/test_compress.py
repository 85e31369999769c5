"""`mmgraph compress` on the toy graph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmgraph.cli.main import main
from mmgraph.export.base import open_store, read_table


def test_report_of_forms_and_tasks(workspace, tmp_path: Path, capsys) -> None:
    words = ["compress", "--embeddings", str(workspace.table), "--graph", str(workspace.graph)]
    words += ["--forms", "float32", "int8", "dims:4+int8", "--report", str(tmp_path / "report")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / "report" / "compress.json").read_text(encoding="utf-8"))
    assert [record["form"] for record in content["records"]] == ["float32", "int8", "dims:4+int8"]
    assert [record["bytes_per_vector"] for record in content["records"]] == [64, 16, 4]
    assert set(content["full"]) == {"community", "links", "recommend"}
    assert content["records"][0]["loss"]["links"]["mrr"] == pytest.approx(0, abs=1e-6)
    assert all(form in printed for form in ("float32", "int8", "dims:4+int8", "links mrr", "recommend recall@10"))
    assert (tmp_path / "report" / "compress.png").stat().st_size > 1000
    assert main(words) == 2
    assert "already exists" in capsys.readouterr().err


def test_a_store_is_written_and_searched(workspace, tmp_path: Path, capsys) -> None:
    words = ["compress", "--embeddings", str(workspace.table), "--to"]
    assert main([*words, "dims:8", "--format", "faiss", "--out", str(tmp_path / "faiss")]) == 0
    assert main([*words, "int8", "--out", str(tmp_path / "int8")]) == 0
    table = read_table(workspace.table)
    with open_store(tmp_path / "int8") as store:
        assert store.manifest["form"] == "int8"
        assert store.ids() == table.node_ids.values.tolist()
    capsys.readouterr()
    first = str(table.node_ids.values[0])
    for name in ("faiss", "int8"):
        assert main(["search", "--embeddings", str(tmp_path / name), "--id", first, "-k", "3", "--json"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len(rows) == 3
        assert first not in {row["id"] for row in rows}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "expected --report FOLDER, or --to FORM"),
        (["--report", "x", "--task", "links"], "--task needs --graph"),
        (["--to", "int8"], "--to and --out belong together"),
        (["--to", "int3", "--out", "x"], "unknown form 'int3'"),
        (["--report", "x", "--forms", "dims:999"], "expected at most 16 dimensions"),
        (["--to", "int8", "--out", "x", "--format", "faiss"], "only dims:K and first:K"),
    ],
)
def test_bad_input_is_one_line(workspace, tmp_path: Path, capsys, monkeypatch, given: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compress", "--embeddings", str(workspace.table), *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
