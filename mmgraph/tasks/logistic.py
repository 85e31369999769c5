"""Logistic regression that is cheap to solve many times: principal axes of the rows, and steps scaled along them."""

from __future__ import annotations

import torch
from torch import Tensor

ROTATED_DIMS = 2560
"""Wider rows, if there are as many of them, are not rotated: the axes would cost more than the steps that they save."""
ROWS_AT_ONCE = 4096


def principal_axes(x: Tensor, negligible: float, *, dtype: torch.dtype = torch.float32) -> Tensor | None:
    """Orthonormal axes that diagonalise `x' x / n`, without those on which the rows hardly differ.

    L2-regularised models see rotated rows as they see the rows themselves, so this changes no solution.

    Args:
        x: `[n, dim]`, centred rows.
        negligible: Axes are left out, least variance first, while the sum of their variances stays below this.
        dtype: Of the axes; they are computed in double precision.

    Returns:
        `[dim, num_axes]`, most variance first; `None` if both `n` and `dim` are so large that it does not pay.
    """
    n, dim = x.shape
    if min(n, dim) > ROTATED_DIMS:
        return None
    if n < dim:  # the axes lie in the span of the rows: decompose `x x'` instead
        wide = x.double()
        variance, left = torch.linalg.eigh(wide @ wide.t() / n)
        kept = _kept(variance, negligible)
        axes = wide.t() @ left[:, kept] / (variance[kept] * n).sqrt()
    else:
        gram = torch.zeros(dim, dim, dtype=torch.float64, device=x.device)
        for start in range(0, n, ROWS_AT_ONCE):
            part = x[start : start + ROWS_AT_ONCE].double()
            gram.addmm_(part.t(), part)
        variance, axes = torch.linalg.eigh(gram / n)
        axes = axes[:, _kept(variance, negligible)]
    turned: Tensor = axes.flip(1).to(dtype)
    return turned


def _kept(variance: Tensor, negligible: float) -> Tensor:
    """Which of ascending variances to keep, bool; always the largest, and none that is zero up to rounding."""
    keep = (variance.clamp(min=0).cumsum(0) > negligible) & (variance > 1e-12 * variance[-1])
    keep[-1] = True
    return keep


def minimise(
    x: Tensor, target: Tensor, start: Tensor, decay: float, *, max_steps: int, tolerance: float
) -> tuple[Tensor, int]:
    """Weights at the minimum of `cross-entropy + decay / 2 * |weight|^2` by L-BFGS, the bias being free.

    The steps are taken in weights divided by `(share of the class * variance of the column + decay)^-1/2`, roughly
    the curvature of the loss along uncorrelated columns, which saves most of the steps.

    Args:
        x: `[n, dim + 1]`; the last column is all ones.
        target: int64 `[n]` (classes) or bool `[n, num_classes]` (labels).
        start: `[dim + 1, num_classes]`.
        decay: Factor of the squared norm.
        max_steps: Most steps.
        tolerance: Stop when a step gains less than this, in nats, or no entry of the scaled gradient is above it.

    Returns:
        Weights `[dim + 1, num_classes]` and the number of steps.
    """
    unit = _inverse_curvature(x, target, start.size(1), decay).sqrt()
    scaled = (start / unit).requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [scaled],
        max_iter=max_steps,
        max_eval=2 * max_steps,
        history_size=10,
        tolerance_grad=tolerance,
        tolerance_change=tolerance,
        line_search_fn="strong_wolfe",
    )
    rows = torch.arange(len(x), device=x.device)
    wide = target.to(x.dtype) if target.dim() == 2 else None

    @torch.no_grad()
    def closure() -> float:
        weight = scaled * unit
        logits = x @ weight
        if wide is None:
            log_probability = logits.log_softmax(dim=1)
            loss = -log_probability[rows, target].mean()
            error = log_probability.exp_()
            error[rows, target] -= 1
        else:
            loss = (torch.nn.functional.softplus(logits) - logits * wide).sum(dim=1).mean()
            error = logits.sigmoid_() - wide
        weight[-1] = 0  # the bias is free
        # The gradient is `x' (probability - target) / n`, written out.
        scaled.grad = (x.t() @ error).div_(len(x)).add_(weight, alpha=decay).mul_(unit)
        return float(loss + 0.5 * decay * weight.square().sum())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return (scaled.detach() * unit), int(optimizer.state[scaled]["n_iter"])


def _inverse_curvature(x: Tensor, target: Tensor, num_classes: int, decay: float) -> Tensor:
    """About the inverse of the diagonal of the Hessian, `[dim + 1, num_classes]`."""
    share = target.float().mean(dim=0) if target.dim() == 2 else target.bincount(minlength=num_classes) / len(target)
    spread = (share * (1 - share)).clamp(min=1 / len(x))
    penalty = torch.full((x.size(1), 1), decay, device=x.device)
    penalty[-1] = 0
    return (x.square().mean(dim=0).unsqueeze(1) * spread + penalty).reciprocal()
