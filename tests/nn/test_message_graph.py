from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.errors import InputError
from mmgraph.nn.message_graph import MessageGraph, stable_order


def edges_of(graph: MessageGraph) -> list[tuple[int, int]]:
    return list(zip(graph.source.tolist(), graph.target.tolist(), strict=True))


@settings(max_examples=20, deadline=None)
@given(
    num_sources=st.integers(1, 9), num_targets=st.integers(1, 9), num_edges=st.integers(0, 40), seed=st.integers(0, 99)
)
def test_rows_are_the_in_edges_in_the_given_order(
    num_sources: int, num_targets: int, num_edges: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(num_sources, (num_edges,), generator=generator)
    target = torch.randint(num_targets, (num_edges,), generator=generator)
    graph = MessageGraph.from_edges(torch.stack([source, target]), num_sources, num_targets)
    expected = [int(s) for i in range(num_targets) for s, t in zip(source, target, strict=True) if int(t) == i]
    assert graph.source.tolist() == expected
    assert graph.target.tolist() == sorted(target.tolist())
    assert graph.degree.tolist() == [target.tolist().count(i) for i in range(num_targets)]
    indptr, back, position = graph.by_source
    for node in range(num_sources):
        rows = slice(int(indptr[node]), int(indptr[node + 1]))
        assert bool((graph.source[position[rows]] == node).all())
        assert back[rows].tolist() == graph.target[position[rows]].tolist()
        assert back[rows].tolist() == [t for s, t in edges_of(graph) if s == node]


def test_self_loops_come_last_in_their_row() -> None:
    graph = MessageGraph.from_edges(torch.tensor([[2, 1, 0], [0, 0, 2]]), 3, 3)
    assert edges_of(graph.with_self_loops()) == [(2, 0), (1, 0), (0, 0), (1, 1), (0, 2), (2, 2)]
    assert graph.with_self_loops().indptr.tolist() == [0, 3, 4, 6]
    appended = graph.with_self_loops(3)
    assert edges_of(appended) == [(2, 0), (1, 0), (3, 0), (4, 1), (0, 2), (5, 2)]
    assert appended.num_sources == 6


@settings(max_examples=20, deadline=None)
@given(heads=st.integers(1, 4), num_edges=st.integers(0, 30), seed=st.integers(0, 99))
def test_repeat_is_one_graph_per_head(heads: int, num_edges: int, seed: int) -> None:
    edge_index = torch.randint(6, (2, num_edges), generator=torch.Generator().manual_seed(seed))
    graph = MessageGraph.from_edges(edge_index, 6, 6)
    index = graph.source * heads, graph.target * heads
    literal = torch.cat([torch.stack([index[0] + h, index[1] + h]) for h in range(heads)], dim=1)
    expected = MessageGraph.from_edges(literal, 6 * heads, 6 * heads)
    repeated = graph.repeat(heads)
    assert repeated.indptr.tolist() == expected.indptr.tolist()
    assert edges_of(repeated) == edges_of(expected)
    assert repeated.num_sources == 6 * heads


@pytest.mark.parametrize(("count", "size"), [(5000, 37), (5000, 6000), (10, 5), (2000, 1_000_000), (0, 3)])
def test_stable_order_equals_torch(count: int, size: int) -> None:
    index = torch.randint(size, (count,))
    order = stable_order(index, size)
    assert order.dtype == torch.int64
    assert torch.equal(order, index.argsort(stable=True))


@pytest.mark.parametrize(
    ("edge_index", "message"),
    [
        (torch.zeros(3, 2, dtype=torch.int64), r"int64 \[2, num_edges\], got torch.int64 \[3, 2\]"),
        (torch.zeros(2, 2), r"got torch.float32 \[2, 2\]"),
        (torch.tensor([[0, 4], [0, 1]]), r"sources 0..3 and targets 0..1, got 0..4 and 0..1"),
        (torch.tensor([[0, 3], [0, 2]]), r"sources 0..3 and targets 0..1, got 0..3 and 0..2"),
        (torch.tensor([[0, -1], [0, 1]]), r"got -1..0"),
    ],
)
def test_bad_edges(edge_index: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MessageGraph.from_edges(edge_index, 4, 2)
