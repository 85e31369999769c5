from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.report.map import project, to_grid


def test_groups_stay_together() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 16)) * 4
    group = np.repeat(np.arange(3), 30)
    points = project(centres[group] + rng.normal(size=(90, 16)), seed=0, max_iter=300)
    assert points.shape == (90, 2)
    assert points.min() == 0
    assert points.max() == 1
    distance = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(90)
    assert (group[distance.argmin(axis=1)] == group).mean() > 0.95


def test_projection_repeats() -> None:
    vectors = np.random.default_rng(1).normal(size=(40, 8))
    assert np.array_equal(project(vectors, seed=3, max_iter=250), project(vectors, seed=3, max_iter=250))


@pytest.mark.parametrize("distinct", [2, 20])
def test_equal_directions_share_a_point(distinct: int) -> None:
    vectors = np.random.default_rng(2).normal(size=(distinct, 8))
    alone = project(vectors, seed=0, max_iter=250)
    rows = np.random.default_rng(3).permutation(np.repeat(np.arange(distinct), 100 // distinct))
    first = np.unique(rows, return_index=True)[1]
    points = project(vectors[rows], seed=0, max_iter=250)
    assert np.array_equal(points, points[first][rows])
    assert len(np.unique(points, axis=0)) == distinct
    assert np.allclose(project(vectors[np.sort(rows[np.sort(first)])], seed=0, max_iter=250), alone)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_points(count: int) -> None:
    points = project(np.random.default_rng(0).normal(size=(count, 6)), seed=0, max_iter=250)
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_every_point_has_its_own_cell(points: list[tuple[float, float]]) -> None:
    cells = to_grid(np.asarray(points))
    side = int(np.ceil(np.sqrt(1.5 * len(points))))
    assert len({tuple(cell) for cell in cells.tolist()}) == len(points)
    assert cells.min() >= 0
    assert cells.max() < side


def test_points_that_do_not_compete_get_the_cell_they_lie_in() -> None:
    points = np.asarray([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert to_grid(points).tolist() == [[0, 0], [2, 0], [0, 2], [2, 2]]


def test_a_far_group_does_not_squeeze_the_others() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([0.1 * rng.random((95, 2)), 1 - 0.01 * rng.random((5, 2))])
    far = {even: to_grid(points, spare=6, even=even)[:95].max(axis=0).min() for even in (0.0, 0.5)}
    assert far[0.5] > far[0.0]
