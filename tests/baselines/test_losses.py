from __future__ import annotations

import math

import pytest
import torch

from mmgraph.baselines.bgrl import teacher_momentum
from mmgraph.baselines.grace import info_nce
from mmgraph.baselines.losses import scaled_cosine_error
from mmgraph.baselines.teacher import follow, make_teacher


def test_scaled_cosine_error_by_hand() -> None:
    target = torch.tensor([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    prediction = torch.tensor([[3.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])  # cosines 1, 0, -1
    assert scaled_cosine_error(prediction, target, 1.0).item() == pytest.approx((0 + 1 + 2) / 3)
    assert scaled_cosine_error(prediction, target, 3.0).item() == pytest.approx((0 + 1 + 8) / 3)


def test_scaled_cosine_error_has_finite_gradients_at_zero_rows() -> None:
    prediction = torch.zeros(2, 3, requires_grad=True)
    scaled_cosine_error(prediction, torch.zeros(2, 3), 2.0).backward()  # type: ignore[no-untyped-call]
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()


def test_info_nce_against_a_literal_sum() -> None:
    random = torch.Generator().manual_seed(0)
    u, v = torch.nn.functional.normalize(torch.randn(2, 5, 3, generator=random), dim=2)
    wanted = 0.0
    for i in range(5):
        others = [math.exp(float(u[i] @ v[j]) / 0.4) for j in range(5)]
        others += [math.exp(float(u[i] @ u[j]) / 0.4) for j in range(5) if j != i]
        wanted -= math.log(math.exp(float(u[i] @ v[i]) / 0.4) / sum(others)) / 5
    assert info_nce(u, v, 0.4).item() == pytest.approx(wanted, rel=1e-5)


def test_a_teacher_follows_and_gets_no_gradient() -> None:
    student = torch.nn.Linear(2, 2)
    teacher = make_teacher(student)
    before = teacher.weight.clone()
    with torch.no_grad():
        student.weight.add_(1.0)
    follow(teacher, student, 0.75)
    assert torch.allclose(teacher.weight, before + 0.25)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    follow(teacher, student, 0.0)
    assert torch.allclose(teacher.weight, student.weight)


def test_the_momentum_rises_to_one() -> None:
    values = [teacher_momentum(0.9, share / 10) for share in range(11)]
    assert values[0] == pytest.approx(0.9)
    assert values[5] == pytest.approx(0.95)
    assert values[-1] == pytest.approx(1.0)
    assert values == sorted(values)
