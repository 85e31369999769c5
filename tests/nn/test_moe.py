from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.nn import experts
from mmgraph.nn.moe import MixtureOfExperts, MoEConfig


def slow_expert(moe: MixtureOfExperts, number: int, x: Tensor) -> Tensor:
    bank = moe.experts
    hidden = torch.nn.functional.linear(x, bank.weight_in[number], bank.bias_in[number])
    hidden = torch.nn.functional.layer_norm(
        hidden, (bank.hidden_dim,), bank.norm_weight[number], bank.norm_bias[number]
    )
    return torch.nn.functional.linear(torch.nn.functional.gelu(hidden), bank.weight_out[number], bank.bias_out[number])


def slow_mixture(moe: MixtureOfExperts, x: Tensor) -> Tensor:
    """The definition, node by node and expert by expert, by plain autograd."""
    probability = moe.router(x).softmax(dim=1)
    rows = []
    for node, row in enumerate(probability):
        chosen = row.argsort(descending=True, stable=True)[: moe.config.top_k]
        total = row[chosen].sum()
        mixed = sum(row[k] / total * slow_expert(moe, int(k), x[node : node + 1])[0] for k in chosen)
        rows.append(x[node] + mixed if moe.config.residual else mixed)
    return torch.stack(rows)


def perturbed(config: MoEConfig, dim: int = 8) -> MixtureOfExperts:
    """A mixture in float64 whose norms are not at their neutral start."""
    moe = MixtureOfExperts(dim, config).double()
    with torch.no_grad():
        moe.experts.norm_weight.add_(torch.randn_like(moe.experts.norm_weight), alpha=0.3)
        moe.experts.norm_bias.add_(torch.randn_like(moe.experts.norm_bias), alpha=0.3)
        moe.router.weight.mul_(4)
    return moe


@settings(max_examples=15, deadline=None)
@given(
    num_experts=st.integers(1, 5),
    top_k=st.integers(1, 5),
    num_nodes=st.integers(1, 12),
    block=st.integers(1, 5),
    residual=st.booleans(),
)
def test_equals_definition_and_its_gradients(
    num_experts: int, top_k: int, num_nodes: int, block: int, residual: bool
) -> None:
    top_k = min(top_k, num_experts)
    config = MoEConfig(zero_init=False, num_experts=num_experts, top_k=top_k, hidden_mult=1.5, residual=residual)
    moe = perturbed(config)
    x = torch.randn(num_nodes, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(num_nodes, 8, dtype=torch.float64)
    inputs = [x, *moe.parameters()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experts, "CPU_ROWS", block)
        out, routing = moe(x)
        fast = torch.autograd.grad((out * weight).sum(), inputs)
    expected = slow_mixture(moe, x)
    slow = torch.autograd.grad((expected * weight).sum(), inputs, allow_unused=True)
    torch.testing.assert_close(out, expected)
    for ours, theirs, tensor in zip(fast, slow, inputs, strict=True):
        torch.testing.assert_close(ours, torch.zeros_like(tensor) if theirs is None else theirs)
    torch.testing.assert_close(routing.gate.sum(dim=1), torch.ones(num_nodes, dtype=torch.float64))


def test_all_experts_equal_the_dense_mixture() -> None:
    moe = perturbed(MoEConfig(zero_init=False, num_experts=4, top_k=4))
    x = torch.randn(20, 8, dtype=torch.float64)
    probability = moe.router(x).softmax(dim=1)
    dense = torch.stack([slow_expert(moe, k, x) for k in range(4)], dim=1)
    torch.testing.assert_close(moe(x)[0], x + (probability.unsqueeze(2) * dense).sum(dim=1))


def test_gradcheck() -> None:
    moe = perturbed(MoEConfig(zero_init=False, num_experts=3, top_k=2), dim=4)
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    index = moe.route(x).expert_index
    gate = torch.rand(5, 2, dtype=torch.float64, requires_grad=True)
    weights = [weight.detach().requires_grad_() for weight in moe.experts.weights]
    assert torch.autograd.gradcheck(
        lambda x, gate, *weights: experts._GroupedExperts.apply(x, gate, index, *weights), (x, gate, *weights)
    )


def test_no_experts_is_the_identity() -> None:
    moe = MixtureOfExperts(8, MoEConfig(zero_init=False, num_experts=0))
    x = torch.randn(6, 8)
    out, routing = moe(x)
    assert torch.equal(out, x)
    assert not list(moe.parameters())
    assert routing.expert_index.shape == (6, 0)
    assert routing.load.shape == routing.importance.shape == (0,)
    assert routing.balance_loss.item() == 0.0


def test_uniform_router_has_balance_loss_one() -> None:
    moe = MixtureOfExperts(8, MoEConfig(zero_init=False, num_experts=6, top_k=2))
    torch.nn.init.zeros_(moe.router.weight)
    torch.nn.init.zeros_(moe.router.bias)
    torch.testing.assert_close(moe(torch.randn(50, 8))[1].balance_loss, torch.tensor(1.0))


def test_collapsed_router_has_the_largest_balance_loss() -> None:
    moe = MixtureOfExperts(8, MoEConfig(zero_init=False, num_experts=6, top_k=1))
    torch.nn.init.zeros_(moe.router.weight)
    with torch.no_grad():
        moe.router.bias.copy_(torch.tensor([100.0, 0, 0, 0, 0, 0]))
    routing = moe(torch.randn(50, 8))[1]
    torch.testing.assert_close(routing.balance_loss, torch.tensor(6.0))
    assert torch.equal(routing.load, torch.tensor([1.0, 0, 0, 0, 0, 0]))


def test_no_node_is_dropped_when_all_choose_one_expert() -> None:
    moe = perturbed(MoEConfig(zero_init=False, num_experts=4, top_k=1, residual=False))
    with torch.no_grad():
        moe.router.weight.zero_()
        moe.router.bias.copy_(torch.tensor([0, 0, 9.0, 0]))
    x = torch.randn(300, 8, dtype=torch.float64)
    torch.testing.assert_close(moe(x)[0], slow_expert(moe, 2, x))


def test_unused_experts_get_zero_gradients_not_none() -> None:
    moe = MixtureOfExperts(8, MoEConfig(zero_init=False, num_experts=4, top_k=1))
    with torch.no_grad():
        moe.router.bias.copy_(torch.tensor([100.0, 0, 0, 0]))
    out, routing = moe(torch.randn(10, 8))
    (out.square().sum() + routing.balance_loss).backward()
    for weight in moe.experts.weights:
        assert not weight.grad[1:].any()
        assert weight.grad[0].any()
    assert moe.router.weight.grad is not None


def test_router_learns_from_the_answers_and_from_the_balance_loss() -> None:
    moe = MixtureOfExperts(8, MoEConfig(zero_init=False))
    x = torch.randn(40, 8)
    out, routing = moe(x)
    from_answers = torch.autograd.grad(out.square().sum(), moe.router.weight, retain_graph=True)[0]
    from_balance = torch.autograd.grad(routing.balance_loss, moe.router.weight)[0]
    assert from_answers.any()
    assert from_balance.any()


def test_order_of_nodes_does_not_matter() -> None:
    moe = MixtureOfExperts(8, MoEConfig()).double()
    x = torch.randn(40, 8, dtype=torch.float64)
    order = torch.randperm(40)
    torch.testing.assert_close(moe(x[order])[0], moe(x)[0][order], rtol=0, atol=1e-14)


def test_batch_of_none() -> None:
    moe = MixtureOfExperts(8, MoEConfig())
    x = torch.empty(0, 8, requires_grad=True)
    out, routing = moe(x)
    (out.sum() + routing.balance_loss).backward()
    assert out.shape == (0, 8)
    assert routing.balance_loss.item() == 0.0
    assert all(not parameter.grad.any() for parameter in moe.parameters())


def test_autocast_routes_in_float32_and_stays_close() -> None:
    moe = MixtureOfExperts(64, MoEConfig())
    x = torch.randn(100, 64)
    expected, plain = moe(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, routing = moe(x)
    out.sum().backward()
    assert torch.equal(routing.expert_index, plain.expert_index)
    assert routing.gate.dtype == torch.float32
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_experts": -1}, "num_experts must be 0 or more, got -1"),
        ({"top_k": 9}, "top_k must lie in 1..8"),
        ({"top_k": 0}, "top_k must lie in 1..8"),
        ({"hidden_mult": 0.0}, "hidden_mult must be positive"),
        ({"balance_weight": -1.0}, "balance_weight must be 0 or more"),
    ],
)
def test_bad_config(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MoEConfig(**values)
