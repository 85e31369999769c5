from __future__ import annotations

import pytest
import torch
from torch import nn

from mmgraph.nn.gat import GATConv
from mmgraph.nn.message_graph import MessageGraph
from mmgraph.nn.sage import SAGEConv

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def copied_gat(conv: GATConv) -> nn.Module:
    from torch_geometric.nn import GATConv as Reference

    reference = Reference(conv.dim, conv.dim // conv.heads, heads=conv.heads, add_self_loops=conv.self_loops)
    with torch.no_grad():
        reference.lin.weight.copy_(conv.weight)
        reference.att_src.copy_(conv.att_source.unsqueeze(0))
        reference.att_dst.copy_(conv.att_target.unsqueeze(0))
        reference.bias.copy_(conv.bias)
    return reference


def copied_sage(conv: SAGEConv) -> nn.Module:
    from torch_geometric.nn import SAGEConv as Reference

    dim = conv.own.in_features
    reference = Reference(dim, dim)
    with torch.no_grad():
        reference.lin_l.weight.copy_(conv.neighbours.weight)
        reference.lin_l.bias.copy_(conv.neighbours.bias)
        reference.lin_r.weight.copy_(conv.own.weight)
    return reference


def random_edges(num_nodes: int, num_edges: int) -> torch.Tensor:
    """Without loops (PyG drops them) but with repeated edges; the last node is isolated."""
    edge_index = torch.randint(max(num_nodes - 1, 1), (2, num_edges))
    return edge_index[:, edge_index[0] != edge_index[1]]


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize(("num_nodes", "num_edges"), [(40, 200), (5, 0), (1, 0), (40, 4000)])
def test_gat_equals_pyg_with_its_gradients(heads: int, self_loops: bool, num_nodes: int, num_edges: int) -> None:
    conv = GATConv(16, heads=heads, self_loops=self_loops).double()
    nn.init.normal_(conv.bias)
    reference = copied_gat(conv.float()).double()
    conv.double()
    x = torch.randn(num_nodes, 16, dtype=torch.float64, requires_grad=True)
    edge_index = random_edges(num_nodes, num_edges)
    graph = conv.prepare(MessageGraph.from_edges(edge_index, num_nodes, num_nodes), square=True)
    ours, theirs = conv(x, x, graph), reference(x, edge_index)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(ours)
    a = torch.autograd.grad((ours * weight).sum(), [x, conv.weight, conv.att_source, conv.att_target, conv.bias])
    b = torch.autograd.grad(
        (theirs * weight).sum(),
        [x, reference.lin.weight, reference.att_src, reference.att_dst, reference.bias],
        materialize_grads=True,
        allow_unused=True,
    )
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one, other.view_as(one), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("num_nodes", "num_edges"), [(40, 200), (5, 0), (1, 0)])
def test_sage_equals_pyg_with_its_gradients(num_nodes: int, num_edges: int) -> None:
    conv = SAGEConv(16)
    reference = copied_sage(conv)
    x = torch.randn(num_nodes, 16, requires_grad=True)
    edge_index = random_edges(num_nodes, num_edges)
    ours = conv(x, x, conv.prepare(MessageGraph.from_edges(edge_index, num_nodes, num_nodes), square=True))
    theirs = reference(x, edge_index)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(ours)
    a = torch.autograd.grad((ours * weight).sum(), [x, conv.neighbours.weight, conv.neighbours.bias, conv.own.weight])
    b = torch.autograd.grad(
        (theirs * weight).sum(), [x, reference.lin_l.weight, reference.lin_l.bias, reference.lin_r.weight]
    )
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one, other)


def test_gat_keeps_loops_of_the_input_as_messages() -> None:
    conv = GATConv(8, heads=2)
    x = torch.randn(3, 8)
    loop = torch.tensor([[0, 1], [0, 0]])
    graph = conv.prepare(MessageGraph.from_edges(loop, 3, 3), square=True)
    # A loop counts twice: once as given and once as added.
    assert graph.source.tolist()[:3] == [0, 2, 0]
    assert conv(x, x, graph).shape == (3, 8)


def test_gat_under_autocast_keeps_float32_attention() -> None:
    conv = GATConv(32, heads=4)
    x = torch.randn(50, 32)
    graph = conv.prepare(MessageGraph.from_edges(random_edges(50, 300), 50, 50), square=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(x, x, graph)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, conv(x, x, graph), rtol=0.05, atol=0.05)
