from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmgraph.audit import audit_dataset
from mmgraph.datasets import build_dataset
from mmgraph.datasets.base import BuildOptions, is_built
from mmgraph.datasets.openmoji.build import build_openmoji
from mmgraph.datasets.openmoji.source import read_emoji
from mmgraph.files import file_digest
from mmgraph.formats.tables import read_tables
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask

PARTS = {"1F33E", "1F373", "1F393", "1F4BB", "1F692", "1F680", "1F468", "1F469", "1F9D1"}


@pytest.fixture(scope="module")
def some_ids() -> list[str]:
    """Farmers, cooks and so on without and with one skin tone, a few singles, flags, and OpenMoji's own."""
    chosen = []
    for item in read_emoji():
        parts = item.key.split("-")
        people = set(parts) <= PARTS | {"200D", "1F3FB"} and "1F3FB" in (*parts[1:2], "1F3FB")
        single = item.key in {f"{code:X}" for code in range(0x1F600, 0x1F618)}
        if people or single or parts[0] in {"1F1E9", "E001", "E002"} or item.key in {"1F1E6", "1F1EA"}:
            chosen.append(item.id)
    return chosen


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def build(folder: Path, cache: Path, ids: list[str], *, seed: int = 0, holdout: bool = True) -> Path:
    folder.mkdir()
    build_openmoji(folder, BuildOptions(name="openmoji", seed=seed, holdout=holdout, cache=cache), only=ids)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cache: Path, some_ids: list[str]) -> Path:
    return build(tmp_path_factory.mktemp("data") / "openmoji", cache, some_ids)


def test_nodes_and_tasks(folder: Path, some_ids: list[str]) -> None:
    raw, tasks = read_tables(folder), load_tasks(folder)
    assert sorted(raw.node_ids.values.tolist()) == sorted(some_ids)
    text = dict(zip(raw.node_ids.values.tolist(), raw.content["text"], strict=True))
    assert text["1F600"] == "grinning face"
    assert text["E001"] is None
    assert {name: type(task) for name, task in tasks.items()} == {
        "category": NodeClassificationTask,
        "foreign_names": NodeRetrievalTask,
        "image_queries": NodeRetrievalTask,
        "links": LinkPredictionTask,
        "name_queries": NodeRetrievalTask,
        "paraphrases": NodeRetrievalTask,
    }
    assert raw.relations["gender_pair"].symmetric
    assert not raw.relations["component_of"].symmetric


def test_pictures_can_be_opened(folder: Path) -> None:
    paths = [path for path in read_tables(folder).content["image"] if path is not None]
    assert len(paths) > 50
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (128, 128)
            assert image.getextrema() != ((0, 0),) * 4


def test_no_held_out_pair_is_in_the_graph(folder: Path) -> None:
    links = load_tasks(folder)["links"]
    assert isinstance(links, LinkPredictionTask)
    held_out = {frozenset((row["source"], row["target"])) for row in links.edges.to_pylist()}
    edges = pq.read_table(folder / "edges.parquet").to_pylist()
    in_graph = {frozenset((row["source"], row["target"])) for row in edges}
    assert held_out
    assert in_graph
    assert not held_out & in_graph


def test_a_picture_that_is_asked_for_is_a_file_but_no_content(folder: Path) -> None:
    task = load_tasks(folder)["image_queries"]
    assert isinstance(task, NodeRetrievalTask)
    nodes = {row["id"]: row["image"] for row in pq.read_table(folder / "nodes.parquet").to_pylist()}
    rows = task.queries.to_pylist()
    assert rows
    for row in rows:
        assert (folder / row["query"]).is_file()
        assert nodes[row["id"]] is None
        assert row["query"] not in nodes.values()
    assert sum(image is None for image in nodes.values()) == len(rows)


def test_no_table_of_the_graph_knows_the_category(folder: Path) -> None:
    nodes = pq.read_table(folder / "nodes.parquet")
    assert nodes.column_names == ["id", "type", "text", "image", "character", "variants"]
    labels = set(pq.read_table(folder / "tasks" / "category" / "labels.parquet")["label"].to_pylist())
    assert "People & Body" in labels
    values = {value for column in nodes.columns for value in column.to_pylist()}
    assert not labels & values


def test_equal_pictures_have_their_category_in_one_part(folder: Path) -> None:
    parts: dict[str, list[str]] = defaultdict(list)
    for row in pq.read_table(folder / "tasks" / "category" / "labels.parquet").to_pylist():
        parts[file_digest(folder / "images" / f"{row['id']}.png")].append(row["split"])
    assert any(len(found) > 1 for found in parts.values())
    assert all(len(set(found)) == 1 for found in parts.values())


def test_the_audit_finds_nothing(folder: Path) -> None:
    assert [str(finding) for finding in audit_dataset(folder).findings] == []


def test_without_holdout_nothing_is_missing(folder: Path, tmp_path: Path, cache: Path, some_ids: list[str]) -> None:
    whole = build(tmp_path / "whole", cache, some_ids, holdout=False)
    assert sorted(load_tasks(whole)) == ["category", "foreign_names", "name_queries", "paraphrases"]
    held_out = pq.read_table(folder / "tasks" / "links" / "edges.parquet").num_rows
    rows = [pq.read_table(path / "edges.parquet").num_rows for path in (folder, whole)]
    assert rows[0] + held_out == rows[1]
    assert all(path is not None for path in read_tables(whole).content["image"])


def test_the_same_seed_gives_the_same_bytes(
    folder: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, some_ids: list[str]
) -> None:
    # Another cache: the pictures are drawn again, and must be equal too.
    again = build(tmp_path / "again", tmp_path_factory.mktemp("cold"), some_ids)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [(folder / file).read_bytes() for file in files] == [(again / file).read_bytes() for file in files]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "holdout"), [(0, True), (0, False), (1, True)])
def test_the_whole_graph_has_the_counts_of_its_card(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, seed: int, holdout: bool
) -> None:
    cache = tmp_path_factory.getbasetemp() / "whole"
    out = build_dataset("openmoji", tmp_path / "out", seed=seed, holdout=holdout, cache=cache)  # or it would raise
    assert is_built("openmoji", out, seed=seed, holdout=holdout)
