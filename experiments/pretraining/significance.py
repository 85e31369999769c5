"""Is a difference more than the spread over seeds? Paired tests with a correction for many of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from results import NO_SEED, Row, shown_metric, values_of
from scipy import stats

LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """One of our models against another on one measure.

    Attributes:
        measure: Name of the measure.
        other: Label of the other model.
        difference: Mean of ours minus theirs.
        n: Number of pairs.
        p: Two-sided p-value, corrected; NaN with fewer than two pairs.
    """

    measure: str
    other: str
    difference: float
    n: int
    p: float

    @property
    def loses(self) -> bool:
        """Ours is behind, whether or not that could be chance."""
        return self.difference < 0


def paired_test(ours: Mapping[str, float], other: Mapping[str, float]) -> tuple[float, int, float]:
    """Mean difference, number of pairs and p-value.

    With seeds on both sides a paired t-test over common seeds; against a model without seed a one-sample t-test against
    its value. Where all differences are equal there is no spread to test against: p is 1 for zero and 0 otherwise.
    """
    if set(other) == {NO_SEED}:
        mine, theirs = list(ours.values()), [other[NO_SEED]] * len(ours)
    else:
        common = [seed for seed in ours if seed in other]
        mine, theirs = [ours[seed] for seed in common], [other[seed] for seed in common]
    if not mine:
        return math.nan, 0, math.nan
    differences = np.subtract(mine, theirs)
    mean = float(differences.mean())
    if len(mine) < 2:
        return mean, len(mine), math.nan
    if np.ptp(differences) == 0:
        return mean, len(mine), float(mean == 0)
    if set(other) == {NO_SEED}:
        return mean, len(mine), float(stats.ttest_1samp(mine, other[NO_SEED]).pvalue)
    return mean, len(mine), float(stats.ttest_rel(mine, theirs).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p-values [1]; NaN stays NaN and does not count.

    References:
        [1] Holm, 1979, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6.
    """
    valid = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    corrected, highest = [math.nan] * len(p_values), 0.0
    for rank, index in enumerate(sorted(valid, key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(valid) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def compare(rows: Sequence[Row], model: str) -> list[Comparison]:
    """One of our models against all that are not ours, on every measure; corrected over all of these at once."""
    mine = {row["measure"]: row for row in rows if row["model"] == model}
    found = []
    for row in rows:
        if row["family"] == "ours" or row["measure"] not in mine:
            continue
        metric = shown_metric(row)
        ours = values_of(mine[row["measure"]]).get(metric, {})
        found.append((row, *paired_test(ours, values_of(row)[metric])))
    corrected = holm([p for *_, p in found])
    return [
        Comparison(row["measure"], row["label"], difference, n, p)
        for (row, difference, n, _), p in zip(found, corrected, strict=True)
    ]
