from __future__ import annotations

import math

import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.metrics import geometry
from mmgraph.metrics.geometry import alignment, effective_rank, modality_gap, uniformity


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "ROWS_PER_CHUNK", 7)


def test_gap_by_hand() -> None:
    first = torch.tensor([[2.0, 0.0], [0.0, 3.0]])  # centre (1/2, 1/2)
    second = torch.tensor([[-1.0, 0.0]])
    assert modality_gap(first, second) == pytest.approx(math.hypot(1.5, 0.5))
    assert modality_gap(first, first.flip(0) * 5) == pytest.approx(0.0)
    assert modality_gap(torch.ones(3, 4), -torch.ones(2, 4)) == pytest.approx(2.0)


def test_alignment_by_hand() -> None:
    first, second = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    assert alignment(first, second) == pytest.approx((2 + 0) / 2)
    assert alignment(first, second, power=1) == pytest.approx(math.sqrt(2) / 2)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("count", [2, 7, 8, 30])
@pytest.mark.parametrize("temperature", [2.0, 100.0])
def test_chunks_equal_the_authors_code(count: int, temperature: float) -> None:
    # align_loss and uniform_loss as in github.com/ssnl/align_uniform (pdist counts each pair once).
    x, y = (torch.nn.functional.normalize(torch.randn(count, 5, dtype=torch.float64), dim=1) for _ in range(2))
    assert alignment(3 * x, y) == pytest.approx(float((x - y).norm(p=2, dim=1).pow(2).mean()))
    expected = torch.pdist(x, p=2).pow(2).mul(-temperature).logsumexp(0) - math.log(count * (count - 1) / 2)
    assert uniformity(0.1 * x, temperature=temperature) == pytest.approx(float(expected), rel=1e-5)
    assert modality_gap(x, y) == pytest.approx(float((x.mean(0) - y.mean(0)).norm()))


def test_uniformity_of_a_collapse_and_of_a_circle() -> None:
    assert uniformity(torch.ones(9, 3)) == pytest.approx(0.0, abs=1e-6)
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8.0)
    # Uniform on the circle: mean exp(-4 (1 - cos)) = exp(-4) I0(4).
    angle = torch.arange(2000) * (2 * math.pi / 2000)
    expected = math.log(float(torch.special.i0(torch.tensor(4.0)))) - 4
    assert uniformity(torch.stack([angle.cos(), angle.sin()], dim=1)) == pytest.approx(expected, abs=0.005)


@pytest.mark.usefixtures("small_chunks")
def test_effective_rank() -> None:
    assert effective_rank(torch.eye(6)) == pytest.approx(6.0)
    assert effective_rank(torch.outer(torch.arange(1.0, 20), torch.ones(5))) == pytest.approx(1.0, abs=1e-5)
    x = torch.randn(30, 8) @ torch.diag(torch.arange(8.0)) + 3
    for centre, values in ((False, x), (True, x - x.mean(0))):
        singular = torch.linalg.svdvals(values.double())
        share = singular / singular.sum()
        share = share[share > 0]
        expected = math.exp(float(-(share * share.log()).sum()))
        assert effective_rank(x, centre=centre) == pytest.approx(expected, rel=1e-5)


def test_effective_rank_ignores_rotation_and_scale() -> None:
    x, rotation = torch.randn(40, 6).double(), torch.linalg.qr(torch.randn(6, 6).double()).Q
    assert effective_rank(5 * x @ rotation) == pytest.approx(effective_rank(x))


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0])
def test_bad_rows_are_refused(bad: float) -> None:
    x = torch.randn(4, 3)
    y = x.clone()
    y[2] = bad
    with pytest.raises(InputError, match="second: 1 rows are zero, NaN or infinite: 2"):
        alignment(x, y)
    with pytest.raises(InputError, match="first: 1 rows"):
        modality_gap(y, x)
    with pytest.raises(InputError, match="1 rows are zero"):
        uniformity(y)
    if bad != 0:
        with pytest.raises(InputError, match="NaN, infinity"):
            effective_rank(y)


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="one width, got 3 and 4"):
        modality_gap(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(InputError, match="needs pairs"):
        alignment(torch.ones(2, 3), torch.ones(3, 3))
    with pytest.raises(InputError, match="at least two"):
        uniformity(torch.ones(1, 3))
    with pytest.raises(InputError, match="not be empty"):
        effective_rank(torch.ones(0, 3))
    with pytest.raises(InputError, match="all vectors are zero"):
        effective_rank(torch.zeros(4, 3))
    with pytest.raises(InputError, match="all vectors are equal"):
        effective_rank(torch.full((9, 3), 0.1), centre=True)
