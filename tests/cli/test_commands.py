"""Every command on the toy graph, through `main`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch

from mmgraph.cli import parser
from mmgraph.cli.main import main
from mmgraph.data.store import load_graph
from mmgraph.export.base import read_table
from mmgraph.export.formats import FORMATS
from mmgraph.inference.levels import LEVELS
from mmgraph.nn.build import build_encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.saving import encoder_digest, load_encoder, save_encoder
from mmgraph.testing.datasets import make_dataset
from mmgraph.testing.engines import CopyingEngine
from mmgraph.testing.factories import randomise


def test_encode_reports_what_it_did(workspace, capsys) -> None:
    assert main(["encode", "--graph", str(workspace.graph), "--name", "renamed"]) == 0
    out = capsys.readouterr().out
    graph = load_graph(workspace.graph)
    assert graph.name == "renamed"
    report = json.loads((workspace.graph / "encoded" / "encoding.json").read_text())
    assert report["text"]["from_cache"] > 0
    assert report["text"]["encoded"] == 0
    assert "fake-image" in out
    assert main(["encode", "--graph", str(workspace.graph)]) == 0
    assert load_graph(workspace.graph).name == "toy"


def test_encode_in_bytes_from_the_cache(workspace, capsys) -> None:
    assert main(["encode", "--graph", str(workspace.graph)]) == 0
    before = load_graph(workspace.graph)
    assert main(["encode", "--graph", str(workspace.graph), "--dtype", "int8"]) == 0
    report = json.loads((workspace.graph / "encoded" / "encoding.json").read_text())
    assert report["text"]["encoded"] == report["image"]["encoded"] == 0
    after = load_graph(workspace.graph)
    assert str(after.features["text"].values.dtype) == "torch.int8"
    assert torch.cosine_similarity(after.features["text"].centred(), before.features["text"].centred()).min() > 0.999
    assert main(["encode", "--graph", str(workspace.graph)]) == 0
    assert torch.equal(load_graph(workspace.graph).features["text"].centred(), before.features["text"].centred())


def test_encoded_pictures_are_relative_to_the_folder(workspace) -> None:
    columns = load_graph(workspace.graph).columns
    assert columns is not None
    pictures = [path for path in columns["image"].to_pylist() if path]
    assert pictures
    assert all((workspace.graph / path).is_file() and not Path(path).is_absolute() for path in pictures)


def test_encode_can_leave_a_modality_out(tmp_path, workspace) -> None:
    folder = make_dataset(tmp_path / "g")
    assert main(["encode", "--graph", str(folder), "--image", "none"]) == 0
    assert list(load_graph(folder).features) == ["text"]


def test_unknown_ends_can_be_dropped(tmp_path, workspace, capsys) -> None:
    (tmp_path / "nodes.csv").write_text("id,text\na,red\nb,blue\n")
    (tmp_path / "edges.csv").write_text("source,target\na,b\na,zz\n")
    assert main(["encode", "--graph", str(tmp_path)]) == 2
    assert "'zz'" in capsys.readouterr().err
    assert not (tmp_path / "encoded").exists()
    assert main(["encode", "--graph", str(tmp_path), "--on-unknown", "drop"]) == 0
    assert "row 2: column target: no node has the id 'zz'; left out" in capsys.readouterr().err
    assert load_graph(tmp_path).num_edges == 1


def test_pretrain_again_is_a_no_op_and_other_settings_are_refused(workspace, small, capsys) -> None:
    before = (workspace.run / "model" / "model.safetensors").stat().st_mtime_ns
    command = ["pretrain", "--graphs", str(workspace.graph), "--out", str(workspace.run)]
    assert main([*command, *small]) == 0
    assert (workspace.run / "model" / "model.safetensors").stat().st_mtime_ns == before
    assert capsys.readouterr().out.strip() == str(workspace.run)
    assert main([*command, *small, "--optim.lr=0.5"]) == 2
    assert "optim.lr" in capsys.readouterr().err


def test_flags_override_the_file_and_print_config_can_be_read_back(tmp_path, workspace, small, capsys) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"graphs: [{workspace.graph}]\nout: {tmp_path / 'run'}\noptim: {{lr: 1e-4, clip: 2.0}}\n")
    assert main(["pretrain", "--config", str(config), "--optim.lr=3e-4", *small, "--print_config"]) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert main(["pretrain", "--config", str(printed)]) == 0
    written = (tmp_path / "run" / "config.yaml").read_text()
    assert "lr: 0.0003" in written
    assert "clip: 2.0" in written


def test_resume_of_a_finished_run_changes_nothing(workspace, capsys) -> None:
    before = encoder_digest(load_encoder(workspace.run / "model"))
    assert main(["resume", "--run", str(workspace.run)]) == 0
    assert encoder_digest(load_encoder(workspace.run / "model")) == before
    assert capsys.readouterr().out.strip() == str(workspace.run)


def test_evaluate_all_and_one(workspace, tmp_path, capsys) -> None:
    command = ["evaluate", "--run", str(workspace.run), "--graph", str(workspace.graph)]
    assert main(command) == 0
    out = capsys.readouterr().out
    for word in ("community", "links", "recommend", "descriptions", "trained", "random init", "popularity"):
        assert word in out
    content = json.loads((workspace.run / "evaluation" / "toy.json").read_text())
    assert {record["task"] for record in content["records"]} == {"community", "links", "recommend", "descriptions"}
    assert main([*command, "--task", "links", "--out", str(tmp_path / "links.json")]) == 0
    assert {r["task"] for r in json.loads((tmp_path / "links.json").read_text())["records"]} == {"links"}


@pytest.mark.parametrize("command", ["export", "embed"])
@pytest.mark.parametrize("kind", ["parquet", "npy"])
def test_export_in_both_formats(workspace, tmp_path, command: str, kind: str, capsys) -> None:
    out = tmp_path / "table"
    words = [command, "--run", str(workspace.run), "--graph", str(workspace.graph), "--to", kind, "--out", str(out)]
    assert main(words) == 0
    table, graph = read_table(out), load_graph(workspace.graph)
    assert table.node_ids == graph.node_ids
    assert table.model == encoder_digest(load_encoder(workspace.run / "model"))
    assert torch.equal(table.vectors, read_table(workspace.table).vectors)
    capsys.readouterr()
    assert main(words) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize("kind", FORMATS)
def test_export_and_search_in_every_format(workspace, tmp_path, kind: str, capsys) -> None:
    out = tmp_path / f"table{FORMATS[kind].suffix}"
    words = ["export", "--run", str(workspace.run), "--graph", str(workspace.graph), "--to", kind, "--out", str(out)]
    assert main(words) == 0
    if "graph" not in FORMATS[kind].options:
        assert main([*words, "--upsert"]) == 0
    table = read_table(workspace.table)
    assert set(read_table(out).node_ids.values) == set(table.node_ids.values)
    capsys.readouterr()
    assert main(["search", "--embeddings", str(out), "--id", "n0000", "-k", "3", "--json"]) == 0
    rows = _results(capsys)
    expected = [node for node in table.search(table.vectors_of(["n0000"]), 4).ids()[0] if node != "n0000"][:3]
    assert [row["rank"] for row in rows] == [1, 2, 3]
    if kind == "faiss-ivfpq":
        assert "n0000" not in {row["id"] for row in rows}
    else:
        assert [row["id"] for row in rows] == expected
    assert main(["search", "--embeddings", str(out), "--id", "nobody"]) == 2
    assert "1 unknown ids: 'nobody'" in capsys.readouterr().err


def test_export_flags_that_do_not_fit(workspace, tmp_path, monkeypatch, capsys) -> None:
    out = str(tmp_path / "out")
    words = ["export", "--run", str(workspace.run), "--graph", str(workspace.graph), "--out", out]
    for more, message in (
        (["--overwrite", "--upsert"], "expected --overwrite or --upsert, got both"),
        (["--url", "http://x"], "format 'parquet' takes no option 'url'"),
        (["--to", "graphml"], "expected a name that ends in .graphml"),
        (["--to", "sheet"], "sheet"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert main([*words, "--to", "duckdb"]) == 2
    assert 'pip install "mmgraph[duckdb]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_search_a_store_by_text(workspace, tmp_path, capsys) -> None:
    run = ["--run", str(workspace.run), "--graph", str(workspace.graph)]
    assert main(["export", *run, "--to", "faiss", "--out", str(tmp_path / "store")]) == 0
    capsys.readouterr()
    query = ["search", *run, "--text", "a red circle", "-k", "2", "--json"]
    assert main(query) == 0
    expected = _results(capsys)
    assert main([*query, "--embeddings", str(tmp_path / "store")]) == 0
    found = _results(capsys)
    assert [row["id"] for row in found] == [row["id"] for row in expected]
    assert found[0].keys() == expected[0].keys()


def test_search_among_the_nodes_that_fit_a_filter(workspace, tmp_path, capsys) -> None:
    run = ["--run", str(workspace.run), "--graph", str(workspace.graph)]
    assert main(["export", *run, "--to", "faiss-hnsw", "--out", str(tmp_path / "store")]) == 0
    graph, table = load_graph(workspace.graph), read_table(workspace.table)
    edges, _ = graph.message_edges()
    near = {0, *edges[1, edges[0] == 0].tolist()}
    ids = [
        node for i, node in enumerate(graph.node_ids.values.tolist()) if i in near and node not in ("n0000", "n0001")
    ]
    part = table.take(table.positions(ids))
    expected = part.search(table.vectors_of(["n0000"]), 50).ids()[0]
    assert graph.node_ids[0] == "n0000"
    assert expected
    where = ["--where", 'within 1 of "n0000" and id != "n0001"', "-k", "50", "--json", "--id", "n0000"]
    capsys.readouterr()
    for source in (run, ["--embeddings", str(tmp_path / "store"), "--graph", str(workspace.graph)]):
        assert main(["search", *source, *where]) == 0
        assert [row["id"] for row in _results(capsys)] == expected
    for more, message in {
        ("--where", "id ="): "filter, position 5: expected a text in quotes",
        ("--where", "idd = 'x'"): "filter, position 1: unknown column 'idd'",
        ("--where", "within 1 of 'n0000'"): "filter, position 1: 'within' needs a graph, give --graph or graph=",
    }.items():
        assert main(["search", "--embeddings", str(workspace.table), "--id", "n0000", *more]) == 2
        assert message in capsys.readouterr().err


def _results(capsys) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_search_by_id_leaves_the_node_out(workspace, capsys) -> None:
    assert main(["search", "--embeddings", str(workspace.table), "--id", "n0000", "-k", "3", "--json"]) == 0
    rows = _results(capsys)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert "n0000" not in {row["id"] for row in rows}
    table = read_table(workspace.table)
    expected = table.search(table.vectors_of(["n0000"]), 4).ids()[0]
    assert [row["id"] for row in rows] == [node for node in expected if node != "n0000"][:3]


def test_search_by_text_image_and_both(workspace, capsys) -> None:
    run = ["search", "--run", str(workspace.run), "--graph", str(workspace.graph), "-k", "2", "--json"]
    picture = str(next((workspace.graph / "images").glob("*.png")))
    found = []
    for query in (["--text", "a red circle"], ["--image", picture], ["--text", "a red circle", "--image", picture]):
        assert main([*run, *query]) == 0
        found.append(_results(capsys))
    assert all(len(rows) == 2 for rows in found)
    assert len({rows[0]["score"] for rows in found}) == 3
    with_table = ["--embeddings", str(workspace.table), "--text", "a red circle"]
    assert main([*run, *with_table]) == 0
    assert _results(capsys) == found[0]


@pytest.mark.parametrize("level", ["blend", "hybrid", "all"])
def test_a_query_takes_the_level_of_the_table(workspace, tmp_path, level: str, capsys) -> None:
    run = ["--run", str(workspace.run), "--graph", str(workspace.graph)]
    out = tmp_path / "table.parquet"
    assert main(["export", *run, "--level", level, "--out", str(out)]) == 0
    capsys.readouterr()
    found = []
    for table in (workspace.table, out):
        assert main(["search", *run, "--embeddings", str(table), "--text", "a red circle", "-k", "1", "--json"]) == 0
        found.append(_results(capsys)[0]["score"])
    assert found[0] != found[1]


def test_search_like_a_node_but(workspace, capsys) -> None:
    run = ["search", "--run", str(workspace.run), "--graph", str(workspace.graph), "-k", "5", "--json"]

    def found(*query: str) -> list[dict[str, object]]:
        assert main([*run, *query]) == 0
        return _results(capsys)

    like = ("--like", "n0000")
    alone, changed = found("--id", "n0000"), found(*like, "--text", "a red circle")
    assert "n0000" not in {row["id"] for row in changed}
    assert found(*like, "--text", "a red circle", "--weight", "1e-6")[0]["id"] == alone[0]["id"]
    heavy = found(*like, "--text", "a red circle", "--weight", "1e6")
    text = [row for row in found("--text", "a red circle") if row["id"] != "n0000"]
    assert [row["id"] for row in heavy[:4]] == [row["id"] for row in text[:4]]
    away = found(*like, "--text", "a red circle", "--not", "blue")
    assert {row["score"] for row in away}.isdisjoint(row["score"] for row in changed)
    table = read_table(workspace.table)
    from mmgraph.data.store import load_graph
    from mmgraph.inference.compose import compose_query
    from mmgraph.training.evaluate import query_encoder
    from mmgraph.training.loading import load_model

    graph = load_graph(workspace.graph)
    encoder = query_encoder(load_model(workspace.run), graph, ["text"])
    query = compose_query(table, like="n0000", text="a red circle", without="blue", encoder=encoder)
    expected = table.search(query.vector, 5, exclude=query.exclude)
    assert [row["id"] for row in away] == expected.ids()[0]


def test_a_node_of_one_type_finds_those_of_another(workspace, capsys) -> None:
    table = read_table(workspace.table)
    user = table.node_ids[int(table.nodes_of_type("user")[0])]
    for asked, other in ((user, "item"), ("n0000", "user")):
        words = ["--embeddings", str(workspace.table), "--id", str(asked), "--type", other, "-k", "4", "--json"]
        assert main(["search", *words]) == 0
        rows = _results(capsys)
        assert [row["type"] for row in rows] == [other] * 4
        assert [row["id"] for row in rows] == table.search(table.vectors_of([asked]), 4, node_type=other).ids()[0]


def test_search_prints_a_table(workspace, capsys) -> None:
    assert main(["search", "--embeddings", str(workspace.table), "--id", "n0000", "--type", "user", "-k", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["rank", "score", "id", "type"]
    assert len(lines) == 3
    assert all("user" in line for line in lines[1:])


def test_integer_ids(tmp_path, workspace, small, capsys) -> None:
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "nodes.csv").write_text("id,text\n" + "".join(f"{i},word{i} shared\n" for i in range(20)))
    (tmp_path / "g" / "edges.csv").write_text("source,target\n" + "".join(f"{i},{i + 1}\n" for i in range(19)))
    graph, run, table = (str(tmp_path / name) for name in ("g", "run", "t.parquet"))
    assert main(["encode", "--graph", graph]) == 0
    assert main(["pretrain", "--graphs", graph, "--out", run, *small]) == 0
    assert main(["export", "--run", run, "--graph", graph, "--out", table]) == 0
    capsys.readouterr()
    assert main(["search", "--embeddings", table, "--id", "3", "-k", "1", "--json"]) == 0
    assert isinstance(_results(capsys)[0]["id"], int)
    assert main(["search", "--embeddings", table, "--id", "three"]) == 2
    assert "integers" in capsys.readouterr().err


def test_datasets_list(capsys) -> None:
    assert main(["datasets", "list"]) == 0
    out = capsys.readouterr().out
    assert "openmoji" in out
    assert "movielens-100k" in out


def test_doctor(workspace, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(workspace.folder / "cache"))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for word in ("torch", "encoders", "cpu", "threads", "encodings", str(workspace.folder / "cache")):
        assert word in out


def test_doctor_with_missing_extras_and_caches(monkeypatch, tmp_path, capsys) -> None:
    from mmgraph.cli import doctor

    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "none"))
    monkeypatch.setitem(doctor.EXTRAS, "ogb", ("no_such_module",))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "absent: no_such_module" in out
    assert 'pip install "mmgraph[ogb]"' in out
    assert not (tmp_path / "none").exists()


def test_the_command_line_has_all_levels() -> None:
    assert get_args(parser.LevelName) == LEVELS


@pytest.mark.parametrize("conv", ["sign", "sage"])
def test_export_with_levels_in_files_goes_on_and_cleans_up(workspace, tmp_path, monkeypatch, capsys, conv: str) -> None:
    """The vectors are those of a plain export, with any engine, and Ctrl-C says where the finished part is."""
    graph, out, model, work = str(workspace.graph), tmp_path / "v.parquet", tmp_path / "model", tmp_path / "levels"
    encoder = build_encoder(EncoderConfig(dim=8, gnn=GNNConfig(conv=conv)), [load_graph(graph)])
    save_encoder(randomise(encoder).eval(), model)
    words = ["export", "--run", str(model), "--graph", graph]
    assert main([*words, "--out", str(tmp_path / "plain.parquet")]) == 0

    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mmgraph.export.base.write_table", interrupt)
        assert main([*words, "--out", str(out), "--work", str(work)]) == 130
    assert f"what is embedded so far is kept in {work}" in capsys.readouterr().err
    engine = CopyingEngine()
    monkeypatch.setattr("mmgraph.engines.registry.make_engine", lambda *_, **__: engine)
    assert main([*words, "--out", str(out), "--work", str(work), "--engine", "ray"]) == 0
    assert (engine.num_shards, engine.closed) == (0, True)
    assert not work.exists()
    found, expected = read_table(out), read_table(tmp_path / "plain.parquet")
    assert found.node_ids == expected.node_ids
    torch.testing.assert_close(found.vectors, expected.vectors, rtol=1e-5, atol=1e-5)
