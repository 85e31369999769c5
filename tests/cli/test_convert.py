"""`mmgraph convert`, on folders in the true formats, written here without our writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmgraph.cli.main import main
from mmgraph.data.graph import MultimodalGraph
from mmgraph.splits.base import load_splits
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.bundle_folder import read_graph


def call(*words: object) -> int:
    return main(["convert", *map(str, words)])


def write_mm_graph_files(folder: Path) -> Path:
    """Eight nodes, text and image features side by side, three training edges, one of each held out."""
    folder.mkdir(parents=True)
    values = torch.arange(48, dtype=torch.float32).reshape(8, 6) + 1
    values[2, 3:] = 0  # without image
    torch.save(values, folder / "clip_feat.pt")
    asked = [{"source_node": [i], "target_node": [i + 1], "target_node_neg": [[6, 7]]} for i in (3, 4)]
    train = {"source_node": [0, 1, 2], "target_node": [1, 2, 3]}
    torch.save(
        {"train": train, "valid": asked[0], "test": asked[1]},
        folder / "lp-edge-split.pt",
    )
    torch.save({f"B00{i}": i for i in range(8)}, folder / "node_mapping.pt")
    return folder


def write_mmrec_files(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rows = ["userID\titemID\trating\ttimestamp\tx_label"]
    rows += [
        f"{u}\t{i}\t5.0\t{100 + u + i}\t{label}"
        for u, i, label in [(0, 0, 0), (0, 1, 0), (1, 1, 0), (0, 2, 1), (1, 0, 2)]
    ]
    (folder / "baby.inter").write_text("\n".join(rows) + "\n")
    (folder / "u_id_mapping.csv").write_text("user_id\tuserID\nA1\t0\nA2\t1\n")
    (folder / "i_id_mapping.csv").write_text("asin\titemID\nB1\t0\nB2\t1\nB3\t2\n")
    np.save(folder / "text_feat.npy", np.arange(1, 13, dtype=np.float32).reshape(3, 4))
    return folder


def write_recbole_files(folder: Path) -> Path:
    folder.mkdir(parents=True)
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    for part, rows in (("train", "1\t1\t4\t10\n2\t1\t5\t11\n"), ("valid", "1\t2\t4\t12\n"), ("test", "2\t2\t5\t13\n")):
        (folder / f"{folder.name}.{part}.inter").write_text(header + rows)
    (folder / f"{folder.name}.item").write_text("item_id:token\tmovie_title:token_seq\n1\tToy Story\n2\tGoldenEye\n")
    return folder


FILES = {"mm-graph": write_mm_graph_files, "mmrec": write_mmrec_files, "recbole": write_recbole_files}


@pytest.mark.parametrize("name", sorted(FILES))
def test_there_and_back(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = FILES[name](tmp_path / "source")
    assert call(source, "--out", tmp_path / "graph") == 0
    assert str(tmp_path / "graph") in capsys.readouterr().out
    graph, splits, tasks = (
        read_graph(tmp_path / "graph"),
        load_splits(tmp_path / "graph"),
        load_tasks(tmp_path / "graph"),
    )
    assert list(splits) == list(tasks)
    assert graph.num_nodes == {"mm-graph": 8, "mmrec": 5, "recbole": 4}[name]
    assert (
        sum(relation.num_edges for relation in graph.relations.values())
        == {"mm-graph": 3, "mmrec": 3, "recbole": 2}[name]
    )
    (split,) = splits.values()
    assert [split.counts[part] for part in ("valid", "test")] == [1, 1]
    if isinstance(graph, MultimodalGraph):
        assert "encoded" in {path.name for path in (tmp_path / "graph").iterdir()}

    assert call(tmp_path / "graph", "--to", name, "--out", tmp_path / "back") == 0
    assert call(tmp_path / "back", "--from", name, "--out", tmp_path / "again", "--name", graph.name) == 0
    again = read_graph(tmp_path / "again")
    assert set(again.node_ids.values.tolist()) == set(graph.node_ids.values.tolist())
    assert next(iter(load_splits(tmp_path / "again").values())).table.equals(split.table)


def test_options_and_their_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_mm_graph_files(tmp_path / "sports")
    options = ["features=clip", "widths=[3, 3]", "encoders={text: a, image: b}"]
    assert call(source, "--out", tmp_path / "graph", "--option", *options) == 0
    graph = read_graph(tmp_path / "graph")
    assert isinstance(graph, MultimodalGraph)
    assert {name: f.spec.encoder for name, f in graph.features.items()} == {"text": "a", "image": "b"}
    assert int(graph.features["image"].present.sum()) == 7
    for words, told in [
        ([source, "--out", tmp_path / "x", "--option", "feature=clip"], "unknown option to read mm_graph 'feature'"),
        ([source, "--out", tmp_path / "x", "--option", "clip"], "--option: expected name=value, got 'clip'"),
        ([source, "--out", tmp_path / "x", "--from", "mmgraf"], "unknown format 'mmgraf'"),
        (
            [source, "--out", tmp_path / "x", "--from", "mmrec", "--to", "mm-graph"],
            "convert mmrec to a graph folder first",
        ),
        ([tmp_path / "graph", "--out", tmp_path / "x", "--to", "recbole"], "found only an encoded graph"),
        ([source, "--out", tmp_path / "graph"], "already exists; give another --out or --overwrite"),
        ([source], "--out: expected a folder, got none"),
        ([tmp_path / "nowhere", "--out", tmp_path / "x"], "expected a folder, found nothing"),
    ]:
        capsys.readouterr()
        assert call(*words) == 2
        error = capsys.readouterr().err
        assert told in error
        assert len(error.splitlines()) == 1
        assert not (tmp_path / "x").exists()


def test_the_list_names_formats_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--list") == 0
    shown = capsys.readouterr().out
    for word in ("mm-graph", "mmrec", "recbole", "split_file", "encoders"):
        assert word in shown
