"""Optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from mmgraph.errors import InputError


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with warm-up and a cosine schedule.

    Attributes:
        lr: Peak learning rate.
        weight_decay: Decay of matrices; biases, norms and tokens are not decayed.
        warmup: Share of the steps in which the rate rises linearly from 0.
        final_lr: Rate at the last step, as a share of the peak.
        clip: Largest norm of the gradient; 0 turns clipping off.
    """

    lr: float = 1e-3
    weight_decay: float = 1e-5
    warmup: float = 0.05
    final_lr: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise InputError(f"optim.lr must be above 0, got {self.lr}")
        for name in ("warmup", "final_lr"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"optim.{name} must lie in 0..1, got {getattr(self, name)}")
        for name in ("weight_decay", "clip"):
            if getattr(self, name) < 0:
                raise InputError(f"optim.{name} must not be negative, got {getattr(self, name)}")


def build_optimizer(
    modules: Mapping[str, nn.Module], config: OptimConfig, scales: Mapping[str, float] | None = None
) -> torch.optim.AdamW:
    """AdamW over all trainable parameters; only those with two or more dimensions are decayed.

    Args:
        modules: What is trained, by name.
        config: Settings.
        scales: Learning rate of a module as a share of `config.lr`, 1 where it has none; groups carry it as `scale`.
    """
    groups = []
    for scale in sorted({(scales or {}).get(name, 1.0) for name in modules}, reverse=True):
        mine = [module for name, module in modules.items() if (scales or {}).get(name, 1.0) == scale]
        parameters = [p for module in mine for p in module.parameters() if p.requires_grad]
        matrices = [p for p in parameters if p.dim() >= 2]
        others = [p for p in parameters if p.dim() < 2]
        groups.append({"params": matrices, "weight_decay": config.weight_decay, "scale": scale})
        groups.append({"params": others, "weight_decay": 0.0, "scale": scale})
    return torch.optim.AdamW(groups, lr=config.lr)


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """Rate at a step of `0 .. steps - 1`. A function of the step alone, so that it needs no state to resume."""
    warmup = round(config.warmup * steps)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return config.lr * (config.final_lr + (1 - config.final_lr) * 0.5 * (1 + math.cos(math.pi * progress)))
