"""Ridge regression on frozen vectors, selected on validation data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.metrics.regression import root_mean_squared_error
from mmgraph.tasks.logistic import principal_axes


@dataclass(frozen=True)
class RidgeConfig:
    """Grid of a ridge regression.

    Attributes:
        penalties: Factors of the squared norm to try, strongest first.
        refine: Then try the geometric means of the best factor and its neighbours.
    """

    penalties: tuple[float, ...] = (1e5, 1e4, 1000.0, 100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
    refine: bool = True

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) <= 0:
            raise InputError(f"penalties must be positive numbers, got {list(self.penalties)}")
        if list(self.penalties) != sorted(set(self.penalties), reverse=True):
            raise InputError(f"penalties must be in descending order, got {list(self.penalties)}")


@dataclass(frozen=True)
class RidgeSelection:
    """What was chosen on validation data.

    Attributes:
        penalty: The chosen factor of the squared norm.
        score: Minus the root mean squared error on validation data, in units of the values.
    """

    penalty: float
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class RidgeProbe:
    """A fitted ridge regression.

    Attributes:
        weight: `[dim + 1, 1]`, float64: weights of scaled vectors for standardised values; the last row is the bias,
            which is zero because both are centred.
        mean: `[dim]`, float64: mean of the training rows.
        scale: Root mean square over all entries of the centred training rows, 1 if that is zero.
        centre: Mean of the training values.
        spread: Standard deviation of the training values.
        selection: How it was chosen.
    """

    weight: Tensor
    mean: Tensor
    scale: float
    centre: float
    spread: float
    selection: RidgeSelection

    def predict(self, vectors: Tensor) -> Tensor:
        """Values `[n]`, float64, of vectors `[n, dim]`."""
        scaled = (vectors.double() - self.mean) / self.scale
        return (scaled @ self.weight[:-1] + self.weight[-1]).squeeze(1) * self.spread + self.centre


def fit_ridge(
    train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor], config: RidgeConfig | None = None
) -> RidgeProbe:
    """Minimise `mean squared error / 2 + penalty / 2 * |weight|^2` for a grid of penalties [1] and keep the best.

    The best has the least squared error on validation data; of equal ones it is that with the strongest penalty. Values are
    standardised and vectors centred and divided by one number for all columns, both by the training rows alone, so a
    rotated embedding gets the same score (see `fit_probe`), and other units of the values choose the same penalty. The
    solution is computed in closed form, in double precision: nothing is random.

    Args:
        train: Vectors `[n, dim]` and values `[n]`.
        valid: The same for validation.
        config: The grid.

    Raises:
        InputError: If train or valid has no rows, or all train values are equal.

    References:
        [1] Hoerl and Kennard, 1970, Ridge Regression: Biased Estimation for Nonorthogonal Problems.
    """
    config = config or RidgeConfig()
    for name, part in (("train", train), ("valid", valid)):
        if len(part[1]) == 0:
            raise InputError(f"ridge regression: {name} has no rows")
    vectors, values = train[0].double(), train[1].to(train[0].device).double()
    centre, spread = standard(values)
    mean = vectors.mean(dim=0)
    # The computed mean of equal numbers may differ from them: a constant column would become noise once scaled.
    x = (vectors - mean) * (vectors.amax(dim=0) > vectors.amin(dim=0))
    rms = float(x.square().mean().sqrt()) if x.numel() else 0.0
    scale = rms if rms > 0 else 1.0
    solve = _solver(x / scale, (values - centre) / spread)
    valid_x, valid_y = (valid[0].double() - mean) / scale, valid[1].to(train[0].device).double()

    tried: dict[float, tuple[float, Tensor]] = {}

    def attempt(penalty: float) -> None:
        weight = solve(penalty)
        tried[penalty] = (-root_mean_squared_error(valid_x @ weight * spread + centre, valid_y), weight)

    for penalty in config.penalties:
        attempt(penalty)
    best = _best(tried)
    if config.refine:
        place = config.penalties.index(best)
        for other in config.penalties[max(place - 1, 0) : place] + config.penalties[place + 1 : place + 2]:
            attempt((best * other) ** 0.5)
        best = _best(tried)
    score, weight = tried[best]
    weight = torch.cat([weight, weight.new_zeros(1)]).unsqueeze(1)
    return RidgeProbe(weight, mean, scale, centre, spread, RidgeSelection(best, score))


def standard(values: Tensor) -> tuple[float, float]:
    """Mean and standard deviation (of the population) of `[n]` numbers.

    Raises:
        InputError: If they are all equal, which leaves nothing to learn, or their squares exceed double precision.
    """
    values = values.double()
    if bool((values == values[0]).all()):
        raise InputError(f"expected at least two different values to learn from, got only {float(values[0]):g}")
    centre, spread = float(values.mean()), float(values.std(correction=0))
    if not (math.isfinite(centre) and 0 < spread < math.inf):
        raise InputError(
            f"expected values whose squares are numbers in double precision, got {float(values.min()):g} to "
            f"{float(values.max()):g}; use other units"
        )
    return centre, spread


def _best(tried: dict[float, tuple[float, Tensor]]) -> float:
    return max(tried, key=lambda penalty: (tried[penalty][0], penalty))


def _solver(x: Tensor, y: Tensor) -> Callable[[float], Tensor]:
    """Weights `[dim]` by penalty, for centred rows `[n, dim]` and values `[n]`, both float64.

    Along principal axes a weight is `covariance / (variance + penalty)`, so the whole grid costs one decomposition.
    Where that does not pay, the smaller of the two normal equations is solved for each penalty.
    """
    n, dim = x.shape
    axes = principal_axes(x, 0.0, dtype=torch.float64) if x.numel() else None
    if axes is not None:
        turned = x @ axes
        variance, covariance = turned.square().mean(dim=0), turned.t() @ y / n
        return lambda penalty: axes @ (covariance / (variance + penalty))
    is_wide = n < dim
    gram = (x @ x.t() if is_wide else x.t() @ x) / n
    side = y / n if is_wide else x.t() @ y / n

    def solve(penalty: float) -> Tensor:
        factor = torch.linalg.cholesky(gram + penalty * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))
        found = torch.cholesky_solve(side.unsqueeze(1), factor).squeeze(1)
        return x.t() @ found if is_wide else found

    return solve
