from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import load_graph, save_graph
from mmgraph.engines.base import Engine
from mmgraph.engines.local import LocalEngine
from mmgraph.errors import InputError
from mmgraph.inference import sweep as module
from mmgraph.inference.embed import embed
from mmgraph.inference.sweep import needs_sweep, sweep
from mmgraph.nn.build import build_encoder
from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.testing.engines import CopyingEngine
from mmgraph.testing.factories import make_graph, randomise

S = TypeVar("S")
R = TypeVar("R")
MAX_ROWS = 60
"""Small, so that the graphs below have more than seven blocks."""


def make_encoder(graph: MultimodalGraph, conv: str = "sage", *, num_layers: int = 2) -> GraphEncoder:
    torch.manual_seed(1)
    gnn = GNNConfig(conv=conv, num_layers=num_layers, heads=2)  # type: ignore[arg-type]
    config = EncoderConfig(dim=8, moe=MoEConfig(num_experts=2, top_k=1), gnn=gnn)
    return randomise(GraphEncoder(config, [features.spec for features in graph.features.values()]))


@pytest.mark.parametrize("conv", ["sage", "gat"])
@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_equals_embed_and_ranges_change_no_bit(tmp_path: Path, conv: str, num_layers: int) -> None:
    graph = make_graph(80, 250)
    encoder = make_encoder(graph, conv, num_layers=num_layers)
    expected = embed(encoder, graph)
    found = {n: sweep(encoder, graph, tmp_path / f"{n}", num_ranges=n, max_rows=MAX_ROWS) for n in (1, 2, 7)}
    assert found[1].model == expected.model
    assert found[1].node_ids == expected.node_ids
    torch.testing.assert_close(found[1].vectors, expected.vectors, rtol=1e-5, atol=1e-5)
    assert found[2].vectors.equal(found[1].vectors)
    assert found[7].vectors.equal(found[1].vectors)
    assert [p.name for p in (tmp_path / "7").glob("level-*")] == [f"level-{num_layers}.npy"]


@pytest.mark.parametrize("level", ["blend", "hybrid", "all"])
def test_other_levels_are_those_of_embed(tmp_path: Path, level: str) -> None:
    graph = make_graph(50, 150)
    encoder = make_encoder(graph)
    expected = embed(encoder, graph, level=level)  # type: ignore[arg-type]
    found = sweep(encoder, graph, tmp_path / "levels", num_ranges=3, max_rows=MAX_ROWS, level=level)  # type: ignore[arg-type]
    assert found.model == expected.model
    torch.testing.assert_close(found.vectors, expected.vectors, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "graph",
    [make_graph(9, 0), make_graph(1, 0), replace(make_graph(12, 20), features={}), make_graph(12, 20, missing=1.0)],
    ids=["no edges", "one node", "no modality", "nothing present"],
)
def test_corner_cases(tmp_path: Path, graph: MultimodalGraph) -> None:
    encoder = make_encoder(graph)
    found = sweep(encoder, graph, tmp_path / "levels", max_rows=5)
    torch.testing.assert_close(found.vectors, embed(encoder, graph).vectors, rtol=1e-5, atol=1e-5)


class Stopped(Exception):
    pass


def stop_after(monkeypatch: pytest.MonkeyPatch, blocks: int | None) -> list[module.Range]:
    """Makes a sweep fail at a block; returns the blocks that are computed."""
    original, computed = module._builder, []

    def builder(*args: object) -> object:
        inner = original(*args)()  # type: ignore[arg-type]

        def block_of(block: module.Range) -> torch.Tensor:
            if len(computed) == blocks:
                raise Stopped
            computed.append(block)
            return inner(block)

        return lambda: block_of

    monkeypatch.setattr(module, "_builder", builder)
    return computed


@pytest.mark.parametrize("num_ranges", [4, 5])
def test_goes_on_after_the_last_whole_range(tmp_path: Path, num_ranges: int) -> None:
    graph = make_graph(80, 250)
    encoder = make_encoder(graph)
    expected = sweep(encoder, graph, tmp_path / "whole", max_rows=MAX_ROWS).vectors
    with pytest.MonkeyPatch.context() as patch:
        computed = stop_after(patch, None)
        sweep(encoder, graph, tmp_path / "count", max_rows=MAX_ROWS)
        total = len(computed)
    for kept in range(1, total, 3):
        folder = tmp_path / f"{kept}"
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, kept)
            with pytest.raises(Stopped):
                sweep(encoder, graph, folder, num_ranges=4, max_rows=MAX_ROWS)
        with open(folder / "journal.jsonl", "ab") as file:
            file.write(b'{"level": 0, "sta')  # what a kill may leave
        with pytest.MonkeyPatch.context() as patch:
            computed = stop_after(patch, None)
            found = sweep(encoder, graph, folder, num_ranges=num_ranges, max_rows=MAX_ROWS)
        assert found.vectors.equal(expected)
        if num_ranges == 4:  # lost is at most the range that was being computed
            assert len(computed) <= total - kept + -(-total // 3 // 4)
    with pytest.MonkeyPatch.context() as patch:
        computed = stop_after(patch, None)
        assert sweep(encoder, graph, folder, num_ranges=num_ranges, max_rows=MAX_ROWS).vectors.equal(expected)
        assert computed == []  # a finished sweep is opened


@pytest.mark.parametrize("level", ["last", "all"])
def test_a_sign_encoder_has_the_bytes_of_embed(tmp_path: Path, level: str) -> None:
    graph = make_graph(80, 250)
    encoder = randomise(build_encoder(EncoderConfig(dim=16), [graph]))
    expected = embed(encoder, graph, max_rows=9, level=level)  # type: ignore[arg-type]
    for engine in (LocalEngine(), CopyingEngine()):
        found = sweep(encoder, graph, tmp_path / engine.name, max_rows=9, level=level, engine=engine)  # type: ignore[arg-type]
        assert found.model == expected.model
        assert found.vectors.equal(expected.vectors)


class Failing:
    """Rows of blocks up to `stop`; a class of a module, so that engines can send it."""

    def __init__(self, build: Callable[[], Callable[[module.Range], torch.Tensor]], stop: int) -> None:
        self.inner, self.stop = build(), stop

    def __call__(self, block: module.Range) -> torch.Tensor:
        if block[1] > self.stop:
            raise InputError(f"no rows from {self.stop}")
        return self.inner(block)


class Breaking(Engine):
    """Another engine, of which a task fails in level `at`."""

    name = "breaking"

    def __init__(self, inner: Engine, at: int, stop: int) -> None:
        self.inner, self.at, self.stop, self.level = inner, at, stop, -1

    def map(self, build: Callable[[], Callable[[S], R]], shards: Iterable[S]) -> Iterator[R]:
        self.level += 1
        broken = partial(Failing, build, self.stop) if self.level == self.at else build  # type: ignore[arg-type]
        yield from self.inner.map(broken, shards)  # type: ignore[arg-type, misc]


def notes_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines() if line]


@pytest.mark.parametrize("conv", ["sign", "sage"])
@pytest.mark.parametrize("kinds", [(LocalEngine, CopyingEngine), (CopyingEngine, LocalEngine)])
def test_one_engine_goes_on_where_the_other_was_stopped(
    tmp_path: Path, conv: str, kinds: tuple[type[Engine], ...]
) -> None:
    graph, max_rows = make_graph(80, 250), 9 if conv == "sign" else MAX_ROWS
    encoder = make_encoder(graph) if conv == "sage" else randomise(build_encoder(EncoderConfig(dim=16), [graph]))
    whole, first, second = CopyingEngine(), kinds[0](), kinds[1]()
    expected = sweep(encoder, graph, tmp_path / "whole", num_ranges=99, max_rows=max_rows, engine=whole).vectors
    arguments = {"num_ranges": 99, "max_rows": max_rows}
    broken = Breaking(first, at=0 if conv == "sign" else 1, stop=50)
    with pytest.raises(InputError, match="no rows from 50"):
        sweep(encoder, graph, tmp_path / "levels", **arguments, engine=broken)  # type: ignore[arg-type]
    kept = notes_of(tmp_path / "levels")
    assert {note["level"] for note in kept} == ({0} if conv == "sign" else {0, 1})
    found = sweep(encoder, graph, tmp_path / "levels", **arguments, engine=second)  # type: ignore[arg-type]
    assert found.vectors.equal(expected)
    notes = notes_of(tmp_path / "levels")
    assert notes[: len(kept)] == kept
    assert len({(note["level"], note["start"]) for note in notes}) == len(notes) == whole.num_shards
    if isinstance(second, CopyingEngine):
        assert second.num_shards == whole.num_shards - len(kept)


def test_a_changed_range_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = make_graph(80, 250)
    encoder = make_encoder(graph)
    expected = sweep(encoder, graph, tmp_path / "levels", max_rows=MAX_ROWS).vectors.clone()
    path = tmp_path / "levels" / "level-2.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 64
    path.write_bytes(content)
    computed = stop_after(monkeypatch, None)
    assert sweep(encoder, graph, tmp_path / "levels", max_rows=MAX_ROWS).vectors.equal(expected)
    assert computed


def test_another_model_or_graph_starts_anew(tmp_path: Path) -> None:
    graph, other = make_graph(40, 120), make_graph(40, 120, seed=5)
    one, two = make_encoder(graph), randomise(make_encoder(graph), seed=3)
    for encoder, item in ((one, graph), (two, graph), (two, other)):
        found = sweep(encoder, item, tmp_path / "levels", max_rows=MAX_ROWS)
        torch.testing.assert_close(found.vectors, embed(encoder, item).vectors, rtol=1e-5, atol=1e-5)


def test_bad_arguments(tmp_path: Path) -> None:
    graph = make_graph(10, 20)
    encoder = make_encoder(graph)
    with pytest.raises(InputError, match="at least 1, got 0"):
        sweep(encoder, graph, tmp_path / "levels", max_rows=0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("irreplaceable")
    with pytest.raises(InputError, match="found other files"):
        sweep(encoder, graph, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_full_disk_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = make_graph(10, 20)
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="the levels need"):
        sweep(make_encoder(graph), graph, tmp_path / "levels")


def test_only_large_graphs_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = make_graph(10, 20)
    assert not needs_sweep(make_encoder(graph), graph)
    monkeypatch.setattr(module, "IN_MEMORY", 2 * 10 * 8 * 4 + 2 * graph.num_edges * 32 - 1)
    assert needs_sweep(make_encoder(graph), graph)
    assert not needs_sweep(build_encoder(EncoderConfig(dim=8), [graph]), graph)


KILLED = """
import os, signal, sys
from pathlib import Path
from mmgraph.data.store import load_graph
from mmgraph.inference import sweep as module
from mmgraph.nn.saving import load_encoder
root, blocks = Path(sys.argv[1]), int(sys.argv[2])
original = module._builder
def builder(*args):
    inner = original(*args)()
    def block_of(block):
        global blocks
        blocks -= 1
        if blocks < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(block)
    return lambda: block_of
module._builder = builder
module.sweep(load_encoder(root / "model"), load_graph(root / "graph"), root / "levels", num_ranges=5, max_rows=60)
"""


@pytest.mark.slow
def test_sigkill(tmp_path: Path) -> None:
    from mmgraph.nn.saving import save_encoder

    save_graph(make_graph(80, 250), tmp_path / "graph")
    graph = load_graph(tmp_path / "graph")
    encoder = make_encoder(graph).eval()
    save_encoder(encoder, tmp_path / "model")
    expected = sweep(encoder, graph, tmp_path / "whole", max_rows=MAX_ROWS).vectors
    codes = []
    for blocks in (7, 11, 1000):
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(blocks)]
        codes.append(subprocess.run(command, check=False, capture_output=True).returncode)
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    found = sweep(encoder, graph, tmp_path / "levels", num_ranges=5, max_rows=MAX_ROWS)
    assert found.vectors.equal(expected)
    assert len(notes_of(tmp_path / "levels")) == 15  # no range of the three levels twice
