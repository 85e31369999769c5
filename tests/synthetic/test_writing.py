from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmgraph.data.store import load_graph, save_graph
from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.sealed import sealed_json
from mmgraph.synthetic import planted_edges, user_item_model, writing
from mmgraph.synthetic.planted import PlantedGraph, PlantedTruth, planted_graph
from mmgraph.synthetic.planted_config import PlantedConfig, benchmark_config
from mmgraph.synthetic.tasks import planted_tasks, user_item_tasks
from mmgraph.synthetic.user_item import UserItemGraph, UserItemTruth, user_item_graph
from mmgraph.synthetic.user_item_config import ItemModality, UserItemConfig
from mmgraph.synthetic.writing import load_truth, write_synthetic_graph
from mmgraph.tasks.base import load_tasks
from mmgraph.testing.asserts import assert_same_graph

PLANTED = PlantedConfig(num_nodes=300, holdout=0.2, degree_exponent=2.6)
TASTES = UserItemConfig(num_users=60, num_items=40, ratings=True, modalities=(ItemModality("text", missing=0.2),))


@pytest.fixture
def without_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the best scores, which take most of the time of a small graph."""
    monkeypatch.setattr(writing, "_planted_best", lambda truth: {})


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): file_digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.usefixtures("without_scores")
@pytest.mark.parametrize("ids", ["integers", "strings"])
@pytest.mark.parametrize("config", [PLANTED, TASTES], ids=["planted", "user-item"])
def test_streamed_and_small_version_are_byte_for_byte_equal(
    tmp_path: Path, config: PlantedConfig | UserItemConfig, ids: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Several blocks of edges, of nodes and of labels, so that the seams are tested too.
    monkeypatch.setattr(planted_edges, "_BLOCK_DRAWS", 200)
    monkeypatch.setattr(user_item_model, "_SCORES_AT_ONCE", 400)
    monkeypatch.setattr("mmgraph.synthetic.filling.NODE_ROWS", 70)
    monkeypatch.setattr(writing, "LABEL_ROWS", 110)
    config = replace(config, ids=ids)
    folder = write_synthetic_graph(tmp_path / "streamed", config, seed=5)
    made: PlantedGraph | UserItemGraph
    if isinstance(config, PlantedConfig):
        made = planted_graph(config, seed=5)
        tasks = planted_tasks(made)
        assert pq.read_table(folder / "labels.parquet").equals(made.labels)
        held_out = made.held_out
    else:
        made = user_item_graph(config, seed=5)
        tasks = user_item_tasks(made.held_out)
        assert not (folder / "labels.parquet").exists()
        held_out = made.held_out.rename_columns({"user": "source", "item": "target"})
        held_out = held_out.add_column(2, "relation", pa.array(["interacted"] * held_out.num_rows))
    save_graph(made.graph, tmp_path / "whole")
    assert contents(folder / "encoded") == contents(tmp_path / "whole")
    assert_same_graph(load_graph(folder), made.graph)
    assert pq.read_table(folder / "held_out.parquet").equals(held_out)
    assert {name: task.digest for name, task in load_tasks(folder).items()} == {t.name: t.digest for t in tasks}


@pytest.mark.usefixtures("without_scores")
def test_several_blocks_of_nodes_and_features(tmp_path: Path) -> None:
    config = PlantedConfig(num_nodes=40_000, modalities=(PlantedConfig().modalities[0],), holdout=0.01)
    graph = planted_graph(config).graph
    assert_same_graph(load_graph(write_synthetic_graph(tmp_path / "g", config)), graph)


@pytest.mark.usefixtures("without_scores")
def test_same_call_same_folder_and_other_seed_other_folder(tmp_path: Path) -> None:
    one, two, other = (
        contents(write_synthetic_graph(tmp_path / name, PLANTED, seed)) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one == two
    assert not set(other.values()) & {one["encoded/relation_0_similar.npy"], one["labels.parquet"]}


def test_the_truth_comes_back(tmp_path: Path) -> None:
    planted = load_truth(write_synthetic_graph(tmp_path / "a", PLANTED, seed=2))
    made = planted_graph(PLANTED, seed=2).truth
    assert isinstance(planted, PlantedTruth)
    assert torch.equal(planted.community, made.community)
    best = json.loads((tmp_path / "a" / "synthetic.json").read_text())["best"]
    assert best["accuracy"]["chance"] == {"value": 1 / 12, "standard_error": 0.0}
    assert best["accuracy"]["text"]["value"] == made.best_accuracy(modalities=["text"], relations=()).value
    assert best["accuracy"]["all"]["value"] == made.best_accuracy().value
    assert best["links"]["similar"]["mrr"]["value"] == made.best_links("similar", filtered=True).mrr.value
    tastes = load_truth(write_synthetic_graph(tmp_path / "b", TASTES))
    assert isinstance(tastes, UserItemTruth)
    best = json.loads((tmp_path / "b" / "synthetic.json").read_text())["best"]
    assert best["recommendation"]["expected"] == tastes.expected().expected


@pytest.mark.usefixtures("without_scores")
def test_nothing_held_out_leaves_no_file_and_no_task(tmp_path: Path) -> None:
    folder = write_synthetic_graph(tmp_path / "a", replace(PLANTED, holdout=0.0))
    assert not (folder / "held_out.parquet").exists()
    assert list(load_tasks(folder)) == ["colour", "community", "shape"]
    folder = write_synthetic_graph(tmp_path / "b", replace(TASTES, holdout=False))
    assert load_tasks(folder) == {}
    assert json.loads((folder / "synthetic.json").read_text())["best"] == {}


@pytest.mark.usefixtures("without_scores")
def test_files_may_be_overwritten_only_if_they_are_synthetic(tmp_path: Path) -> None:
    folder = write_synthetic_graph(tmp_path / "g", PLANTED)
    with pytest.raises(InputError, match="already exists"):
        write_synthetic_graph(folder, PLANTED, 1)
    before = contents(folder)
    write_synthetic_graph(folder, PLANTED, 1, overwrite=True)
    assert contents(folder) != before
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").touch()
    with pytest.raises(InputError, match="thesis: refusing to overwrite a folder that holds no synthetic graph$"):
        write_synthetic_graph(tmp_path / "thesis", PLANTED, overwrite=True)


@pytest.mark.usefixtures("without_scores")
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_call_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = contents(write_synthetic_graph(tmp_path / "g", PLANTED))

    def stop(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(writing, "link_tasks", stop)
    with pytest.raises(type(error)):
        write_synthetic_graph(tmp_path / "g", PLANTED, 1, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["g"]
    assert contents(tmp_path / "g") == before


@pytest.mark.slow
def test_a_killed_process_leaves_no_graph_and_the_same_call_makes_it(tmp_path: Path) -> None:
    code = (
        "import sys; from mmgraph.synthetic.planted_config import benchmark_config as c;"
        "from mmgraph.synthetic.writing import write_synthetic_graph as w; w(sys.argv[1], c(2_000_000, 20_000_000))"
    )
    target = tmp_path / "g"
    process = subprocess.Popen([sys.executable, "-c", code, str(target)], env=os.environ)
    try:
        end = time.monotonic() + 120
        while not any(path.stat().st_size > 2**20 for path in tmp_path.rglob("*.npy")):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end, "it wrote nothing"
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not target.exists()
    assert all(path.name.startswith(".g.") for path in tmp_path.iterdir())
    write_synthetic_graph(target, benchmark_config(1000, 5000))
    assert load_graph(target).num_nodes == 1000


Damage = Callable[[dict[str, Any]], None]


@pytest.mark.usefixtures("without_scores")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda h: h.update(version=9), "expected format 'mmgraph.synthetic' version 1"),
        (lambda h: h.update(kind="plantd"), "synthetic.json: 'plantd'; choose from: planted, user-item"),
        (lambda h: h.pop("seed"), "and an integer as seed, got .* and None"),
        (lambda h: h["config"].update(num_nodes=0), "num_nodes must be at least 1, got 0"),
        (lambda h: h["config"].update(colour=1), "unknown key 'colour'"),
    ],
)
def test_a_damaged_header_is_told(tmp_path: Path, damage: Damage, message: str) -> None:
    path = write_synthetic_graph(tmp_path / "g", replace(PLANTED, num_nodes=50, relations=())) / "synthetic.json"
    header = json.loads(path.read_text())
    damage(header)
    path.write_text(sealed_json(header))
    with pytest.raises(InputError, match=message):
        load_truth(tmp_path / "g")


def test_a_folder_without_header_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file not found"):
        load_truth(tmp_path)


@pytest.mark.usefixtures("without_scores")
def test_memory_holds_some_bytes_per_node_and_none_per_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "CHECKED_AT_ONCE", 2**16)  # pieces must be small beside the whole

    def peak(nodes: int) -> int:
        tracemalloc.start()
        try:
            write_synthetic_graph(tmp_path / str(nodes), replace(benchmark_config(nodes, 10 * nodes), modalities=()))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(110_000)  # compiles what large graphs need, which takes memory once
    few, many = peak(10_000), peak(100_000)
    written = (tmp_path / "100000" / "encoded" / "relation_0_similar.npy").stat().st_size
    assert written > 12_000_000
    assert many - few < 60 * 90_000 < written / 2  # some bytes per node, none per edge


@pytest.mark.usefixtures("without_scores")
def test_features_are_rounded_once(tmp_path: Path) -> None:
    folder = write_synthetic_graph(tmp_path / "g", replace(PLANTED, dtype="float16"))
    assert np.load(folder / "encoded" / "features_0_text_values.npy").dtype == np.float16


@pytest.mark.usefixtures("without_scores")
@pytest.mark.parametrize("config", [PLANTED, TASTES], ids=["planted", "tastes"])
def test_bytes_with_scales_are_those_of_the_graph_in_memory(
    tmp_path: Path, config: PlantedConfig | UserItemConfig
) -> None:
    config = replace(config, dtype="int8")
    folder = write_synthetic_graph(tmp_path / "streamed", config, seed=5)
    made = planted_graph(config, 5) if isinstance(config, PlantedConfig) else user_item_graph(config, 5)
    save_graph(made.graph, tmp_path / "whole")
    assert contents(folder / "encoded") == contents(tmp_path / "whole")
    assert np.load(folder / "encoded" / "features_0_text_values.npy").dtype == np.int8
    assert (folder / "encoded" / "features_0_text_scale.npy").exists()
