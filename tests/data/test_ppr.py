from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from mmgraph.data import ppr
from mmgraph.data.csr import CSR
from mmgraph.data.ppr import PPRConfig, PPRTable, ppr_top_k
from mmgraph.errors import InputError
from mmgraph.seeding import generator
from mmgraph.testing.factories import make_graph


def symmetric(edge_index: Tensor, num_nodes: int) -> CSR:
    return CSR.from_edges(torch.cat([edge_index, edge_index.flip(0)], dim=1), num_nodes)


def uniform_graph(num_nodes: int, num_edges: int) -> CSR:
    return symmetric(torch.randint(num_nodes, (2, num_edges), generator=generator(0, "uniform")), num_nodes)


def user_item_graph(num_users: int, num_items: int, num_edges: int) -> CSR:
    """Bipartite with popular items and busy users: hubs on both sides, and many equal scores."""
    g = generator(0, "items")
    ends = [
        torch.multinomial(torch.arange(1, size + 1) ** -0.8, num_edges, replacement=True, generator=g) + offset
        for size, offset in ((num_users, 0), (num_items, num_users))
    ]
    return symmetric(torch.stack(ends).unique(dim=1), num_users + num_items)


def community_graph(num_nodes: int, num_edges: int) -> CSR:
    g = generator(0, "communities")
    source = torch.randint(num_nodes, (num_edges,), generator=g)
    near = source // 100 * 100 + torch.randint(100, (num_edges,), generator=g)
    far = torch.randint(num_nodes, (num_edges,), generator=g)
    target = torch.where(torch.rand(num_edges, generator=g) < 0.8, near, far)
    return symmetric(torch.stack([source, target]), num_nodes)


GRAPHS = {
    "uniform": lambda: uniform_graph(2000, 17000),
    "sparse": lambda: uniform_graph(2000, 3000),
    "communities": lambda: community_graph(2000, 10000),
    "user-item": lambda: user_item_graph(700, 1300, 60000),
}


def power_iteration(csr: CSR, seeds: Tensor, alpha: float) -> Tensor:
    """Slow and literal: `ppr = sum over t of alpha (1 - alpha)^t P^t e_seed`, `[num_seeds, num_nodes]`, float64."""
    degree = csr.degrees.numpy().astype(np.float64)
    target = np.repeat(np.arange(csr.num_nodes), csr.degrees.numpy())
    step = csr_matrix((1 / degree[target], (csr.indices.numpy(), target)), shape=(csr.num_nodes, csr.num_nodes))
    walker = np.eye(csr.num_nodes)[:, seeds.numpy()]
    total = np.zeros_like(walker)
    while walker.max() > 1e-12:
        total += alpha * walker
        walker = (1 - alpha) * (step @ walker)
    return torch.from_numpy(total.T.copy())


@pytest.mark.parametrize("kind", list(GRAPHS))
def test_recall_of_the_exact_top_32_at_the_defaults(kind: str) -> None:
    csr = GRAPHS[kind]()
    seeds = torch.randperm(csr.num_nodes, generator=generator(1))[:80]
    exact = power_iteration(csr, seeds, PPRConfig().alpha)
    index, _ = ppr_top_k(csr, seeds, PPRConfig())
    reachable = (exact > 0).sum(dim=1).clamp(max=32)
    last = exact.sort(dim=1, descending=True).values.gather(1, reachable[:, None] - 1)
    # Scores that are equal to the 32nd count as found: which of them is taken does not matter.
    hits = (exact.gather(1, index.clamp(min=0)) >= last - 1e-12) & (index >= 0)
    recall = hits[:, :32].sum(dim=1) / reachable
    assert float(recall.mean()) >= 0.95


@pytest.mark.parametrize("kind", list(GRAPHS))
@pytest.mark.parametrize("epsilon", [1e-4, 1e-5])
def test_error_is_at_most_epsilon_times_degree(kind: str, epsilon: float) -> None:
    csr = GRAPHS[kind]()
    seeds = torch.tensor([0, 3, 711, 1999])
    index, score = ppr_top_k(csr, seeds, PPRConfig(epsilon=epsilon, top_k=csr.num_nodes))
    dense = torch.zeros(len(seeds), csr.num_nodes + 1).scatter_(1, index % (csr.num_nodes + 1), score)[:, :-1]
    error = (dense.double() - power_iteration(csr, seeds, 0.2)).abs()
    assert bool((error <= epsilon * csr.degrees + 1e-7).all())


def test_a_small_epsilon_gives_the_exact_values() -> None:
    csr = community_graph(100, 300)
    seeds = torch.arange(100)
    index, score = ppr_top_k(csr, seeds, PPRConfig(alpha=0.35, epsilon=1e-12, top_k=100))
    exact = power_iteration(csr, seeds, 0.35)
    found = index >= 0
    expected = torch.where(found, exact.gather(1, index.clamp(min=0)), 0.0)
    torch.testing.assert_close(score.double(), expected, atol=1e-7, rtol=1e-5)
    assert bool((score[:, 1:-1] >= score[:, 2:]).all())


def test_the_seed_comes_first_even_where_a_neighbour_scores_higher() -> None:
    csr = symmetric(torch.tensor([[0, 0, 0, 0], [1, 2, 3, 4]]), 5)  # a star: the hub outweighs a leaf that seldom stops
    index, score = ppr_top_k(csr, torch.arange(5), PPRConfig(alpha=0.1))
    assert index[:, 0].equal(torch.arange(5))
    assert bool((score[1:, 1] > score[1:, 0]).all())
    assert bool((index[1:, 1] == 0).all())
    assert all(sorted(row) == list(range(5)) for row in index.tolist())


def test_no_edges_one_node_and_isolated_nodes() -> None:
    none = torch.empty(2, 0, dtype=torch.int64)
    for num_nodes in (1, 3):
        index, score = ppr_top_k(CSR.from_edges(none, num_nodes), torch.arange(num_nodes), PPRConfig(alpha=0.3))
        assert index[:, 0].equal(torch.arange(num_nodes))
        assert bool((index[:, 1:] == -1).all())
        assert bool((score[:, 1:] == 0).all())
    index, _ = ppr_top_k(symmetric(torch.tensor([[0], [1]]), 4), torch.tensor([3, 1]), PPRConfig(top_k=3))
    assert index.tolist() == [[3, -1, -1], [1, 0, -1]]
    assert ppr_top_k(uniform_graph(10, 20), torch.empty(0, dtype=torch.int64), PPRConfig())[0].shape == (0, 10)


def test_walks_end_at_nodes_that_receive_nothing() -> None:
    csr = CSR.from_edges(torch.tensor([[1, 2], [0, 0]]), 3)  # messages 1 -> 0 and 2 -> 0: a walk from 0 goes to 1 or 2
    index, _ = ppr_top_k(csr, torch.tensor([0, 1]), PPRConfig(top_k=2))
    assert index[0, 0] == 0
    assert index[0, 1] in (1, 2)
    assert index[1].tolist() == [1, -1]


def test_top_1_is_the_seed() -> None:
    assert ppr_top_k(uniform_graph(50, 200), torch.arange(50), PPRConfig(top_k=1))[0].flatten().equal(torch.arange(50))


def test_equal_scores_do_not_favour_the_first_nodes() -> None:
    num_leaves = 400
    star = symmetric(torch.stack([torch.zeros(num_leaves, dtype=torch.int64), torch.arange(1, num_leaves + 1)]), 401)
    index, score = ppr_top_k(star, torch.tensor([0]), PPRConfig(top_k=101))
    assert score[0, 1:].unique().numel() == 1
    assert 150 < float(index[0, 1:].float().mean()) < 250  # the mean of all leaves is 200; the first 100 would give 50


def test_a_result_depends_on_its_seed_alone() -> None:
    csr = uniform_graph(3000, 9000)
    threads = torch.get_num_threads()
    together, _ = ppr_top_k(csr, torch.arange(1500), PPRConfig())
    try:
        torch.set_num_threads(3)
        backwards, _ = ppr_top_k(csr, torch.arange(1500).flip(0), PPRConfig())
    finally:
        torch.set_num_threads(threads)
    alone, _ = ppr_top_k(csr, torch.tensor([1234]), PPRConfig())
    assert together.equal(backwards.flip(0))
    assert together[1234].equal(alone[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha must lie between 0 and 1, got 0.0"),
        ({"alpha": 1.0}, "got 1.0"),
        ({"alpha": float("nan")}, "got nan"),
        ({"epsilon": 0.0}, "epsilon must be positive, got 0.0"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PPRConfig(**options)


# The table and its cache.

CONFIG = PPRConfig(top_k=16)


@pytest.fixture
def csr() -> CSR:
    return uniform_graph(100, 300)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """First seed of every shard that was really computed."""
    calls: list[int] = []

    def counting(csr: CSR, seeds: Tensor, config: PPRConfig) -> tuple[Tensor, Tensor]:
        calls.append(int(seeds[0]))
        return ppr_top_k(csr, seeds, config)

    monkeypatch.setattr(ppr, "ppr_top_k", counting)
    return calls


def table(csr: CSR, cache: Path | None, config: PPRConfig = CONFIG) -> PPRTable:
    return PPRTable(csr, config, cache=cache, shard_size=30)


@pytest.mark.parametrize("cached", [False, True])
def test_the_table_gives_what_the_function_gives(csr: CSR, tmp_path: Path, cached: bool) -> None:
    nodes = torch.tensor([99, 0, 31, 30, 29, 0])
    expected, _ = ppr_top_k(csr, nodes, CONFIG)
    found = table(csr, tmp_path if cached else None).neighbors(nodes)
    np.testing.assert_array_equal(found, expected.numpy())
    assert found.dtype == np.int64


def test_shards_are_computed_when_needed_and_once(csr: CSR, tmp_path: Path, computed: list[int]) -> None:
    first = table(csr, tmp_path)
    first.neighbors(torch.tensor([35, 95]))
    assert computed == [30, 90]
    first.prepare(progress=False)
    assert computed == [30, 90, 0, 60]
    second = table(csr, tmp_path)
    second.prepare(progress=True)
    assert len(computed) == 4
    nodes = torch.arange(100)
    np.testing.assert_array_equal(second.neighbors(nodes), table(csr, None).neighbors(nodes))
    assert first.folder is not None
    assert len(list(first.folder.glob("*.npy"))) == 4


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "longer", "rename"])
def test_a_damaged_shard_is_noticed_and_rebuilt(
    csr: CSR, tmp_path: Path, computed: list[int], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    healthy = table(csr, tmp_path)
    expected = healthy.neighbors(torch.arange(100)).copy()
    assert healthy.folder is not None
    (path,) = healthy.folder.glob("00001-*.npy")
    content = path.read_bytes()
    if damage == "rename":
        path.rename(path.with_name("00001-0123456789abcdef.npy"))
    else:
        flipped = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
        path.write_bytes({"truncate": content[:-40], "flip": flipped, "empty": b"", "longer": content + b"x"}[damage])
    computed.clear()
    with caplog.at_level(logging.WARNING):
        found = table(csr, tmp_path).neighbors(torch.arange(100))
    assert computed == [30]
    assert "is damaged" in caplog.text
    np.testing.assert_array_equal(found, expected)
    (rebuilt,) = healthy.folder.glob("00001-*.npy")
    assert (rebuilt.name, rebuilt.read_bytes()) == (path.name, content)


def test_the_key_follows_edges_and_settings_but_not_types_or_order(csr: CSR, tmp_path: Path) -> None:
    edges = torch.stack([csr.indices, torch.arange(100).repeat_interleave(csr.degrees)])
    folders = [
        table(csr, tmp_path).folder,
        table(CSR.from_edges(edges[:, 1:], 100), tmp_path).folder,
        table(CSR.from_edges(edges, 101), tmp_path).folder,
        table(csr, tmp_path, PPRConfig(top_k=17)).folder,
        table(csr, tmp_path, PPRConfig(top_k=16, epsilon=1e-5)).folder,
        table(csr, tmp_path, PPRConfig(top_k=16, alpha=0.21)).folder,
        PPRTable(csr, CONFIG, cache=tmp_path, shard_size=31).folder,
    ]
    assert len(set(folders)) == len(folders)
    same = CSR.from_edges(edges.flip(1), 100, torch.arange(edges.size(1)))
    assert table(same, tmp_path).folder == folders[0]


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from mmgraph.data import ppr
from mmgraph.data.csr import CSR

real, calls = ppr.ppr_top_k, []

def counting(*args):
    calls.append(args)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)

ppr.ppr_top_k = counting
csr = CSR(*torch.load(sys.argv[1], weights_only=True))
ppr.PPRTable(csr, ppr.PPRConfig(top_k=16), cache=Path(sys.argv[2]), shard_size=30).prepare(progress=False)
"""


def test_a_killed_build_goes_on_with_the_missing_shards(csr: CSR, tmp_path: Path, computed: list[int]) -> None:
    torch.save([csr.indptr, csr.indices, csr.edge_type], tmp_path / "csr.pt")
    cache = tmp_path / "cache"
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "csr.pt"), str(cache)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    resumed = table(csr, cache)
    resumed.prepare(progress=False)
    assert computed == [60, 90]
    nodes = torch.arange(100)
    np.testing.assert_array_equal(resumed.neighbors(nodes), table(csr, None).neighbors(nodes))


def test_a_cache_that_cannot_be_written_is_one_clear_line(
    csr: CSR, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot write the PPR cache"):
        table(csr, tmp_path / "file").prepare(progress=False)

    def full(file: Any, content: np.ndarray) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError, match="cannot write the PPR cache: No space left on device"):
        table(csr, tmp_path / "cache").prepare(progress=False)
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["ppr.json"]


def test_shards_grow_with_the_graph() -> None:
    assert PPRTable(uniform_graph(100, 10), CONFIG).num_shards == 1
    none = torch.empty(2, 0, dtype=torch.int64)
    large = PPRTable(CSR.from_edges(none, 3_000_000), CONFIG)
    assert (large.num_shards, large.shard_size) == (256, 11719)
    assert large.neighbors(torch.tensor([2_999_999]))[0, :2].tolist() == [2_999_999, -1]


def test_messages_of_a_real_graph_are_symmetric_so_the_bound_holds() -> None:
    graph = make_graph()
    edge_index, _ = graph.message_edges()
    assert CSR.from_edges(edge_index, 40).digest() == CSR.from_edges(edge_index.flip(0), 40).digest()
