"""Sparse mixture of experts on node vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgraph.errors import InputError
from mmgraph.nn.experts import ExpertBank


@dataclass(frozen=True)
class MoEConfig:
    """Mixture of experts that aligns modalities and domains.

    Attributes:
        num_experts: Number of experts; 0 leaves the mixture out.
        top_k: Number of experts that each node uses.
        hidden_mult: Width of an expert's hidden layer, as a multiple of the node vector's.
        balance_weight: Weight of the load-balance loss in pre-training.
        residual: Add the mixture to its input instead of replacing it.
        zero_init: The experts answer zero at first, so that the mixture starts as the identity.
    """

    num_experts: int = 8
    top_k: int = 2
    hidden_mult: float = 0.25
    balance_weight: float = 0.01
    residual: bool = True
    zero_init: bool = True

    def __post_init__(self) -> None:
        if self.num_experts < 0:
            raise InputError(f"moe.num_experts must be 0 or more, got {self.num_experts}")
        if self.num_experts and not 1 <= self.top_k <= self.num_experts:
            raise InputError(f"moe.top_k must lie in 1..{self.num_experts} (num_experts), got {self.top_k}")
        if self.zero_init and not self.residual:
            raise InputError("moe.zero_init needs moe.residual: without it every node would start as zero")
        if self.hidden_mult <= 0:
            raise InputError(f"moe.hidden_mult must be positive, got {self.hidden_mult}")
        if self.balance_weight < 0:
            raise InputError(f"moe.balance_weight must be 0 or more, got {self.balance_weight}")


@dataclass(frozen=True, eq=False)
class Routing:
    """What the router did.

    Attributes:
        load: `[num_experts]`: fraction of all assignments that went to each expert; no gradient.
        importance: `[num_experts]`: mean gate probability (over all experts, before the choice).
        balance_loss: Scalar, Switch load-balance loss `num_experts * sum(load * importance)`; 1 if balanced.
        expert_index: `[num_nodes, top_k]`: the chosen experts, best first.
        gate: `[num_nodes, top_k]`: weights of the chosen experts, summing to 1.
    """

    load: Tensor
    importance: Tensor
    balance_loss: Tensor
    expert_index: Tensor
    gate: Tensor


class MixtureOfExperts(nn.Module):
    """Top-k mixture of small MLPs: `y = x + sum_k g_k E_k(x)`.

    `g` is the softmax of a linear router, cut to the top k and normalised again; `E_k = Linear -> LayerNorm -> GELU ->
    Linear`. Nodes are grouped by expert, so time follows the experts that are used; there is no capacity, hence no node
    is dropped. Departures from the official code of UniGraph2: residual, and the load-balance loss of Switch [1].

    Args:
        dim: Width of the node vectors.
        config: Number of experts and so on.

    Shapes:
        - input: `[num_nodes, dim]`
        - output: `[num_nodes, dim]` and the routing

    References:
        [1] Fedus et al., 2022, Switch Transformers, arXiv:2101.03961, equation 4.
    """

    def __init__(self, dim: int, config: MoEConfig) -> None:
        super().__init__()
        self.dim = dim
        self.config = config
        self.router: nn.Linear | None = None
        self.experts: ExpertBank | None = None
        if config.num_experts:
            self.router = nn.Linear(dim, config.num_experts)
            self.experts = ExpertBank(config.num_experts, dim, max(1, round(dim * config.hidden_mult)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters from torch's global generator."""
        if self.router is not None and self.experts is not None:
            self.router.reset_parameters()
            self.experts.reset_parameters()
            if self.config.zero_init:
                nn.init.zeros_(self.experts.weight_out)
                nn.init.zeros_(self.experts.bias_out)

    def route(self, x: Tensor) -> Routing:
        """Choose the experts of each node, `[num_nodes, dim]`."""
        num_experts, top_k = self.config.num_experts, self.config.top_k
        if self.router is None:
            nothing = x.new_zeros(0, dtype=torch.float32)
            empty = torch.empty(x.size(0), 0, dtype=torch.int64, device=x.device)
            return Routing(nothing, nothing, x.new_zeros((), dtype=torch.float32), empty, empty.float())
        # Half precision would let near ties flip between experts.
        with torch.autocast(x.device.type, enabled=False):
            logits = nn.functional.linear(x.to(self.router.weight.dtype), self.router.weight, self.router.bias)
            probability = logits.softmax(dim=1)
            chosen, expert_index = probability.topk(top_k, dim=1)
            gate = chosen / chosen.sum(dim=1, keepdim=True)
            count = max(x.size(0), 1)
            load = torch.bincount(expert_index.flatten(), minlength=num_experts).to(gate.dtype) / (count * top_k)
            importance = probability.sum(dim=0) / count
            return Routing(load, importance, balance_loss(load, importance), expert_index, gate)

    def forward(self, x: Tensor) -> tuple[Tensor, Routing]:
        """Mix the experts' answers."""
        routing = self.route(x)
        if self.experts is None:
            return x, routing
        mixed = self.experts(x, routing.expert_index, routing.gate)
        return (x + mixed if self.config.residual else mixed), routing


def balance_loss(load: Tensor, importance: Tensor) -> Tensor:
    """Load-balance loss of Switch [1, equation 4], `num_experts * sum(load * importance)`; 1 if balanced, 0 without experts.

    Args:
        load: `[num_experts]`: share of the assignments that went to each expert.
        importance: `[num_experts]`: mean gate probability.

    References:
        [1] Fedus et al., 2022, Switch Transformers, arXiv:2101.03961.
    """
    return load.numel() * (load * importance).sum()
