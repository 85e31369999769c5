"""Experts whose work is grouped, so that time follows the experts that are used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmgraph.nn.message_graph import stable_order

# Rows that a CPU works on at once: what lies between two matrix products then stays small, in cache and in memory that the
# process already owns. Measured: 2,048 to 8,192 rows are equally fast, one batched product over all experts is slower.
CPU_ROWS = 8192

Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class ExpertBank(nn.Module):
    """Small MLPs `Linear -> LayerNorm -> GELU -> Linear` with stacked weights.

    All weights of a kind are one parameter, so an expert without nodes gets a zero gradient and not none; distributed
    training relies on that.

    Args:
        num_experts: Number of experts.
        dim: Width of input and output.
        hidden_dim: Width of the hidden layer.

    Shapes:
        - input: `x` `[num_nodes, dim]`, `expert_index` and `gate` `[num_nodes, top_k]`
        - output: `[num_nodes, dim]`, the sum over k of `gate * expert(x)`
    """

    def __init__(self, num_experts: int, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.num_experts, self.dim, self.hidden_dim = num_experts, dim, hidden_dim
        self.weight_in = nn.Parameter(torch.empty(num_experts, hidden_dim, dim))
        self.bias_in = nn.Parameter(torch.empty(num_experts, hidden_dim))
        self.norm_weight = nn.Parameter(torch.empty(num_experts, hidden_dim))
        self.norm_bias = nn.Parameter(torch.empty(num_experts, hidden_dim))
        self.weight_out = nn.Parameter(torch.empty(num_experts, dim, hidden_dim))
        self.bias_out = nn.Parameter(torch.empty(num_experts, dim))
        self.reset_parameters()

    @property
    def weights(self) -> Weights:
        """All parameters, each `[num_experts, ...]`, in the order in which an expert uses them."""
        return self.weight_in, self.bias_in, self.norm_weight, self.norm_bias, self.weight_out, self.bias_out

    def reset_parameters(self) -> None:
        """Draw new parameters from torch's global generator, each expert as `nn.Linear` and `nn.LayerNorm` do."""
        for weight, bias in ((self.weight_in, self.bias_in), (self.weight_out, self.bias_out)):
            bound = 1 / math.sqrt(weight.size(2))
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)
        nn.init.ones_(self.norm_weight)
        nn.init.zeros_(self.norm_bias)

    def forward(self, x: Tensor, expert_index: Tensor, gate: Tensor) -> Tensor:
        """Run each node through its experts and add up the weighted answers."""
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.weight_in.dtype
        with torch.autocast(device, enabled=False):
            weights = [weight.to(dtype) for weight in self.weights]
            mixed: Tensor = _GroupedExperts.apply(x.to(dtype), gate, expert_index, *weights)
            return mixed


class _GroupedExperts(torch.autograd.Function):
    """All experts on all of their nodes, forwards and backwards in blocks of one expert's nodes.

    Kept for the gradient are the input and the hidden layer before its norm. The rest is computed again, which costs
    no matrix product; answers are never kept, because the gradient of a gate can be read off the hidden layer:
    `<grad, E(x)> = <grad W_out, gelu(norm(hidden))> + <grad, b_out>`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, expert_index: Tensor, *weights: Tensor) -> Tensor:
        weight_in, bias_in, norm_weight, norm_bias, weight_out, bias_out = weights
        num_experts, top_k = weight_in.size(0), expert_index.size(1)
        slot = stable_order(expert_index.flatten(), num_experts)
        node = slot // top_k
        share = gate.flatten().index_select(0, slot).to(x.dtype).unsqueeze(1)
        counts: list[int] = torch.bincount(expert_index.flatten(), minlength=num_experts).tolist()
        hidden = x.new_empty(slot.numel(), weight_in.size(1))
        # The output biases of a node's experts, weighted; their answers are added, in the gate's precision (at least
        # float32), whatever the experts compute in.
        out = _gate_matrix(gate, expert_index, num_experts) @ bias_out.to(gate.dtype)
        for expert, rows in _blocks(counts, x.device):
            torch.addmm(bias_in[expert], x.index_select(0, node[rows]), weight_in[expert].t(), out=hidden[rows])
            active = torch.nn.functional.gelu(_norm(hidden[rows], norm_weight[expert], norm_bias[expert])[0])
            answer = torch.mm(active.mul_(share[rows]), weight_out[expert].t())
            out.index_add_(0, node[rows], answer.to(out.dtype))
        ctx.save_for_backward(x, gate, expert_index, hidden, share, slot, node, *weights)
        ctx.counts = counts
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gate, expert_index, hidden, share, slot, node, *weights = ctx.saved_tensors
        weight_in, _, norm_weight, norm_bias, weight_out, bias_out = weights
        grads = [torch.zeros_like(weight) for weight in weights]
        grad_x = torch.zeros(x.shape, dtype=grad.dtype, device=x.device)
        grad_share = torch.empty_like(share)
        for expert, rows in _blocks(ctx.counts, x.device):
            grad_answer = grad.index_select(0, node[rows]).to(x.dtype)
            normed, mean, rstd = _norm(hidden[rows], norm_weight[expert], norm_bias[expert])
            active = torch.nn.functional.gelu(normed)
            grad_active = grad_answer @ weight_out[expert]
            grad_share[rows] = (grad_active * active).sum(1, keepdim=True)
            grad_answer.mul_(share[rows])
            grad_normed = torch.ops.aten.gelu_backward(grad_active.mul_(share[rows]), normed)
            grad_hidden, grad_norm_weight, grad_norm_bias = torch.ops.aten.native_layer_norm_backward(
                grad_normed,
                hidden[rows],
                [hidden.size(1)],
                mean,
                rstd,
                norm_weight[expert],
                norm_bias[expert],
                [True, True, True],
            )
            grads[0][expert].addmm_(grad_hidden.t(), x.index_select(0, node[rows]))
            grads[1][expert] += grad_hidden.sum(0)
            grads[2][expert] += grad_norm_weight
            grads[3][expert] += grad_norm_bias
            grads[4][expert].addmm_(grad_answer.t(), active)
            grad_x.index_add_(0, node[rows], (grad_hidden @ weight_in[expert]).to(grad.dtype))
        grads[5] += (_gate_matrix(gate, expert_index, len(ctx.counts)).t() @ grad.to(gate.dtype)).to(bias_out.dtype)
        grad_gate = torch.empty_like(gate).flatten().index_copy_(0, slot, grad_share.squeeze(1).to(gate.dtype))
        grad_gate = grad_gate.view_as(gate) + (grad.to(gate.dtype) @ bias_out.to(gate.dtype).t()).gather(
            1, expert_index
        )
        return grad_x.to(x.dtype), grad_gate, None, *grads


def _gate_matrix(gate: Tensor, expert_index: Tensor, num_experts: int) -> Tensor:
    """Gates as `[num_nodes, num_experts]`, 0 where an expert is not chosen."""
    return gate.new_zeros(gate.size(0), num_experts).scatter_(1, expert_index, gate)


def _norm(hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm with the mean and inverse deviation that its gradient needs."""
    normed, mean, rstd = torch.native_layer_norm(hidden, [hidden.size(1)], weight, bias, 1e-5)
    return normed, mean, rstd


def _blocks(counts: list[int], device: torch.device) -> Iterator[tuple[int, slice]]:
    """Ranges of rows that belong to one expert, at most `CPU_ROWS` long on the CPU."""
    start = 0
    for expert, count in enumerate(counts):
        stop = start + count
        step = CPU_ROWS if device.type == "cpu" else max(count, 1)
        for first in range(start, stop, step):
            yield expert, slice(first, min(first + step, stop))
        start = stop
