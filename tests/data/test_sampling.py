from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmgraph.data import kernels
from mmgraph.data.batch import GraphBatch
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.ppr import PPRConfig, ppr_top_k
from mmgraph.data.relation import Relation
from mmgraph.data.sampling import NeighborSampler, PPRSampler, Sampler, SamplingConfig, make_sampler
from mmgraph.errors import InputError
from mmgraph.seeding import generator
from mmgraph.testing.factories import make_graph

Edges = Counter[tuple[int, int, int]]


def plain_graph(edge_index: Tensor, num_nodes: int) -> MultimodalGraph:
    """Self-loops and parallel edges allowed; edges alternate between two relations."""
    relations = {
        "a": Relation(edge_index[:, ::2], "node", "node"),
        "b": Relation(edge_index[:, 1::2], "node", "node", symmetric=True),
    }
    node_type = torch.zeros(num_nodes, dtype=torch.int64)
    return MultimodalGraph("plain", NodeIds(range(num_nodes)), ("node",), node_type, relations)


def random_graph(num_nodes: int, num_edges: int, seed: int) -> MultimodalGraph:
    return plain_graph(torch.randint(num_nodes, (2, num_edges), generator=generator(seed)), num_nodes)


def star(num_leaves: int) -> MultimodalGraph:
    """Node 0 is a hub with a self-loop, and two parallel edges to every leaf; leaf 1 - leaf 2 are joined."""
    leaves = torch.arange(1, num_leaves + 1)
    spokes = torch.stack([torch.zeros_like(leaves), leaves])
    return plain_graph(torch.cat([spokes, spokes, torch.tensor([[0, 1], [0, 2]])], dim=1), num_leaves + 1)


def edges_of(edge_index: Tensor, edge_type: Tensor) -> Edges:
    return Counter(zip(edge_index[0].tolist(), edge_index[1].tolist(), edge_type.tolist(), strict=True))


def batch_edges(batch: GraphBatch) -> Edges:
    """Edges of a batch in positions of the graph."""
    return edges_of(batch.node_index[batch.edge_index], batch.edge_type)


def assert_same(one: GraphBatch, other: GraphBatch) -> None:
    for name in ("node_index", "edge_index", "edge_type", "subgraph"):
        assert getattr(one, name).equal(getattr(other, name)), name
    assert (one.num_seeds, one.graph_name, list(one.features)) == (
        other.num_seeds,
        other.graph_name,
        list(other.features),
    )
    for name, features in one.features.items():
        assert features.present.equal(other.features[name].present)
        assert torch.equal(features.values.nan_to_num(), other.features[name].values.nan_to_num())


def samplers(graph: MultimodalGraph) -> list[Sampler]:
    return [NeighborSampler(graph, (3, 2)), NeighborSampler(graph, (-1, -1)), PPRSampler(graph, PPRConfig(top_k=6))]


SEEDS = torch.tensor([7, 0, 30, 12])


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_batch_has_seeds_first_and_the_features_of_its_rows(kind: int) -> None:
    graph = make_graph()
    batch = samplers(graph)[kind].sample(SEEDS, generator(0))
    assert batch.graph_name == graph.name
    assert batch.num_seeds == 4
    assert batch.node_index[:4].equal(SEEDS)
    assert batch.subgraph.shape == (batch.num_nodes,)
    assert batch.num_nodes > 4
    assert set(batch.features) == {"text", "image"}
    for name, features in batch.features.items():
        assert features.present.equal(graph.features[name].present[batch.node_index])
        present = graph.features[name].values[batch.node_index][features.present]
        assert features.values[features.present].equal(present)
        assert features.mean.equal(graph.features[name].mean)


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize(("num_nodes", "num_edges"), [(1, 0), (5, 0), (40, 120), (40, 10)])
def test_all_nodes_as_seeds_on_graphs_with_isolated_nodes(kind: int, num_nodes: int, num_edges: int) -> None:
    graph = make_graph(num_nodes, num_edges)
    batch = samplers(graph)[kind].sample(torch.arange(num_nodes), generator(0))
    assert batch.node_index[:num_nodes].equal(torch.arange(num_nodes))
    assert set(batch_edges(batch)) <= set(edges_of(*graph.message_edges()))
    if num_edges == 0:
        assert batch.num_nodes == num_nodes
        assert batch.edge_index.shape == (2, 0)
        assert batch.edge_type.shape == (0,)
    else:
        assert batch.edge_type.numel() > 0


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_batch_of_no_seeds_is_empty(kind: int) -> None:
    batch = samplers(make_graph())[kind].sample(torch.empty(0, dtype=torch.int64), generator(0))
    assert (batch.num_nodes, batch.num_seeds, batch.edge_index.shape) == (0, 0, (2, 0))
    assert batch.features["text"].values.shape == (0, 16)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_batches_repeat_and_do_not_depend_on_the_order_of_edges_or_earlier_calls(kind: int) -> None:
    graph = make_graph()
    shuffled = {
        name: relation.take(torch.randperm(relation.num_edges, generator=generator(3)))
        for name, relation in graph.relations.items()
    }
    first, second = samplers(graph)[kind], samplers(replace(graph, relations=shuffled))[kind]
    second.sample(torch.tensor([1, 2, 3]), generator(9))
    assert_same(first.sample(SEEDS, generator(0)), second.sample(SEEDS, generator(0)))


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_threads_may_sample_at_once(kind: int) -> None:
    sampler = samplers(make_graph(200, 1500))[kind]
    chunks = [torch.arange(start, start + 20) for start in range(0, 200, 20)]
    expected = [sampler.sample(chunk, generator(i)) for i, chunk in enumerate(chunks)]
    found: dict[int, GraphBatch] = {}

    def work(offset: int) -> None:
        for i in range(offset, len(chunks), 4):
            found[i] = sampler.sample(chunks[i], generator(i))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, batch in enumerate(expected):
        assert_same(batch, found[i])


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (torch.tensor([0, 40]), r"seeds must lie in 0\.\.39, got 0\.\.40"),
        (torch.tensor([-1]), r"got -1\.\.-1"),
        (torch.tensor([3, 3, 3]), "distinct, got 2 duplicates"),
        (torch.tensor([[1]]), r"int64 \[num_seeds\], got torch.int64 \[1, 1\]"),
        (torch.tensor([1.0]), "got torch.float32"),
    ],
)
def test_bad_seeds_are_refused(kind: int, seeds: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        samplers(make_graph())[kind].sample(seeds, generator(0))


@settings(max_examples=25, deadline=None)
@given(
    num_nodes=st.integers(1, 30),
    num_edges=st.integers(0, 150),
    fanouts=st.lists(st.sampled_from([-1, 1, 2, 5]), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_neighbours_are_drawn_without_replacement_up_to_the_fan_out(
    num_nodes: int, num_edges: int, fanouts: list[int], seed: int
) -> None:
    graph = random_graph(num_nodes, num_edges, seed)
    sampler = NeighborSampler(graph, fanouts)
    seeds = torch.randperm(num_nodes, generator=generator(seed, "seeds"))[: 1 + num_nodes // 3]
    batch = sampler.sample(seeds, generator(seed))
    assert batch.node_index[: batch.num_seeds].equal(seeds)
    assert batch.node_index.unique().numel() == batch.num_nodes
    assert not batch.subgraph.any()
    everything = edges_of(*graph.message_edges())
    sampled = batch_edges(batch)
    assert not sampled - everything, "an edge was invented or taken twice"

    # Literal breadth-first search over the sampled edges: which hop reached a node, and what it may keep there.
    hop = dict.fromkeys(seeds.tolist(), 0)
    for level in range(len(fanouts)):
        for source, target, _ in sampled:
            if hop.get(target) == level:
                hop.setdefault(source, level + 1)
    assert set(hop) == set(batch.node_index.tolist())
    for node, level in hop.items():
        degree = sum(count for (_, target, _), count in everything.items() if target == node)
        found = sum(count for (_, target, _), count in sampled.items() if target == node)
        limit = 0 if level == len(fanouts) else degree if fanouts[level] == -1 else fanouts[level]
        assert found == min(degree, limit)


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_fan_out_of_all_equals_the_k_hop_neighbourhood(hops: int) -> None:
    graph = random_graph(60, 90, 5)
    seeds = torch.tensor([4, 17])
    batch = NeighborSampler(graph, [-1] * hops).sample(seeds, generator(0))
    everything = edges_of(*graph.message_edges())
    reached, expanded = set(seeds.tolist()), set()
    for _ in range(hops):
        expanded = set(reached)
        reached |= {source for source, target, _ in everything if target in expanded}
    assert set(batch.node_index.tolist()) == reached
    assert batch_edges(batch) == Counter({e: n for e, n in everything.items() if e[1] in expanded})

    # What it is for: k rounds of summing over neighbours give the seeds their value in the whole graph.
    def propagate(x: Tensor, edge_index: Tensor) -> Tensor:
        for _ in range(hops):
            x = x + torch.zeros_like(x).index_add_(0, edge_index[1], x[edge_index[0]])
        return x

    x = torch.rand(60, dtype=torch.float64, generator=generator(1))
    whole = propagate(x, graph.message_edges()[0])[seeds]
    torch.testing.assert_close(propagate(x[batch.node_index], batch.edge_index)[: len(seeds)], whole)


@pytest.mark.parametrize(("count", "wanted"), [(9, 3), (9, 4), (12, 1), (5, 4)])
def test_every_subset_is_equally_likely(count: int, wanted: int) -> None:
    draws = 6000
    picks = np.empty(wanted, dtype=np.int64)
    pairs: Counter[tuple[int, ...]] = Counter()
    for key in range(draws):
        kernels.choose(count, wanted, np.uint64(kernels.mix(np.uint64(key))), picks)
        assert len(set(picks.tolist())) == wanted
        assert picks.min() >= 0
        assert picks.max() < count
        pairs[tuple(sorted(picks.tolist()))] += 1
    total = int(torch.tensor([count - i for i in range(wanted)]).prod() / torch.arange(1, wanted + 1).prod())
    expected = draws / total
    assert len(pairs) == total
    chi_square = sum((n - expected) ** 2 / expected for n in pairs.values())
    assert chi_square < total - 1 + 4 * (2 * total) ** 0.5


def test_neighbour_sampling_varies_with_the_generator_only() -> None:
    sampler = NeighborSampler(make_graph(60, 400), (3,))
    batches = [sampler.sample(torch.arange(10), generator(seed)) for seed in (0, 1)]
    assert batch_edges(batches[0]) != batch_edges(batches[1])


@settings(max_examples=25, deadline=None)
@given(num_nodes=st.integers(1, 30), num_edges=st.integers(0, 150), top_k=st.integers(1, 12), seed=st.integers(0, 1000))
def test_ppr_batch_is_the_disjoint_union_of_induced_subgraphs(
    num_nodes: int, num_edges: int, top_k: int, seed: int
) -> None:
    graph = random_graph(num_nodes, num_edges, seed)
    check_induced(graph, torch.randperm(num_nodes, generator=generator(seed, "seeds"))[: 1 + num_nodes // 2], top_k)


@pytest.mark.parametrize("num_leaves", [10, 3000])  # the larger hub is searched instead of scanned
def test_hubs_with_self_loops_and_parallel_edges(num_leaves: int) -> None:
    check_induced(star(num_leaves), torch.tensor([0, 1, 2, 5]), 4)


def check_induced(graph: MultimodalGraph, seeds: Tensor, top_k: int) -> None:
    config = PPRConfig(top_k=top_k)
    sampler = PPRSampler(graph, config)
    batch = sampler.sample(seeds, generator(0))
    assert batch.num_seeds == seeds.numel()
    assert batch.node_index[: batch.num_seeds].equal(seeds)
    assert batch.subgraph[: batch.num_seeds].equal(torch.arange(batch.num_seeds))
    source, target = batch.edge_index
    assert batch.subgraph[source].equal(batch.subgraph[target])
    everything = edges_of(*graph.message_edges())
    neighbors, _ = ppr_top_k(sampler.csr, seeds, config)
    for row in range(batch.num_seeds):
        members = batch.node_index[batch.subgraph == row].tolist()  # the root row comes first here, too
        assert members == [node for node in neighbors[row].tolist() if node >= 0]
        inside = batch.subgraph[target] == row
        found = edges_of(batch.node_index[batch.edge_index[:, inside]], batch.edge_type[inside])
        expected = {e: n for e, n in everything.items() if e[0] in members and e[1] in members}
        assert found == Counter(expected)


def test_samplers_can_use_some_relations_only() -> None:
    graph = make_graph()
    for sampler in (
        NeighborSampler(graph, (-1, -1), relations=["likes"]),
        PPRSampler(graph, PPRConfig(top_k=8), relations=["likes"]),
    ):
        batch = sampler.sample(torch.arange(40), generator(0))
        assert batch.edge_type.numel() > 0
        assert set(batch_edges(batch)) <= set(edges_of(*graph.message_edges(["likes"])))


def test_the_configuration_chooses_the_sampler(tmp_path: Path) -> None:
    graph = make_graph()
    neighbor = make_sampler(graph, SamplingConfig(kind="neighbor", fanouts=(4, 3)))
    assert isinstance(neighbor, NeighborSampler)
    assert neighbor.fanouts == (4, 3)
    ppr = make_sampler(graph, SamplingConfig(kind="ppr", ppr=PPRConfig(top_k=9)), cache=tmp_path)
    assert isinstance(ppr, PPRSampler)
    assert ppr.table.config.top_k == 9
    assert ppr.table.cache == tmp_path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "random"}, "'nodes', 'ppr' or 'neighbor', got 'random'"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"fanouts": ()}, r"fanouts .* got \[\]"),
        ({"fanouts": (5, 0)}, r"fanouts .* got \[5, 0\]"),
        ({"fanouts": (-2,)}, r"fanouts .* got \[-2\]"),
    ],
)
def test_bad_configurations_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SamplingConfig(**options)  # type: ignore[arg-type]


def test_a_minimal_sampler_needs_only_sample() -> None:
    class Whole(Sampler):
        def sample(self, seeds: Tensor, generator: torch.Generator) -> GraphBatch:
            return GraphBatch.whole(self.graph)

    sampler = Whole(make_graph())
    sampler.prepare()
    assert sampler.sample(torch.arange(2), generator(0)).num_nodes == 40
