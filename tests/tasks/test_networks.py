from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.nn import SAGEConv

from mmgraph.errors import InputError
from mmgraph.tasks import networks
from mmgraph.tasks.networks import GraphNetwork, NetworkConfig, ProjectedSage, network_input


def test_projected_sage_is_the_layer_of_pyg() -> None:
    torch.manual_seed(0)
    ours, theirs = ProjectedSage(12, 5), SAGEConv(12, 5)
    theirs.lin_l.load_state_dict(ours.neighbours.state_dict())
    theirs.lin_r.load_state_dict(ours.own.state_dict())
    x, edges = torch.randn(30, 12), torch.randint(25, (2, 90))  # the last five nodes have no edge
    assert torch.allclose(ours(x, edges), theirs(x, edges), atol=1e-5)
    for layer in (ours, theirs):
        layer(x, edges).square().sum().backward()
    assert torch.allclose(ours.neighbours.weight.grad, theirs.lin_l.weight.grad, atol=1e-3)


@pytest.mark.parametrize("conv", ["sage", "gat"])
@pytest.mark.parametrize("num_layers", [0, 1, 2, 3])
def test_shape_and_reach_of_a_network(conv: Any, num_layers: int) -> None:
    torch.manual_seed(0)
    model = GraphNetwork(6, 4, NetworkConfig(conv, dim=16, num_layers=num_layers)).eval()
    path = torch.stack([torch.arange(5), torch.arange(1, 6)])  # messages go 0 -> 1 -> ... -> 5
    x = torch.randn(6, 6)
    changed = x.clone()
    changed[0] += 1
    before, after = model(x, path), model(changed, path)
    assert before.shape == (6, 4)
    moved = (before != after).any(dim=1)
    assert moved[: num_layers + 1].all()
    assert not moved[num_layers + 1 :].any()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.reset_parameters()
    assert any(not torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_large_inputs_are_projected_on_their_main_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(50, 3, generator=random) @ torch.randn(3, 20, generator=random)
    assert network_input(x) is x
    monkeypatch.setattr(networks, "WIDEST_INPUT", 100)
    monkeypatch.setattr(networks, "PROJECTED_DIM", 3)
    small = network_input(x)
    assert small.shape == (50, 3)
    assert torch.allclose(torch.cdist(small, small), torch.cdist(x, x), atol=1e-2)


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="unknown conv 'gcn'"):
        NetworkConfig("gcn")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="multiple of heads, got 30 and 8"):
        NetworkConfig("gat", dim=30)
