"""A linear probe: logistic regression on frozen vectors, selected on validation data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mmgraph.metrics.classification import accuracy, multilabel_macro_f1


@dataclass(frozen=True)
class ProbeConfig:
    """Grid and length of a linear probe.

    Attributes:
        weight_decays: Factors of the squared norm to try, strongest first; each starts from the weights before it.
        max_steps: Most steps of L-BFGS per factor.
        patience: Stop after this many factors in a row that are no better on validation data.
    """

    weight_decays: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
    max_steps: int = 100
    patience: int = 3


@dataclass(frozen=True)
class ProbeSelection:
    """What was chosen on validation data.

    Attributes:
        weight_decay: The chosen factor of the squared norm.
        num_steps: Steps of L-BFGS up to it.
        score: Score on validation data: accuracy, or minus the cross-entropy if there are several labels.
        threshold: Probability from which a label is predicted, if there are several labels.
    """

    weight_decay: float
    num_steps: int
    score: float
    threshold: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A trained probe.

    Attributes:
        weight: `[dim + 1, num_classes]`, the last row is the bias.
        mean: `[dim]`: mean of the training rows.
        scale: `[dim]`: their standard deviation, 1 where it is zero.
        selection: How it was chosen.
    """

    weight: Tensor
    mean: Tensor
    scale: Tensor
    selection: ProbeSelection

    def logits(self, vectors: Tensor) -> Tensor:
        """Logits `[n, num_classes]` of vectors `[n, dim]`."""
        return _standardised(vectors, self.mean, self.scale) @ self.weight


def fit_probe(
    train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor], num_classes: int, config: ProbeConfig | None = None
) -> LinearProbe:
    """Minimise `cross-entropy + weight_decay / 2 * |weight|^2` along a path of weight decays and keep the best.

    The problem is convex and the weights start at zero, so nothing is random, and there is no learning rate to tune:
    with Adam instead, accuracy fell up to 2 points short of the optimum of the same loss. Along the path, the score
    on validation data counts first, then the loss there. Means and scales come from the training rows alone.

    Args:
        train: Vectors `[n, dim]` and targets, int64 `[n]` (classes) or bool `[n, num_classes]` (labels).
        valid: The same for validation.
        num_classes: Number of classes or labels.
        config: The grid.
    """
    config = config or ProbeConfig()
    mean = train[0].mean(dim=0)
    scale = train[0].std(dim=0, correction=0)
    scale = torch.where(scale > 1e-12, scale, 1.0)
    x, valid_x = _standardised(train[0], mean, scale), _standardised(valid[0], mean, scale)
    weight = torch.zeros(x.size(1), num_classes, device=x.device)
    best: tuple[tuple[float, float], float, int, Tensor] | None = None
    num_steps = worse = 0
    for decay in config.weight_decays:
        weight, steps = _minimise(x, train[1], weight, decay, config.max_steps)
        num_steps += steps
        score = validation_score(valid_x @ weight, valid[1])
        if best is None or score > best[0]:
            best, worse = (score, decay, num_steps, weight), 0
            continue
        worse += 1
        if worse == config.patience:
            break
    assert best is not None
    threshold = best_threshold((valid_x @ best[3]).sigmoid(), valid[1]) if valid[1].dim() == 2 else None
    return LinearProbe(best[3], mean, scale, ProbeSelection(best[1], best[2], best[0][0], threshold))


def _minimise(x: Tensor, target: Tensor, start: Tensor, decay: float, max_steps: int) -> tuple[Tensor, int]:
    """Weights at the minimum, and the number of steps; the gradient is `x' (probability - target) / n`, written out."""
    weight = start.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [weight],
        max_iter=max_steps,
        max_eval=2 * max_steps,
        history_size=10,
        tolerance_grad=1e-4,
        tolerance_change=1e-6,
        line_search_fn="strong_wolfe",
    )
    rows = torch.arange(len(x), device=x.device)

    @torch.no_grad()
    def closure() -> float:
        logits = x @ weight
        if target.dim() == 1:
            log_probability = logits.log_softmax(dim=1)
            loss = -log_probability[rows, target].mean()
            error = log_probability.exp_()
            error[rows, target] -= 1
        else:
            wide = target.float()
            loss = (torch.nn.functional.softplus(logits) - logits * wide).sum(dim=1).mean()
            error = logits.sigmoid_() - wide
        penalised = weight.clone()
        penalised[-1] = 0  # the bias is free
        weight.grad = (x.t() @ error).div_(len(x)).add_(penalised, alpha=decay)
        return float(loss + 0.5 * decay * penalised.square().sum())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), int(optimizer.state[weight]["n_iter"])


def validation_score(logits: Tensor, target: Tensor) -> tuple[float, float]:
    """Score on validation data, and minus the loss to decide between equal scores."""
    if target.dim() == 1:
        gain = -float(torch.nn.functional.cross_entropy(logits, target))
        return accuracy(logits.argmax(dim=1), target), gain
    gain = -float(torch.nn.functional.binary_cross_entropy_with_logits(logits, target.float()))
    return gain, gain


def best_threshold(probability: Tensor, target: Tensor) -> float:
    """One threshold for all labels, by macro-F1; a threshold per label would overfit rare ones."""
    choices = [step / 20 for step in range(1, 20)]
    if not bool(target.any()):
        return 0.5
    return max(choices, key=lambda threshold: multilabel_macro_f1(probability >= threshold, target))


def _standardised(vectors: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Standardise and append a column of ones for the bias: `[n, dim + 1]`."""
    values = (vectors.float() - mean) / scale
    return torch.cat([values, values.new_ones(len(values), 1)], dim=1)
