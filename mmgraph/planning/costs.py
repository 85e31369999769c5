"""Time as a function of size: measured points, straight lines between them, and a line beyond the last."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LEAST_SLOPE, MOST_SLOPE = 0.8, 1.4
"""Beyond the last point, the cost of one more unit is at least and at most so many times the mean cost of the last point.

Costs per unit grow while a graph outgrows the caches, and a noisy point must not be extrapolated a thousandfold.
"""


@dataclass(frozen=True)
class CostCurve:
    """Seconds by size.

    Attributes:
        points: Size and seconds of each measurement, by ascending size; at least one.
        flat: The time does not depend on the size: the last point holds everywhere.
    """

    points: tuple[tuple[float, float], ...]
    flat: bool = False

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]], *, flat: bool = False) -> CostCurve:
        """Sort the points by size."""
        return cls(tuple(sorted(points)), flat)

    def seconds(self, size: float, *, most_slope: float = MOST_SLOPE) -> float:
        """Seconds at a size.

        Between two points the line through them. Below the first, the line through the first two, never less than in
        proportion to the size. Above the last, the slope of the last two within `LEAST_SLOPE` and `most_slope`.
        """
        first, last = self.points[0], self.points[-1]
        if self.flat:
            return last[1]
        if len(self.points) == 1:
            return last[1] * size / last[0]
        if size >= last[0]:
            mean = last[1] / last[0]
            slope = min(max(_slope(*self.points[-2:]), LEAST_SLOPE * mean), most_slope * mean)
            return last[1] + slope * (size - last[0])
        for one, other in zip(self.points, self.points[1:], strict=False):
            if size <= other[0]:
                line = one[1] + _slope(one, other) * (size - one[0])
                return max(line, first[1] * size / first[0]) if size < first[0] else line
        raise AssertionError("a size below the last point lies below some point")

    @property
    def exponent(self) -> float | None:
        """Measured growth: the slope of log seconds over log size by least squares; None with one point."""
        if self.flat or len(self.points) < 2:
            return None
        x, y = ([math.log(max(point[axis], 1e-9)) for point in self.points] for axis in (0, 1))
        return statistics.linear_regression(x, y).slope

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"points": [list(point) for point in self.points], "flat": self.flat}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> CostCurve:
        """Read what `to_json` made."""
        return cls.of(((float(x), float(y)) for x, y in value["points"]), flat=bool(value["flat"]))


def _slope(one: tuple[float, float], other: tuple[float, float]) -> float:
    return (other[1] - one[1]) / (other[0] - one[0])
