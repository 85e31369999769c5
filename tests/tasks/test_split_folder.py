from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.data.store import load_graph, save_graph
from mmgraph.errors import InputError
from mmgraph.formats.tables import read_tables, write_tables
from mmgraph.splits.base import Split, load_splits, save_splits
from mmgraph.splits.edges import split_edges_by_relation, split_edges_random
from mmgraph.splits.interactions import split_cold_items, split_leave_last_out
from mmgraph.splits.message import message_graph
from mmgraph.splits.nodes import split_nodes_random
from mmgraph.tasks.base import Task, load_tasks, save_tasks
from mmgraph.tasks.from_split import task_from_split
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.tasks.split_folder import split_folder
from mmgraph.testing.datasets import make_dataset
from mmgraph.testing.multigraphs import make_multigraph, shuffled

HALF = {"train": 0.5, "valid": 0.2, "test": 0.3}
METHODS: dict[str, Any] = {
    "edges": partial(split_edges_random, relations=["knows", "made"], shares=HALF),
    "all edges": partial(split_edges_random, shares=HALF),
    "relation": lambda graph: split_edges_by_relation(graph, {"likes": "test", "knows": "valid"}),
    "last": lambda graph: split_leave_last_out(graph, "likes"),
    "items": lambda graph: split_cold_items(graph, "made", shares=HALF),
}


def triples(graph: RawGraph | MultimodalGraph) -> list[tuple[Any, Any, str]]:
    ids = graph.node_ids.values.tolist()
    return sorted((ids[a], ids[b], name) for name, r in graph.relations.items() for a, b in r.edge_index.T.tolist())


@pytest.mark.parametrize("strings", [True, False])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_new_folder_holds_what_training_may_see(tmp_path: Path, method: str, strings: bool) -> None:
    graph = make_multigraph(3, num_nodes=30, num_edges=120, string_ids=strings)
    for name, raw in (("one", graph), ("two", shuffled(graph))):
        write_tables(raw, tmp_path / name)
        done = split_folder(tmp_path / name, tmp_path / f"{name}-out", "asked", METHODS[method])
    out = tmp_path / "one-out"
    split, rest = load_splits(out)["asked"], read_tables(out)
    assert split.digest == done.split.digest == METHODS[method](read_tables(tmp_path / "one")).digest
    assert rest.name == "multi"
    assert triples(rest) == triples(message_graph(read_tables(tmp_path / "one"), split))
    assert triples(message_graph(rest, split)) == triples(rest)  # nothing is left to take out
    assert {name: (r.symmetric, r.reverse) for name, r in rest.relations.items()} == {
        name: (r.symmetric, r.reverse) for name, r in sorted(graph.relations.items())
    }
    assert load_tasks(out)["asked"].digest == task_from_split("asked", split).digest
    sides = ("source", "target") if split.kind == "edge" else ("user", "item")
    asked = {frozenset(row[side] for side in sides) for row in split.part("valid", "test").to_pylist()}
    assert asked
    assert not asked & {frozenset(row[:2]) for row in triples(rest)}
    # The order of rows in the input changes no byte.
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert len(files) == 7
    for file in files:
        assert (tmp_path / "two-out" / file).read_bytes() == (out / file).read_bytes(), file
    before = {name: (old, new) for name, (old, new) in done.edges.items()}
    assert sum(new for _, new in before.values()) == len(triples(rest))


def chain(folder: Path) -> Path:
    """Users u0, u1 and items a..f, with tasks and splits that ask for something else than the test does."""
    ids = ["u0", "u1", *"abcdef"]
    edges = {
        "likes": ("user", "item", [("u0", "a"), ("u0", "b"), ("u1", "c"), ("u1", "d")]),
        "near": ("item", "item", [("a", "b"), ("b", "c"), ("d", "e"), ("e", "f")]),
    }
    raw = RawGraph(
        name="chain",
        node_ids=NodeIds(ids),
        node_types=("item", "user"),
        node_type=torch.tensor([1, 1, 0, 0, 0, 0, 0, 0]),
        relations={
            name: Relation(
                torch.tensor([[ids.index(a), ids.index(b)] for a, b in pairs]).T.contiguous(), source, target
            )
            for name, (source, target, pairs) in edges.items()
        },
        content={"text": [None, None, *"abcdef"]},
    )
    write_tables(raw, folder)

    def links(name: str, source: str, target: str) -> Task:
        rows = {"source": [source], "target": [target], "relation": ["near"], "split": ["test"]}
        return LinkPredictionTask(name, pa.table(rows))

    fixed = pa.table({"source": ["a"], "target": ["d"], "relation": ["near"], "split": ["test"], "negatives": [["e"]]})
    likes = pa.table({"user": ["u1"], "item": ["f"], "split": ["test"]})
    labels = pa.table({"id": ["a", "b"], "label": ["x", "y"], "split": ["train", "test"]})
    queries = pa.table({"query": ["hidden/q.png", "hidden/r.png"], "id": ["a", "b"], "split": ["valid", "test"]})
    tasks = [
        links("of_a", "a", "f"),
        links("of_f", "f", "c"),
        LinkPredictionTask("fixed", fixed),
        RecommendationTask("recommend", "likes", "user", "item", likes),
        NodeClassificationTask("kind", labels),
        NodeRetrievalTask("pictures", "image", queries, folder),
    ]
    save_tasks(tasks, folder)
    (folder / "hidden").mkdir()
    (folder / "hidden" / "q.png").write_bytes(b"q")
    near = pa.table({"source": ["a", "a"], "target": ["b", "f"], "relation": ["near"] * 2, "split": ["train", "test"]})
    save_splits({"of_a": Split("edge", near, "official")}, folder)
    node = pa.table({"id": ["a", "b"], "label": ["x", "y"], "split": ["train", "test"]})
    save_splits({"kind": Split("node", node, "official")}, folder)
    (folder / "README.md").write_text("licence")
    (folder / "statistics.json").write_text("{}")
    pq.write_table(labels, folder / "labels.parquet")
    return folder


def held(*rows: tuple[str, str, str, str]) -> Any:
    table = pa.table(
        {name: [row[i] for row in rows] for i, name in enumerate(("source", "target", "relation", "split"))}
    )
    return lambda graph: Split("edge", table, "official")


@pytest.mark.parametrize(
    ("row", "left_out"),
    [
        # d - e: nobody asks about d or e, and the split of a does not list it.
        (("d", "e", "near", "test"), {}),
        # e - f: of_a asks at both ends of a - f, of_f about f; their filter loses e.
        (
            ("e", "f", "near", "test"),
            {f"tasks/{name}": "1 pairs that it takes as known are now held out" for name in ("of_a", "of_f")},
        ),
        # a - b is a training row of the split of a.
        (
            ("a", "b", "near", "valid"),
            {
                "tasks/of_a": "1 pairs that it takes as known are now held out",
                "splits/of_a": "1 of its pairs are now held out",
            },
        ),
        # u1 - d: a user that is asked, an item; links rank items only.
        (("u1", "d", "likes", "test"), {"tasks/recommend": "1 pairs that it takes as known are now held out"}),
        (("u0", "b", "likes", "test"), {}),  # u0 is not asked
    ],
)
def test_what_is_still_true_comes_along(tmp_path: Path, row: Any, left_out: dict[str, str]) -> None:
    folder = chain(tmp_path / "chain")
    done = split_folder(folder, tmp_path / "out", "new", held(row))
    assert done.left_out == left_out
    tasks, splits = load_tasks(folder), load_splits(folder)
    kept = {f"tasks/{name}" for name in tasks} | {f"splits/{name}" for name in splits}
    assert set(done.kept) == kept - set(left_out)
    new_tasks, new_splits = load_tasks(tmp_path / "out"), load_splits(tmp_path / "out")
    assert {f"tasks/{name}" for name in new_tasks} | {f"splits/{name}" for name in new_splits} == {
        *done.kept,
        "tasks/new",
        "splits/new",
    }
    assert all(new_tasks[name].digest == task.digest for name, task in tasks.items() if name in new_tasks)
    assert done.hidden_before == ("tasks/fixed", "tasks/of_a", "tasks/of_f", "tasks/recommend")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "README.md",
        "edges.parquet",
        "graph.json",
        "hidden",
        "labels.parquet",
        "nodes.parquet",
        "splits",
        "tasks",
    }
    assert (tmp_path / "out" / "hidden" / "q.png").read_bytes() == b"q"
    assert not (tmp_path / "out" / "hidden" / "r.png").exists()  # it was missing before


def test_a_split_of_nodes_changes_no_edge(tmp_path: Path) -> None:
    folder = chain(tmp_path / "chain")
    nodes = pa.table({"id": list("abcdef"), "label": list("xyxyxy")})
    done = split_folder(folder, tmp_path / "out", "letters", lambda graph: split_nodes_random(nodes))
    assert not done.left_out
    assert len(done.kept) == 8
    assert (tmp_path / "out" / "edges.parquet").read_bytes() == (folder / "edges.parquet").read_bytes()
    assert all(old == new for old, new in done.edges.values())


def test_kept_tasks_give_the_same_numbers(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "toy")
    raw = read_tables(folder)
    done = split_folder(folder, tmp_path / "out", "cold", lambda graph: split_cold_items(graph, "likes"))
    assert "tasks/links" in done.kept
    random = np.random.default_rng(0)
    values = torch.from_numpy(random.normal(size=(raw.num_nodes, 8))).float()
    features = {"text": ModalityFeatures(FeatureSpec("text", "fake", 8), values, torch.ones(len(values), dtype=bool))}
    from mmgraph.inference.table import EmbeddingTable

    metrics = []
    for place in (folder, tmp_path / "out"):
        tables = read_tables(place)
        graph = MultimodalGraph(
            tables.name, tables.node_ids, tables.node_types, tables.node_type, tables.relations, features
        )
        table = EmbeddingTable.for_graph(graph, values, model="m")
        metrics.append(load_tasks(place)["links"].evaluate(table, graph))
    assert metrics[0] == metrics[1]


def test_an_encoded_graph_without_tables(tmp_path: Path) -> None:
    raw = make_multigraph(1, num_nodes=20, num_edges=60)
    spec = FeatureSpec("text", "fake", 4)
    features = {"text": ModalityFeatures(spec, torch.randn(20, 4), torch.arange(20) % 3 > 0)}
    graph = MultimodalGraph(raw.name, raw.node_ids, raw.node_types, raw.node_type, raw.relations, features)
    save_graph(graph, tmp_path / "in" / "encoded")
    done = split_folder(tmp_path / "in", tmp_path / "out", "links", METHODS["edges"])
    assert done.is_encoded
    rest = load_graph(tmp_path / "out" / "encoded")
    assert triples(rest) == triples(message_graph(graph, done.split))
    assert torch.equal(rest.features["text"].centred(), graph.features["text"].centred())
    assert load_splits(tmp_path / "out")["links"].digest == done.split.digest
    split_folder(tmp_path / "in", tmp_path / "out", "links", METHODS["edges"], overwrite=True)


def test_pictures_are_copied_or_named(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "toy", num_nodes=20)
    count = len(list((folder / "images").iterdir()))
    make = partial(split_edges_random, relations=["similar"])
    for place, copy in (("copy", True), ("reference", False)):
        split_folder(folder, tmp_path / place, "more", make, copy_files=copy)
        images = [path for path in read_tables(tmp_path / place).content["image"] if path is not None]
        assert len(images) == count
        assert all(path.is_file() for path in images)
        assert (tmp_path / place / "images").exists() == copy


@pytest.mark.parametrize(
    ("out", "name", "options", "message"),
    [
        ("chain", "new", {"overwrite": True}, "chain: expected another folder than that of the graph"),
        ("taken", "new", {}, "taken already exists; give another folder or ask to overwrite it"),
        ("taken", "new", {"overwrite": True}, "taken: refusing to overwrite a folder that also holds 'mine.txt'"),
        ("out", "kind", {}, "chain: already has a task 'kind'; give the new split another name"),
        ("out", "a b", {}, "task name 'a b': expected letters, digits"),
    ],
)
def test_bad_input(tmp_path: Path, out: str, name: str, options: dict[str, Any], message: str) -> None:
    folder = chain(tmp_path / "chain")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as error:
        split_folder(folder, tmp_path / out, name, held(("d", "e", "near", "test")), **options)
    assert message in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_a_graph(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        with pytest.raises(InputError, match=f"{name}: expected"):
            split_folder(tmp_path / name, tmp_path / "out", "links", METHODS["edges"])


def test_what_fails_late_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = chain(tmp_path / "chain")

    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmgraph.tasks.split_folder.save_tasks", fail)
    with pytest.raises(OSError, match="No space"):
        split_folder(folder, tmp_path / "out", "new", held(("d", "e", "near", "test")))
    assert [path.name for path in tmp_path.iterdir()] == ["chain"]


def test_a_relation_that_loses_all_edges_keeps_its_types(tmp_path: Path) -> None:
    graph = make_multigraph(3, num_nodes=30, num_edges=120)
    write_tables(replace(graph), tmp_path / "in")
    done = split_folder(tmp_path / "in", tmp_path / "out", "likes", METHODS["relation"])
    rest = read_tables(tmp_path / "out")
    assert rest.relations["likes"].num_edges == 0
    assert (rest.relations["likes"].source_type, rest.relations["likes"].target_type) == ("person", "work")
    # The times are gone with the edges, and are not missed.
    assert "time" in done.split.table.column_names
    assert triples(message_graph(rest, done.split)) == triples(rest)
