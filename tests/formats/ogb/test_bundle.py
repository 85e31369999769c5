from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ogb.linkproppred import LinkPropPredDataset
from ogb.nodeproppred import NodePropPredDataset

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.ogb import bundle_from_ogb
from mmgraph.splits.base import Split
from mmgraph.tasks.from_split import task_from_split
from mmgraph.testing import ogb_files
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.ogb_files import ASINS, AUTHORS, PAPERS, write_csv


def labels(split: Split) -> dict[Any, tuple[Any, str]]:
    return {row["id"]: (row["label"], row["split"]) for row in split.table.to_pylist()}


def edges(bundle: Bundle, relation: str = "edge") -> set[tuple[Any, Any]]:
    ends = bundle.graph.node_ids.values[bundle.graph.relations[relation].edge_index.numpy()]
    return set(zip(*ends.tolist(), strict=True))


def asked(split: Split) -> dict[str, set[tuple[Any, Any]]]:
    rows = split.table.to_pylist()
    return {p: {(r["source"], r["target"]) for r in rows if r["split"] == p} for p in {r["split"] for r in rows}}


def test_labels_and_split_of_nodes_by_their_own_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ogb_files.write_arxiv(tmp_path)
    bundle = bundle_from_ogb("ogbn-arxiv", tmp_path)
    assert capsys.readouterr().out == ""
    assert bundle.graph.node_ids.values.tolist() == list(PAPERS)  # the mapping is not in order of positions
    a, b, c, d, e, f = PAPERS
    assert edges(bundle) == {(b, a), (c, b), (d, a), (f, d)}
    assert labels(bundle.splits["official"]) == {
        a: (4, "train"),
        b: (0, "train"),
        c: (4, "train"),
        d: (39, "test"),
        e: (0, "valid"),
        f: (4, "test"),
    }
    assert isinstance(bundle.graph, MultimodalGraph)
    assert torch.equal(bundle.graph.features["features"].values, torch.from_numpy(ogb_files.features()))
    assert bundle.graph.columns is not None
    assert bundle.graph.columns.column_names == ["node_year"]
    assert bundle.splits["official"].settings == {"source": "ogb", "name": "ogbn-arxiv", "split": "time"}
    assert task_from_split("topic", bundle.splits["official"]).num_examples("test") == 2


def test_positions_where_there_is_no_mapping_or_none_is_wanted(tmp_path: Path) -> None:
    folder = ogb_files.write_arxiv(tmp_path)
    assert bundle_from_ogb("ogbn-arxiv", tmp_path, own_ids=False).graph.node_ids.values.tolist() == list(range(6))
    shutil.rmtree(folder / "mapping")
    bundle = bundle_from_ogb("ogbn-arxiv", folder)  # the folder itself will do
    assert labels(bundle.splits["official"])[3] == (39, "test")


def test_ids_that_only_look_like_numbers_stay_strings(tmp_path: Path) -> None:
    ogb_files.write_products(tmp_path)
    bundle = bundle_from_ogb("ogbn-products", tmp_path)
    assert bundle.graph.node_ids.values.tolist() == list(ASINS)
    assert bundle.graph.relations["edge"].symmetric
    assert bundle.graph.num_edges == 3
    folder = tmp_path / "ogbn_products"
    write_csv(folder / "mapping" / "nodeidx2asin.csv.gz", [[i, f"00{i}"] for i in range(6)], ["node idx", "asin"])
    assert bundle_from_ogb("ogbn-products", tmp_path).graph.node_ids.values.tolist() == [f"00{i}" for i in range(6)]


def test_several_node_types(tmp_path: Path) -> None:
    ogb_files.write_mag(tmp_path)
    bundle = bundle_from_ogb("ogbn-mag", tmp_path)
    assert edges(bundle, "writes") == {("author:50", "paper:70"), ("author:40", "paper:50")}
    assert labels(bundle.splits["official"]) == {
        "paper:50": (7, "valid"),
        "paper:60": (8, "test"),
        "paper:70": (7, "train"),
    }


def test_binary_files_and_absent_labels(tmp_path: Path) -> None:
    ogb_files.write_papers(tmp_path)
    bundle = bundle_from_ogb("ogbn-papers100M", tmp_path)
    assert labels(bundle.splits["official"]) == {1: (3, "valid"), 3: (8, "train"), 4: (3, "test")}
    assert edges(bundle) == {(1, 0), (2, 1)}


def test_many_binary_labels(tmp_path: Path) -> None:
    folder = tmp_path / "ogbn_proteins"
    ogb_files.write_raw(folder, [[0, 1]], node_species=[[3702]] * 6)
    values = np.zeros((6, 112), dtype=np.int64)
    values[0, [5, 111]] = values[3, 0] = 1
    write_csv(folder / "raw" / "node-label.csv.gz", values)
    for part, rows in {"train": [0, 1, 2], "valid": [3], "test": [4, 5]}.items():
        write_csv(folder / "split" / "species" / f"{part}.csv.gz", [[row] for row in rows])
    bundle = bundle_from_ogb("ogbn-proteins", tmp_path)
    found = labels(bundle.splits["official"])
    assert (found[0], found[3], found[4]) == (([5, 111], "train"), ([0], "valid"), ([], "test"))
    assert bundle.notes == ("ogbn-proteins: 112 binary labels; a node has the list of those that are 1",)


@pytest.mark.parametrize("options", [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}])
def test_citations_with_their_negatives(tmp_path: Path, options: dict[str, Any]) -> None:
    ogb_files.write_citation(tmp_path, **options)
    bundle = bundle_from_ogb("ogbl-citation2", tmp_path)
    a, b, c, d, e, f = PAPERS
    split = bundle.splits["official"]
    assert asked(split) == {
        "train": {(b, a), (c, b), (d, a), (e, c)},
        "valid": {(f, b), (e, a)},
        "test": {(f, c), (e, b)},
        "unused": {(c, e)},  # e cites c in training, so the pair is known
    }
    assert bundle.notes == (
        "ogbl-citation2: 1 of 3 test edges are not asked: their pair is listed before, in an earlier part or twice",
    )
    negatives = {(row["source"], row["target"]): row["negatives"] for row in split.table.to_pylist()}
    assert negatives[f, b] == [a, d, e]
    assert negatives[e, b] == [f, d, d]
    assert negatives[f, c] == [d, a, e]
    assert negatives[b, a] is None
    assert edges(bundle) == {(b, a), (c, b), (d, a), (e, c)}
    assert not bundle.graph.relations["edge"].symmetric
    task = task_from_split("cites", split)
    assert (task.num_examples("valid"), task.num_examples("test")) == (2, 2)


def test_collaborations_over_years(tmp_path: Path) -> None:
    ogb_files.write_collab(tmp_path)
    bundle = bundle_from_ogb("ogbl-collab", tmp_path)
    a, b, c, d, e, f = AUTHORS
    relation = bundle.graph.relations["edge"]
    assert relation.symmetric
    assert edges(bundle) == {(a, b), (c, d), (d, e)}
    at = {tuple(pair): i for i, pair in enumerate(relation.edge_index.T.tolist())}
    assert relation.attributes["edge_weight"].tolist()[at[0, 1]] == 3  # of both years
    assert relation.attributes["edge_year"].tolist()[at[0, 1]] == 2010  # the latest
    assert relation.attributes["edge_weight"].tolist()[at[2, 3]] == 5
    # (d, c) was known in training, (a, f) in validation: neither is asked again.
    assert asked(bundle.splits["official"]) == {
        "train": {(a, b), (c, d), (e, d)},
        "valid": {(f, a)},
        "test": {(b, c), (f, c)},
    }
    told = "\n".join(bundle.notes)
    assert "1 edges repeat a pair" in told
    assert "1 of 2 valid edges are not asked" in told
    assert "1 of 3 test edges are not asked" in told
    assert "3 negatives of valid are shared by all edges; they are left out" in told


def test_what_the_graph_should_not_know_is_taken_out(tmp_path: Path) -> None:
    folder = ogb_files.write_citation(tmp_path)
    ogb_files.write_raw(folder, [[1, 0], [5, 1], [2, 5]], node_year=np.zeros((6, 1), dtype=int))
    bundle = bundle_from_ogb("ogbl-citation2", tmp_path)
    assert edges(bundle) == {(PAPERS[1], PAPERS[0])}
    assert bundle.notes[0] == "ogbl-citation2: 2 edges of the graph tell what is held out and were taken out"


def test_objects_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked a question"))
    for name, write, kind in (
        ("ogbn-products", ogb_files.write_products, NodePropPredDataset),
        ("ogbl-collab", ogb_files.write_collab, LinkPropPredDataset),
    ):
        folder = write(tmp_path)
        (folder / "RELEASE_v1.txt").touch()
        (folder / "processed").mkdir()
        dataset = kind(name, root=str(tmp_path))
        one, other = bundle_from_ogb(dataset), bundle_from_ogb(name, tmp_path)
        assert_same_graph(one.graph, other.graph)
        assert one.splits["official"].digest == other.splits["official"].digest
        assert one.notes == other.notes


class Fake:
    def __getitem__(self, index: int) -> Any:
        return torch.ones(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda root: bundle_from_ogb("ogbn-arxive", root),
            "unknown OGB dataset 'ogbn-arxive'; choose from: ogbn-arxiv",
        ),
        (lambda root: bundle_from_ogb("ogbn-arxiv"), "bundle_from_ogb needs the folder of ogbn-arxiv"),
        (lambda root: bundle_from_ogb("ogbn-arxiv", root), "ogbn_arxiv/raw/edge.csv.gz: file not found"),
        (
            lambda root: bundle_from_ogb("ogbl-wikikg2", root),
            "ogbl-wikikg2: its split asks for heads and tails of typed",
        ),
        (lambda root: bundle_from_ogb(Fake()), "expected the name of an OGB dataset, a NodePropPredDataset or a"),
    ],
)
def test_no_dataset(tmp_path: Path, call: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        call(tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("file", "rows", "message"),
    [
        ("mapping/nodeidx2paperid.csv.gz", [[0, 7], [1, 8]], "expected each position 0..5 once, got 2 rows"),
        ("mapping/nodeidx2paperid.csv.gz", [[7]] * 6, "expected a column of positions and one of ids, got 1 column"),
        (
            "mapping/nodeidx2paperid.csv.gz",
            [[i, 7] for i in range(6)],
            "graph 'ogbn-arxiv', node ids: 1 duplicate ids: 7",
        ),
        (
            "raw/node-label.csv.gz",
            [[1]] * 5,
            "ogbn-arxiv, labels: expected numbers [6] or [6, num_labels], got int64 [5, 1]",
        ),
        ("raw/node-label.csv.gz", [["a"]] * 6, "node-label.csv.gz: expected numbers, got object"),
        ("split/time/test.csv.gz", [[0]], "ogbn-arxiv: 1 nodes are in train and in test, first: 9657784"),
        ("split/time/test.csv.gz", [[6]], "ogbn-arxiv, test: positions must lie in 0..5, got 6"),
        ("split/time/test.csv.gz", None, "split/time/test.csv.gz: file not found"),
        ("raw/node_year.csv.gz", None, "raw: not all files of ogbn-arxiv are there: "),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, file: str, rows: Any, message: str) -> None:
    folder = ogb_files.write_arxiv(tmp_path)
    if rows is None:
        (folder / file).unlink()
    else:
        write_csv(folder / file, rows)
    with pytest.raises(InputError) as error:
        bundle_from_ogb("ogbn-arxiv", tmp_path)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


ENDS = {"source_node": [5], "target_node": [1]}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (ENDS, "ogbl-citation2, valid: expected target_node_neg [1, num_negatives], got nothing"),
        (ENDS | {"target_node_neg": [[1], [2]]}, "expected target_node_neg [1, num_negatives], got [2, 1]"),
        (ENDS | {"target_node_neg": [[6]]}, "valid, target_node_neg: positions must lie in 0..5, got 6..6"),
        (
            {"source_node": [1, 2], "target_node": [3]},
            "expected source_node and target_node of one length, got [2] and [1]",
        ),
        ({"source_node": [9], "target_node": [3]}, "ogbl-citation2, valid: positions must lie in 0..5, got 3..9"),
        ({"edge": [1, 2]}, "ogbl-citation2, valid: expected edge [num_edges, 2], got [2]"),
        ({"edge": [[0.5, 1]]}, "ogbl-citation2, valid: expected positions of nodes, got float64"),
        ({"pairs": [1]}, "ogbl-citation2, valid: expected edge, or source_node and target_node; found 'pairs'"),
        ({"head": [1]}, "ogbl-citation2: its split asks for heads and tails of typed facts"),
    ],
)
def test_splits_of_edges_that_do_not_fit(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    folder = ogb_files.write_citation(tmp_path) / "split" / "time"
    ogb_files.write_link_parts(folder, {"valid": arrays})
    with pytest.raises(InputError) as error:
        bundle_from_ogb("ogbl-citation2", tmp_path)
    assert message in str(error.value)
