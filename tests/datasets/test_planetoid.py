from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgraph.audit import audit_dataset
from mmgraph.data.store import find_graph, load_graph
from mmgraph.datasets import build_dataset
from mmgraph.datasets.manifest import read_manifest
from mmgraph.datasets.planetoid import PINNED, PUBLISHED, expected_counts, file_names, read_planetoid
from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.splits.base import load_splits
from mmgraph.tasks.base import load_tasks
from mmgraph.testing.planetoid_files import NUM_ALL, NUM_TEST, words, write_planetoid


def labels(split: Any) -> dict[int, tuple[int | None, str]]:
    return {row["id"]: (row["label"], row["split"]) for row in split.table.to_pylist()}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planetoid(tmp_path_factory.mktemp("raw") / "Cora" / "raw")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, raw: Path) -> Path:
    return build_dataset("cora", tmp_path_factory.mktemp("built") / "cora", local=[raw.parents[1]])


def test_every_paper_has_its_own_words_topic_and_part(built: Path) -> None:
    graph = load_graph(find_graph(built))
    total = NUM_ALL + NUM_TEST
    ids = graph.node_ids.values.tolist()
    assert ids == list(range(total))
    assert np.array_equal(graph.features["features"].values.numpy(), words(ids))
    found = labels(load_splits(built)["labels"])
    assert {paper: topic for paper, (topic, _) in found.items()} == {i: i % 3 for i in range(total)}
    parts = {part: {i for i, (_, p) in found.items() if p == part} for part in ("train", "valid", "test", "unused")}
    assert parts == {
        "train": set(range(6)),
        "valid": set(range(6, 506)),
        "test": set(range(NUM_ALL, total)),
        "unused": set(range(506, NUM_ALL)),
    }


def test_citations_are_there_once(built: Path) -> None:
    relation = load_graph(find_graph(built)).relations["edge"]
    assert relation.symmetric
    pairs = {tuple(sorted(pair)) for pair in relation.edge_index.T.tolist()}
    assert pairs == {(i, i + 1) for i in range(NUM_ALL + NUM_TEST - 1)}
    assert relation.num_edges == len(pairs)


def test_the_folder(built: Path, raw: Path) -> None:
    assert {path.name for path in built.iterdir()} == {"README.md", "dataset.json", "encoded", "splits", "tasks"}
    manifest = read_manifest(built)
    assert manifest["sources"] == {path.name: file_digest(path) for path in raw.iterdir()}
    assert manifest["counts"]["tasks"] == {"labels": {"train": 6, "valid": 500, "test": 10, "labels": 3}}
    assert manifest["facts"]["published"] == PUBLISHED["cora"]
    assert manifest["facts"]["differs"]["nodes"] == {"published": 2708, "found": 530}
    assert load_tasks(built)["labels"].num_examples("test") == NUM_TEST
    assert [str(finding) for finding in audit_dataset(built).findings] == []


def test_other_counts_than_published_are_told(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_dataset("cora", tmp_path / "out", local=[raw])
    told = capsys.readouterr().err
    assert "cora: built from other data than the card describes (ind.cora.allx, " in told
    assert "counts differ: nodes.node 530 (card: 2,708), edges.edge 529 (card: 5,278)" in told
    assert len(told.splitlines()) == 1
    build_dataset("pubmed", tmp_path / "pubmed", local=[write_planetoid(tmp_path / "raw", "pubmed")])
    told = capsys.readouterr().err
    assert "pubmed: not the published dataset: nodes 530 (published: 19,717), edges 529 (published: 44,324)" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("name", sorted(PINNED))
def test_the_card_states_what_is_compared(name: str) -> None:
    card = (Path(__file__).parents[2] / "datasets" / "planetoid" / "README.md").read_text(encoding="utf-8")
    assert set(PINNED[name]) == set(file_names(name))
    assert {key: count for key, count in expected_counts(name).items() if f"{count:,}" not in card} == {}


def test_papers_that_the_test_index_skips(tmp_path: Path) -> None:
    bundle = read_planetoid(write_planetoid(tmp_path, "citeseer", skip=NUM_ALL + 4), "citeseer")
    found = labels(bundle.splits["official"])
    assert NUM_ALL + 4 not in found
    assert found[NUM_ALL + 5] == ((NUM_ALL + 5) % 3, "test")
    features = bundle.graph.features["features"]
    assert np.flatnonzero(~features.present.numpy()).tolist() == [NUM_ALL + 4]
    assert np.array_equal(features.values[NUM_ALL + 5].numpy(), words([NUM_ALL + 5])[0])
    assert bundle.notes[-1] == "citeseer: 1 papers that the test index skips have neither words nor a label"


def test_where_the_network_is_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError("[Errno -3] no name\nresolution")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(InputError) as error:
        build_dataset("pubmed", tmp_path / "out", cache=tmp_path / "cache")
    assert "ind.pubmed.x cannot be fetched ([Errno -3] no name resolution); put the eight files" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_files_are_not_trusted(tmp_path: Path) -> None:
    raw = write_planetoid(tmp_path / "raw")
    (raw / "ind.cora.graph").write_bytes(pickle.dumps({0: Harmful(tmp_path / "was-run")}, protocol=2))
    with pytest.raises(InputError, match=r"ind\.cora\.graph: expected arrays, .* only, but it asks for "):
        build_dataset("cora", tmp_path / "out", local=[raw])
    assert not (tmp_path / "was-run").exists()


def write(raw: Path, part: str, item: Any) -> None:
    (raw / f"ind.cora.{part}").write_bytes(pickle.dumps(item, protocol=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: (raw / "ind.cora.ty").unlink(), "raw: missing files 'ind.cora.ty'"),
        (
            lambda raw: (raw / "ind.cora.graph").unlink(),
            "expected one folder with ind.cora.x and seven more files, found 0",
        ),
        (lambda raw: write(raw, "y", np.eye(3)), "expected x and y with one row per paper, got [6, 4] and [3, 3]"),
        (lambda raw: write(raw, "graph", [1]), "expected a dictionary of neighbours in graph, got list"),
        (lambda raw: write(raw, "graph", {0: [99999]}), "target positions must lie in 0..529, got 99999..99999"),
        (
            lambda raw: (raw / "ind.cora.test.index").write_text("520\n521\n"),
            "expected 10 distinct positions from 520 on in test.index, got 2 from 520 on",
        ),
        (lambda raw: (raw / "ind.cora.test.index").write_text("a\n"), "expected one position of a paper in each line"),
        (
            lambda raw: [write(raw, "allx", np.ones((9, 4))), write(raw, "ally", np.ones((9, 3)))],
            "expected at least 6 + 500 papers in allx, got 9",
        ),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, change: Any, message: str) -> None:
    raw = write_planetoid(tmp_path / "raw")
    change(raw)
    with pytest.raises(InputError) as error:
        build_dataset("cora", tmp_path / "out", local=[raw])
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
