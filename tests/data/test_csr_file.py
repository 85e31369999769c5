from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data import csr_file
from mmgraph.data.csr import CSR
from mmgraph.data.csr_file import build_csr, graph_csr, open_csr
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.ppr import PPRTable
from mmgraph.data.relation import Relation
from mmgraph.data.sampling import NeighborSampler, PPRSampler
from mmgraph.data.store import load_graph, save_graph
from mmgraph.errors import InputError
from mmgraph.files import _temporary_name
from mmgraph.seeding import generator
from mmgraph.testing.factories import make_graph


def random_graph(num_nodes: int, sizes: list[int], seed: int) -> MultimodalGraph:
    """Relations of these sizes with loops and repeated edges; every other one is symmetric."""
    random = generator(seed)
    relations = {
        f"r{number}": Relation(
            torch.randint(num_nodes, (2, size), generator=random), "n", "n", symmetric=number % 2 == 1
        )
        for number, size in enumerate(sizes)
    }
    kinds = torch.zeros(num_nodes, dtype=torch.int64)
    return MultimodalGraph("g", NodeIds(np.arange(num_nodes)), ("n",), kinds, relations)


def in_memory(graph: MultimodalGraph, relations: list[str] | None = None) -> CSR:
    edge_index, edge_type = graph.message_edges(relations)
    return CSR.from_edges(edge_index, graph.num_nodes, edge_type)


def assert_same(found: CSR, expected: CSR) -> None:
    assert found.indptr.equal(expected.indptr)
    assert found.indices.long().equal(expected.indices)
    assert found.edge_type.long().equal(expected.edge_type)


@settings(max_examples=20, deadline=None)
@given(
    num_nodes=st.integers(1, 60),
    sizes=st.lists(st.integers(0, 200), min_size=0, max_size=3),
    memory=st.sampled_from([1, 300, 5000, 2**20]),
    seed=st.integers(0, 1000),
)
def test_rows_on_disk_are_those_in_memory_whatever_the_limit(
    tmp_path_factory: pytest.TempPathFactory, num_nodes: int, sizes: list[int], memory: int, seed: int
) -> None:
    graph = random_graph(num_nodes, sizes, seed)
    folder = tmp_path_factory.mktemp("csr") / "rows"
    csr = build_csr(graph, folder, memory=memory)
    assert (csr.indptr.dtype, csr.indices.dtype, csr.edge_type.dtype) == (torch.int64, torch.int32, torch.int8)
    assert_same(csr, in_memory(graph))
    assert csr.digest() == in_memory(graph).digest()


def test_edges_are_read_in_pieces_and_hubs_are_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csr_file, "_AT_ONCE", 7)
    graph = random_graph(5, [100, 300], 0)  # some 160 messages per node: beyond the short rows of `sort_rows`
    assert_same(build_csr(graph, tmp_path / "rows", memory=500), in_memory(graph))


def test_chosen_relations_keep_their_numbers(tmp_path: Path) -> None:
    graph = random_graph(20, [30, 40, 50], 1)
    csr = graph_csr(graph, relations=["r2", "r1"], cache=tmp_path, messages_in_memory=0)
    assert_same(csr, in_memory(graph, ["r2", "r1"]))
    assert set(csr.edge_type.tolist()) == {2, 4, 5}
    with pytest.raises(InputError, match="relation"):
        graph_csr(graph, relations=["r3"], cache=tmp_path, messages_in_memory=0)


def test_ranges_fit_into_the_limit_and_cover_all_nodes() -> None:
    indptr = np.array([0, 10, 10, 40, 41, 1000, 1001])
    ranges = csr_file._ranges(indptr, 5, 300)
    assert ranges == [(0, 3), (3, 4), (4, 5), (5, 6)]  # node 4 alone is over the limit


def test_many_relations_need_wider_types(tmp_path: Path) -> None:
    graph = random_graph(4, [2] * 70, 0)
    csr = build_csr(graph, tmp_path / "rows")
    assert csr.edge_type.dtype == torch.int16
    assert_same(csr, in_memory(graph))


def test_few_messages_stay_in_memory_and_many_are_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(20, [30], 0)
    assert graph_csr(graph, cache=tmp_path, messages_in_memory=60).indices.dtype == torch.int64
    assert list(tmp_path.iterdir()) == []
    first = graph_csr(graph, cache=tmp_path, messages_in_memory=59)
    assert first.indices.dtype == torch.int32
    monkeypatch.setattr(csr_file, "build_csr", None)  # a second call must not build
    assert_same(graph_csr(graph, cache=tmp_path, messages_in_memory=59), first)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["indptr", "indices", "edge_type"])
def test_a_damaged_file_is_named_and_built_again(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    graph = random_graph(20, [30], 0)
    graph_csr(graph, cache=tmp_path, messages_in_memory=0)
    (folder,) = tmp_path.iterdir()
    path = folder / f"{name}.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}\.npy: the file was changed"):
        open_csr(folder)
    with caplog.at_level(logging.WARNING):
        assert_same(graph_csr(graph, cache=tmp_path, messages_in_memory=0), in_memory(graph))
    assert f"{name}.npy" in caplog.text
    path.unlink()
    assert_same(graph_csr(graph, cache=tmp_path, messages_in_memory=0), in_memory(graph))


def test_what_killed_builds_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()  # its number is free now
    ours = _temporary_name(tmp_path / "csr-0123")
    dead = ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{process.pid}-"))
    for folder in (ours, dead):
        folder.mkdir()
        (folder / "indices.npy").write_bytes(b"half")
    graph_csr(random_graph(20, [30], 0), cache=tmp_path, messages_in_memory=0)
    assert ours.exists(), "another build of this process is running"
    assert not dead.exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_other_edges_have_another_folder(tmp_path: Path) -> None:
    for graph in (random_graph(20, [30], 0), random_graph(20, [30], 1), random_graph(21, [30], 0)):
        assert_same(graph_csr(graph, cache=tmp_path, messages_in_memory=0), in_memory(graph))
    assert len(list(tmp_path.iterdir())) == 3


def test_samplers_draw_the_same_from_both(tmp_path: Path) -> None:
    save_graph(make_graph(num_nodes=200, num_edges=800), tmp_path / "graph")
    graph = load_graph(tmp_path / "graph", mmap="read")
    seeds = torch.tensor([5, 0, 77])
    plain = [NeighborSampler(graph, (4, 3)), PPRSampler(graph)]
    csr = build_csr(graph, tmp_path / "rows")
    for sampler in plain:
        expected = sampler.sample(seeds, generator(3))
        sampler.csr = csr
        if isinstance(sampler, PPRSampler):
            sampler.table = PPRTable(csr, sampler.table.config)
        found = sampler.sample(seeds, generator(3))
        assert found.node_index.equal(expected.node_index)
        assert found.edge_index.equal(expected.edge_index)
        assert found.edge_type.equal(expected.edge_type)
        for name, item in found.features.items():
            assert item.values.equal(expected.features[name].values)
