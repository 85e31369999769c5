"""Metrics of numbers: by hand, against scikit-learn and SciPy, and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.errors import InputError
from mmgraph.metrics.regression import (
    mean_absolute_error,
    r2_score,
    regression_metrics,
    root_mean_squared_error,
    spearman,
)


def test_by_hand() -> None:
    prediction, target = torch.tensor([1.0, 2.0, 4.0, 4.0]), torch.tensor([1.0, 3.0, 2.0, 6.0])
    # errors 0, -1, 2, -2; the mean of the targets is 3, the squared distances to it add up to 4 + 0 + 1 + 9
    assert mean_absolute_error(prediction, target) == 5 / 4
    assert root_mean_squared_error(prediction, target) == 1.5
    assert r2_score(prediction, target) == pytest.approx(1 - 9 / 14)
    # ranks 1, 2, 3.5, 3.5 and 1, 3, 2, 4: products of deviations 2.25 - 0.25 - 0.5 + 1.5, norms 4.5 and 5
    assert spearman(prediction, target) == pytest.approx(3 / math.sqrt(4.5 * 5))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 40), ties=st.booleans(), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_scikit_learn_and_scipy_agree(seed: int, n: int, ties: bool, scale: float) -> None:
    random = np.random.default_rng(seed)
    target, prediction = scale * random.normal(size=(2, n)) + 3
    if ties:
        target, prediction = (scale * np.round(values / scale) for values in (target, prediction))
    found = regression_metrics(torch.from_numpy(prediction), torch.from_numpy(target))
    assert found["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(target, prediction))
    assert found["rmse"] == pytest.approx(sklearn.metrics.root_mean_squared_error(target, prediction))
    assert found["r2"] == pytest.approx(sklearn.metrics.r2_score(target, prediction), abs=1e-9)
    if len(set(target)) > 1 and len(set(prediction)) > 1:
        assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(prediction, target).statistic, abs=1e-12)


def test_what_equal_numbers_score() -> None:
    equal, other = torch.full((3,), 0.5), torch.tensor([0.1, 0.2, 0.3])
    assert r2_score(equal, equal) == 1.0
    assert r2_score(other, equal) == sklearn.metrics.r2_score(equal, other) == 0.0
    assert spearman(other, equal) == spearman(equal, other) == 0.0
    tenth = torch.full((3,), 0.1, dtype=torch.float64)  # their computed mean is not 0.1
    assert (r2_score(tenth, tenth), r2_score(other, tenth)) == (1.0, 0.0)
    assert r2_score(torch.tensor([1.0]), torch.tensor([2.0])) == 0.0
    mean = other.double().mean().expand(3)
    assert r2_score(mean, other) == pytest.approx(0.0)


def test_only_the_order_counts_for_spearman() -> None:
    prediction, target = torch.randn(2, 30, generator=torch.Generator().manual_seed(0))
    assert spearman(prediction.exp(), target) == pytest.approx(spearman(prediction, target))
    assert spearman(target**3, target) == pytest.approx(1.0)
    assert spearman(-target, target) == pytest.approx(-1.0)


def test_half_precision_is_averaged_in_double() -> None:
    prediction, target = torch.zeros(100_000, dtype=torch.float16), torch.ones(100_000, dtype=torch.float16)
    assert mean_absolute_error(prediction, target) == root_mean_squared_error(prediction, target) == 1.0


@pytest.mark.parametrize("metric", [mean_absolute_error, root_mean_squared_error, r2_score, spearman])
@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ([1.0], [1.0, 2.0], r"got \[1\] and \[2\]"),
        ([[1.0]], [[1.0]], r"got \[1, 1\]"),
        ([], [], "no examples"),
        ([math.nan, 1.0], [1.0, 1.0], "1 of 2 predictions are NaN or infinite"),
        ([1.0, 1.0], [math.inf, 1.0], "1 of 2 targets are NaN or infinite"),
    ],
)
def test_bad_input(metric, prediction, target, message: str) -> None:
    with pytest.raises(InputError, match=message):
        metric(torch.tensor(prediction), torch.tensor(target))
