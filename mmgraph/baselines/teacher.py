"""A teacher: a copy of a network that follows it as an exponential moving average."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def make_teacher(student: M) -> M:
    """Copy a network; the copy gets no gradients."""
    return copy.deepcopy(student).requires_grad_(False)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move every parameter of the teacher: `momentum * teacher + (1 - momentum) * student`."""
    for target, source in zip(teacher.parameters(), student.parameters(), strict=True):
        target.lerp_(source, 1.0 - momentum)
