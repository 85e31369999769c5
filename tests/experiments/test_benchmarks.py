"""The benchmarks: their arithmetic and reference forms, and that the comparisons run at tiny sizes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.sparse.csgraph
import torch

from mmgraph.data.batch import GraphBatch
from mmgraph.testing.factories import make_graph

FOLDER = Path(__file__).parents[2] / "experiments" / "benchmarks"
Load = Callable[[str], ModuleType]


def test_ratios_are_medians_over_rounds(load: Load) -> None:
    timing = load("timing")
    wall = {"ours": [1.0, 2.0, 10.0], "other": [2.0, 6.0, 10.0]}
    times = timing.Times(wall, {name: [1.0] * 3 for name in wall})
    # The ratios of the rounds are 2, 3 and 1; that of the medians would be 3.
    line = timing.timed_row("a", {"nodes": 1}, times, "other", at_least=2.5)
    assert (line["ours"], line["reference"], line["ratio"], line["met"]) == (2.0, 6.0, 2.0, False)
    line = timing.timed_row("a", {"nodes": 1}, times, "other", at_most=0.5)
    assert (line["ratio"], line["met"], line["target"]) == (0.5, True, "<= 0.5")
    line = timing.timed_row("a", {"nodes": 1}, times, "other", at_most=0.4, judged=False)
    assert (line["met"], line["target"], line["ratio_cpu"]) == (None, "", 1.0)


def test_a_process_does_not_inherit_the_memory_of_its_parent(load: Load) -> None:
    run_process = load("processes").run_process
    used = run_process([sys.executable, "-c", "import time; print('hello'); time.sleep(0.1)"])
    assert used.output == "hello\n"
    assert 0 < used.peak_gib < 0.1  # this process has torch
    with pytest.raises(SystemExit, match="failed"):
        run_process([sys.executable, "-c", "raise SystemExit(3)"])


def test_published_distances_are_those_of_scipy(load: Load) -> None:
    graph = make_graph(12, 10)
    edge_index = graph.message_edges()[0]
    pairs, hops = load("published").all_distances(edge_index, 12)
    weights = np.ones(edge_index.size(1))
    matrix = scipy.sparse.coo_matrix((weights, edge_index.numpy()), shape=(12, 12)).tocsr()
    expected = scipy.sparse.csgraph.shortest_path(matrix, unweighted=True)
    np.fill_diagonal(expected, np.inf)
    assert np.isinf(expected[~np.eye(12, dtype=bool)]).any()  # the graph has several components
    found = np.full((12, 12), np.inf)
    found[pairs[0], pairs[1]] = hops
    assert np.array_equal(found, expected)


def test_published_mixture_by_hand(load: Load) -> None:
    mixture = load("published").DenseMixture(4, num_experts=3, top_k=2)
    x = torch.randn(5, 4)
    gate = mixture.gate(x).softmax(dim=1)
    expected = []
    for row, weights in zip(x, gate, strict=True):
        best = weights.argsort(descending=True)[:2].tolist()
        parts = [weights[k] * mixture.experts[k](row.unsqueeze(0))[0] for k in best]
        expected.append(sum(parts) / weights[best].sum())
    torch.testing.assert_close(mixture(x), torch.stack(expected))


def test_published_form_learns_with_every_part(load: Load) -> None:
    graph = make_graph(30, 60, (("text", 8), ("image", 8)))
    torch.manual_seed(0)
    model = load("published").PublishedUniGraph2({graph.name: {"text": 8, "image": 8}}, 8, mask=0.5, max_pairs=50)
    batch = GraphBatch.whole(graph)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        losses.append(float(loss.detach()))
        if len(losses) == 1:
            assert {name for name, p in model.named_parameters() if p.grad is None} == set()
        optimizer.step()
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_features_are_averaged_over_what_a_node_has(load: Load) -> None:
    graph = make_graph(20, 30, (("text", 4), ("image", 4)))
    found = load("published").mean_of_modalities(GraphBatch.whole(graph))
    text, image = graph.features["text"], graph.features["image"]
    both, neither = text.present & image.present, ~text.present & ~image.present
    assert bool(both.any())
    assert bool(neither.any())
    unit = {
        name: torch.nn.functional.normalize(item.values - item.mean, dim=1) for name, item in graph.features.items()
    }
    torch.testing.assert_close(found[both], (unit["text"] + unit["image"])[both] / 2)
    only = text.present & ~image.present
    torch.testing.assert_close(found[only], unit["text"][only])
    assert not found[neither].any()


def test_steps_are_timed_on_the_same_nodes(load: Load, tmp_path: Path) -> None:
    step = load("step")
    lines = step.measure(64, 16, 1)
    assert [line["name"] for line in lines] == [
        f"step on {kind}, {ours} against {other}"
        for kind, ours in (("subgraphs", "mmgraph"), ("subgraphs", "unigraph2"), ("one subgraph", "unigraph2"))
        for other in ("GraphMAE2 in PyG", "UniGraph2 as published")
    ]
    assert {line["size"]["nodes"] for line in lines} == {64}
    assert all(line["ours"] > 0 and line["met"] is None for line in lines)


def test_full_inference_equals_both_forms_of_pyg(load: Load) -> None:
    inference = load("inference")
    inference.BATCH = 64  # several batches
    lines = inference.measure(150, 600, 16, 1)
    assert len(lines) == 6
    assert all(line["largest_difference"] < 1e-5 for line in lines)


def test_run_prints_and_draws_what_is_there(load: Load, tmp_path: Path, monkeypatch, capsys) -> None:
    timing, run = load("timing"), load("run")
    rows = [
        timing.row(
            f"x over {key}", {key: size, "other": 1}, ours=size, reference=2 * size, unit="s", ratio=2.0, ratio_cpu=1.5
        )
        for key in ("edges", "users")
        for size in (10, 100)
    ]
    timing.write_rows(tmp_path / "csr.json", rows)
    assert "processor" in json.loads((tmp_path / "csr.json").read_text())["machine"]
    plot = tmp_path / "plot" / "scaling.png"
    monkeypatch.setattr(sys, "argv", ["run.py", "--no-run", "--results", str(tmp_path), "--plot", str(plot)])
    run.main()
    assert capsys.readouterr().out.count("x over ") == 4
    assert plot.stat().st_size > 1000


def test_every_benchmark_is_in_the_table_or_on_request(load: Load) -> None:
    run = load("run")
    scripts = {path.stem for path in FOLDER.glob("*.py") if 'if __name__ == "__main__"' in path.read_text()}
    assert scripts == {*run.SCRIPTS, *run.LARGE, "run"}
    assert set(run.FULL) <= set(run.SCRIPTS)
