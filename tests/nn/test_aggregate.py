from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmgraph.nn import aggregate
from mmgraph.nn.message_graph import MessageGraph


def graph_of(num_edges: int, num_sources: int = 7, num_targets: int = 6) -> MessageGraph:
    # Target 5 and source 6 stay isolated; repeated edges are likely.
    source, target = torch.randint(num_sources - 1, (num_edges,)), torch.randint(num_targets - 1, (num_edges,))
    return MessageGraph.from_edges(torch.stack([source, target]), num_sources, num_targets)


def slow_attention(values: Tensor, score_source: Tensor, score_target: Tensor, graph: MessageGraph) -> Tensor:
    """The definition, target by target, by plain autograd."""
    rows = []
    for node in range(graph.num_targets):
        sources = graph.source[graph.indptr[node] : graph.indptr[node + 1]]
        score = torch.nn.functional.leaky_relu(score_source[sources] + score_target[node], 0.2)
        rows.append(score.softmax(dim=0) @ values[sources])
    return torch.stack(rows)


def inputs(graph: MessageGraph, dim: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    made = torch.randn(graph.num_sources, dim), torch.randn(graph.num_sources), torch.randn(graph.num_targets)
    return tuple(tensor.double().requires_grad_() for tensor in made)  # type: ignore[return-value]


@pytest.mark.parametrize("num_edges", [0, 1, 40])
def test_attention_and_its_gradients_equal_the_definition(num_edges: int) -> None:
    graph = graph_of(num_edges)
    given = inputs(graph)
    fast, slow = aggregate.attend(*given, graph, slope=0.2), slow_attention(*given, graph)
    torch.testing.assert_close(fast, slow)
    weight = torch.randn_like(slow)
    ours, theirs = (torch.autograd.grad((out * weight).sum(), given, allow_unused=True) for out in (fast, slow))
    for a, b, tensor in zip(ours, theirs, given, strict=True):
        torch.testing.assert_close(a, torch.zeros_like(tensor) if b is None else b)


def test_gradcheck_of_attention() -> None:
    graph = graph_of(25)
    assert torch.autograd.gradcheck(lambda *x: aggregate.attend(*x, graph, slope=0.2), inputs(graph))


def test_gradcheck_of_mean() -> None:
    graph = graph_of(25)
    assert torch.autograd.gradcheck(lambda x: aggregate.mean_of_sources(x, graph), inputs(graph)[:1])


def test_mean_equals_definition() -> None:
    graph = graph_of(25)
    values = torch.randn(7, 3)
    out = aggregate.mean_of_sources(values, graph)
    for node in range(6):
        sources = graph.source[graph.target == node]
        torch.testing.assert_close(out[node], values[sources].mean(dim=0) if len(sources) else torch.zeros(3))


def test_path_of_other_devices_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(40)
    given = inputs(graph)
    weight = torch.randn(6, 3, dtype=torch.float64)

    def run() -> list[Tensor]:
        out = aggregate.attend(*given, graph, slope=0.2) + aggregate.mean_of_sources(given[0], graph)
        return [out, *torch.autograd.grad((out * weight).sum(), given)]

    sparse = run()
    monkeypatch.setattr(aggregate, "use_sparse", lambda values: False)
    for a, b in zip(sparse, run(), strict=True):
        torch.testing.assert_close(a, b)


def test_two_runs_are_equal_to_the_bit() -> None:
    graph = MessageGraph.from_edges(torch.randint(500, (2, 20_000)), 500, 500)
    given = [
        torch.randn(500, 32, requires_grad=True),
        torch.randn(500, requires_grad=True),
        torch.randn(500, requires_grad=True),
    ]

    def run() -> list[Tensor]:
        out = aggregate.attend(*given, graph, slope=0.2) + aggregate.mean_of_sources(given[0], graph)
        return [out, *torch.autograd.grad(out.square().sum(), given)]

    for a, b in zip(run(), run(), strict=True):
        assert torch.equal(a, b)
