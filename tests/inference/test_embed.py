from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.inference.embed import embed, node_ranges
from mmgraph.nn.build import build_encoder
from mmgraph.nn.encoder import EncoderConfig, EncoderOutput, GraphEncoder
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.message_graph import MessageGraph
from mmgraph.nn.moe import MoEConfig
from mmgraph.nn.saving import encoder_digest
from mmgraph.nn.sign import SignEncoder
from mmgraph.testing.engines import CopyingEngine
from mmgraph.testing.factories import make_graph, randomise


def make_encoder(graph: MultimodalGraph, conv: str = "gat", *, num_layers: int = 2, **gnn: object) -> GraphEncoder:
    torch.manual_seed(1)
    config = EncoderConfig(
        dim=16,
        moe=MoEConfig(num_experts=4, top_k=2),
        gnn=GNNConfig(conv=conv, num_layers=num_layers, heads=2, **gnn),  # type: ignore[arg-type]
    )
    return randomise(GraphEncoder(config, [features.spec for features in graph.features.values()]))


def full(encoder: GraphEncoder, graph: MultimodalGraph) -> EncoderOutput:
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        output = encoder(graph.features, graph.message_edges()[0], num_nodes=graph.num_nodes)
    encoder.train(training)
    return output


def without_edges_at(graph: MultimodalGraph, nodes: Tensor) -> MultimodalGraph:
    relations = {
        name: relation.take(~torch.isin(relation.edge_index, nodes).any(dim=0))
        for name, relation in graph.relations.items()
    }
    return replace(graph, relations=relations)


GRAPHS = {
    "plain": lambda: make_graph(40, 120),
    "isolated": lambda: without_edges_at(make_graph(40, 120), torch.tensor([0, 1, 17, 39])),
    "no edges": lambda: make_graph(9, 0),
    "one node": lambda: make_graph(1, 0),
    "no modality": lambda: replace(make_graph(12, 20), features={}),
    "nothing present": lambda: make_graph(12, 20, missing=1.0),
}


@pytest.mark.parametrize("num_ranges", [1, 2, 7])
@pytest.mark.parametrize("conv", ["gat", "sage"])
@pytest.mark.parametrize("kind", GRAPHS)
def test_equals_full_forward(kind: str, conv: str, num_ranges: int) -> None:
    graph = GRAPHS[kind]()
    encoder = make_encoder(graph, conv)
    table = embed(encoder, graph, num_ranges=num_ranges)
    torch.testing.assert_close(table.vectors, full(encoder, graph).embedding, rtol=0, atol=1e-5)
    assert table.node_ids == graph.node_ids
    assert table.node_types == graph.node_types
    assert torch.equal(table.node_type, graph.node_type)
    assert table.graph == graph.name
    assert table.model == encoder_digest(encoder)
    assert table.columns is graph.columns


@pytest.mark.parametrize(
    "options",
    [
        {"self_loops": False},
        {"residual": False, "norm": False, "zero_init": False},
        {"zero_init": False},
        {"dropout": 0.5},
        {"num_layers": 0},
        {"num_layers": 4},
    ],
    ids=str,
)
def test_equals_full_forward_for_every_form_of_layer(options: dict[str, object]) -> None:
    graph = make_graph(30, 80)
    encoder = make_encoder(graph, **options)  # type: ignore[arg-type]
    expected = full(encoder, graph).embedding
    for num_ranges in (1, 3):
        torch.testing.assert_close(embed(encoder, graph, num_ranges=num_ranges).vectors, expected, rtol=0, atol=1e-5)


@given(
    num_nodes=st.integers(2, 30),
    density=st.floats(0, 1),
    max_rows=st.integers(1, 200),
    conv=st.sampled_from(["gat", "sage"]),
    seed=st.integers(0, 5),
)
@settings(max_examples=25, deadline=None)
def test_equals_full_forward_for_any_budget(
    num_nodes: int, density: float, max_rows: int, conv: str, seed: int
) -> None:
    graph = make_graph(num_nodes, int(density * num_nodes / 3), seed=seed)
    encoder = make_encoder(graph, conv)
    table = embed(encoder, graph, max_rows=max_rows)
    torch.testing.assert_close(table.vectors, full(encoder, graph).embedding, rtol=0, atol=1e-5)


def test_parallel_edges_and_loops_count_as_in_the_full_forward() -> None:
    graph = make_graph(10, 12)
    pairs = torch.tensor([[0, 0, 1, 4], [1, 1, 0, 4]])
    graph = replace(graph, relations={"similar": Relation(pairs, "item", "item")})
    encoder = make_encoder(graph)
    expected = full(encoder, graph).embedding
    torch.testing.assert_close(embed(encoder, graph, num_ranges=4).vectors, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("num_ranges", [1, 3])
def test_all_levels_side_by_side(num_ranges: int) -> None:
    graph = make_graph(20, 40)
    encoder = make_encoder(graph)
    table = embed(encoder, graph, num_ranges=num_ranges, level="all")
    expected = torch.cat([x / x.norm(dim=1, keepdim=True) for x in full(encoder, graph).levels], dim=1)
    assert table.dim == 3 * 16
    torch.testing.assert_close(table.vectors, expected, rtol=0, atol=1e-5)


class Spy(GraphEncoder):
    """Remembers what each call gathered."""

    calls: list[tuple[int, int, int]]

    def layer(self, number: int, x_source: Tensor, x_target: Tensor, edge_index: Tensor) -> Tensor:
        self.calls.append((number, x_source.size(0), x_target.size(0)))
        return super().layer(number, x_source, x_target, edge_index)

    def fuse(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        fused = super().fuse(*args, **kwargs)  # type: ignore[arg-type]
        self.calls.append((-1, 0, fused.x.size(0)))
        return fused


def test_only_the_in_neighbours_of_a_range_are_gathered() -> None:
    graph = make_graph(60, 60)
    template = make_encoder(graph)
    spy = Spy(template.config, template.specs)
    spy.calls = []
    embed(spy, graph, num_ranges=6)
    source, target = graph.message_edges()[0]
    expected = [(-1, 0, 10)] * 6
    for layer in range(2):
        for start in range(0, 60, 10):
            inside = (target >= start) & (target < start + 10)
            expected.append((layer, len(set(source[inside].tolist())), 10))
    assert spy.calls == expected
    assert max(count for _, count, _ in spy.calls) < 40  # the bound would be worth nothing if all were neighbours


@given(degrees=st.lists(st.integers(0, 9), min_size=1, max_size=30), max_rows=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_ranges_cover_all_nodes_once_within_the_budget(degrees: list[int], max_rows: int) -> None:
    target = torch.repeat_interleave(torch.arange(len(degrees)), torch.tensor(degrees))
    messages = MessageGraph.from_edges(torch.stack([torch.zeros_like(target), target]), len(degrees), len(degrees))
    ranges = node_ranges(messages, num_ranges=None, max_rows=max_rows)
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(len(degrees)))
    for start, stop in ranges:
        rows = stop - start + sum(degrees[start:stop])
        assert rows <= max_rows or stop == start + 1
        if stop < len(degrees):
            assert rows + 1 + degrees[stop] > max_rows  # greedy: the next node did not fit


@pytest.mark.parametrize(("num_nodes", "num_ranges", "expected"), [(7, 7, 7), (3, 7, 3), (10, 3, 3), (5, 1, 1)])
def test_number_of_ranges(num_nodes: int, num_ranges: int, expected: int) -> None:
    messages = MessageGraph.from_edges(torch.empty(2, 0, dtype=torch.int64), num_nodes, num_nodes)
    ranges = node_ranges(messages, num_ranges=num_ranges, max_rows=1)
    sizes = [stop - start for start, stop in ranges]
    assert len(ranges) == expected
    assert sum(sizes) == num_nodes
    assert max(sizes) - min(sizes) <= 1


def test_each_part_of_the_model_keeps_its_mode() -> None:
    graph = make_graph(12, 20)
    encoder = make_encoder(graph, dropout=0.5).train()
    encoder.moe.eval()
    before = [module.training for module in encoder.modules()]
    table = embed(encoder, graph)
    assert [module.training for module in encoder.modules()] == before
    assert any(before)
    assert not all(before)
    assert not table.vectors.requires_grad
    assert torch.equal(table.vectors, embed(encoder, graph).vectors)  # no dropout


def test_mode_is_restored_after_an_error() -> None:
    graph = make_graph(12, 20)
    encoder = make_encoder(make_graph(12, 20, modalities=(("text", 5),))).train()
    with pytest.raises(InputError, match="no projection for features"):
        embed(encoder, graph)
    assert encoder.training


def test_device_gives_a_copy_and_leaves_the_model() -> None:
    graph = make_graph(6, 4)
    encoder = make_encoder(graph)
    expected = embed(encoder, graph).vectors
    assert torch.equal(embed(encoder, graph, device="cpu").vectors, expected)
    assert encoder.device == torch.device("cpu")


def test_diverged_model_is_refused_with_ids() -> None:
    graph = make_graph(6, 4, missing=0.0)
    encoder = make_encoder(graph)
    with torch.no_grad():
        next(iter(encoder.fusion.projections.values()))[0].bias.fill_(torch.nan)  # type: ignore[index]
    with pytest.raises(InputError, match=r"vectors of 6 nodes hold NaN or infinity: 'n0000', .* and 1 more"):
        embed(encoder, graph)


@pytest.mark.parametrize("options", [{"num_ranges": 0}, {"max_rows": 0}], ids=str)
def test_bad_arguments(options: dict[str, object]) -> None:
    graph = make_graph(6, 4)
    with pytest.raises(InputError, match=r"^embed: "):
        embed(make_encoder(graph), graph, **options)  # type: ignore[arg-type]


def test_row_order_does_not_matter() -> None:
    graph = make_graph(25, 60)
    encoder = make_encoder(graph)
    order = torch.randperm(25)
    shuffled = graph.subgraph(order)
    expected = embed(encoder, graph)
    found = embed(encoder, shuffled, num_ranges=3)
    torch.testing.assert_close(found.vectors_of(graph.node_ids.values), expected.vectors, rtol=0, atol=1e-5)


def sign_encoder(graph: MultimodalGraph) -> SignEncoder:
    torch.manual_seed(1)
    encoder = build_encoder(EncoderConfig(dim=16, moe=MoEConfig(num_experts=4, top_k=2)), [graph])
    assert isinstance(encoder, SignEncoder)
    return randomise(encoder)


@pytest.mark.parametrize("conv", ["gat", "sage", "sign"])
@pytest.mark.parametrize("workers", [1, 3])
def test_engine_with_workers_gives_the_same_bytes(conv: str, workers: int) -> None:
    graph = make_graph(40, 120)
    encoder = sign_encoder(graph) if conv == "sign" else make_encoder(graph, conv)
    engine = CopyingEngine(workers)
    expected = embed(encoder, graph, num_ranges=3, level="all")
    assert torch.equal(embed(encoder, graph, num_ranges=3, level="all", engine=engine).vectors, expected.vectors)
    assert engine.num_shards == (3 if conv == "sign" else 3 * 3)
    assert embed(encoder, graph, num_ranges=3, engine=engine).model == encoder_digest(encoder)
