from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from mmgraph.data.store import save_graph
from mmgraph.datasets.counts import count_folder
from mmgraph.files import read_json, write_json
from mmgraph.formats.tables import read_tables
from mmgraph.testing.datasets import make_dataset
from mmgraph.testing.factories import make_graph


def test_counts_are_those_of_the_graph_and_its_tasks(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "toy")
    counts, raw = count_folder(folder), read_tables(folder)
    assert sum(counts["nodes"].values()) == raw.num_nodes
    assert set(counts["nodes"]) == set(raw.node_types)
    assert counts["edges"] == {name: relation.num_edges for name, relation in sorted(raw.relations.items())}
    assert counts["modalities"] == {
        name: sum(item is not None for item in items) for name, items in raw.content.items()
    }
    for name, task in counts["tasks"].items():
        (path,) = (folder / "tasks" / name).glob("*.parquet")
        rows = pq.read_table(path)
        splits = rows["split"].to_pylist()
        for split in set(splits):
            assert task.get(f"rows_{split}", task.get(split)) == splits.count(split)
        assert ("labels" in task) == ("label" in rows.column_names)


def test_a_relation_without_edges_is_counted(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "toy")
    settings = read_json(folder / "graph.json")
    write_json(folder / "graph.json", settings | {"empty_relations": {"knows": ["a", "b"]}})
    assert count_folder(folder)["edges"]["knows"] == 0


def test_an_encoded_graph_is_counted_by_its_features(tmp_path: Path) -> None:
    graph = make_graph()
    save_graph(graph, tmp_path / "encoded")
    counts = count_folder(tmp_path)
    assert sum(counts["nodes"].values()) == graph.num_nodes
    assert counts["edges"] == {name: relation.num_edges for name, relation in graph.relations.items()}
    assert counts["modalities"] == {name: int(found.present.sum()) for name, found in graph.features.items()}
    assert counts["tasks"] == {}
