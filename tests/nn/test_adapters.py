from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mmgraph.errors import InputError
from mmgraph.nn.adapters import add_adapters, merge_adapters


def make() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8), nn.LayerNorm(8), nn.Linear(8, 2))


def test_adapters_change_nothing_at_first_and_are_all_that_is_trained() -> None:
    model, x = make(), torch.randn(5, 8)
    before = model(x)
    assert add_adapters(model, 3) == 2  # the last layer has but two outputs
    torch.testing.assert_close(model(x), before)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"0.down", "0.up", "2.down", "2.up"}


def test_merging_keeps_what_was_learnt() -> None:
    model, x = make(), torch.randn(5, 8)
    before, keys = model(x), list(model.state_dict())
    add_adapters(model, 2)
    frozen = copy.deepcopy(model[0].linear.weight)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    assert torch.equal(model[0].linear.weight, frozen)
    learnt = model(x)
    assert not torch.allclose(learnt, before)
    merge_adapters(model)
    torch.testing.assert_close(model(x), learnt)
    assert list(model.state_dict()) == keys
    assert all(p.requires_grad for p in model.parameters())


def test_rank_must_fit() -> None:
    with pytest.raises(InputError, match="at least 1, got 0"):
        add_adapters(make(), 0)
    with pytest.raises(InputError, match="at least 40 inputs and outputs for rank 20"):
        add_adapters(make(), 20)
