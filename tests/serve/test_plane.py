"""The map is there at once, then better, and can be given up."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from mmgraph.report.map import project
from mmgraph.serve import plane as module
from mmgraph.serve.plane import Plane


def planted(count: int) -> torch.Tensor:
    """Three far groups."""
    group = torch.arange(count) % 3
    random = torch.Generator().manual_seed(0)
    return torch.nn.functional.one_hot(group, 12).float() + 0.05 * torch.randn(count, 12, generator=random)


def purity(points: np.ndarray) -> float:
    """Share of nodes whose nearest other node is of their group."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return float((distance.argmin(axis=1) % 3 == np.arange(len(points)) % 3).mean())


def made(vectors: torch.Tensor) -> Plane:
    return Plane(len(vectors), lambda positions: vectors[torch.from_numpy(positions)])


def test_groups_are_apart_before_and_after_tsne() -> None:
    vectors = planted(90)
    plane = made(vectors)
    plane.start()
    assert plane.ready.wait(60)
    first = plane.points
    assert first is not None
    assert first.min() == 0
    assert first.max() == 1
    assert purity(first) > 0.9
    assert plane.final.wait(120)
    assert plane.points is not None
    assert plane.version == 2
    assert purity(plane.points) > 0.95
    plane.stop()


def test_many_nodes_keep_their_principal_axes(monkeypatch) -> None:
    monkeypatch.setattr(module, "TSNE_NODES", 10)
    monkeypatch.setattr(module, "ROWS_PER_CHUNK", 7)
    monkeypatch.setattr(module, "FITTED_ON", 60)
    vectors = planted(90)
    plane = made(vectors)
    plane.start()
    assert plane.final.wait(60)
    assert plane.version == 1
    assert plane.points is not None
    assert purity(plane.points) > 0.9
    again = made(vectors)
    again.start()
    assert again.final.wait(60)
    assert np.array_equal(again.points, plane.points)


def test_tsne_is_that_of_the_report_and_equal_vectors_share_a_point() -> None:
    vectors = planted(30)
    plane, doubled = made(vectors), made(torch.cat([vectors, vectors]))
    for one in (plane, doubled):
        one.start()
    for one in (plane, doubled):
        assert one.final.wait(120)
        assert one.version == 2
    expected = project(vectors.numpy(), seed=0)
    assert plane.points is not None
    assert np.allclose(plane.points, expected, atol=1e-6)
    assert doubled.points is not None
    assert np.array_equal(doubled.points[:30], doubled.points[30:])
    assert purity(doubled.points[:30]) > 0.9


@pytest.mark.parametrize(
    "vectors", [torch.ones(1, 4), torch.ones(2, 1), torch.eye(3), torch.zeros(5, 4), torch.ones(6, 4)]
)
def test_tables_without_two_axes(vectors) -> None:
    plane = made(vectors)
    plane.start()
    assert plane.ready.wait(60)
    assert plane.points is not None
    assert plane.points.shape == (len(vectors), 2)
    assert np.isfinite(plane.points).all()
    plane.stop()


def test_it_can_be_stopped_in_the_middle() -> None:
    vectors = torch.randn(5000, 64)
    plane = made(vectors)
    plane.start()
    assert plane.ready.wait(60)
    began = time.perf_counter()
    plane.stop()
    assert plane.final.wait(10)
    assert time.perf_counter() - began < 10
    assert plane.version == 1
