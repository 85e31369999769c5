"""Line charts as inline SVG; colours come from the style sheet, so that they follow light and dark mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 380, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 34


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        label: Name in the legend.
        x: Steps, ascending.
        y: Values; those that are not finite are left out.
        style: Number of the colour.
        is_noisy: Draw the running mean over faint values; otherwise the values themselves.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: int = 0
    is_noisy: bool = True


def line_chart(series: Sequence[Series], *, title: str, x_label: str = "step") -> str:
    """Draw lines: the values faint, their running mean strong.

    Args:
        series: Lines that share the axes.
        title: Read out by screen readers, with first and last value of each line.
        x_label: Name of the horizontal axis.
    """
    points = {s.label: [(x, y) for x, y in zip(s.x, s.y, strict=True) if math.isfinite(y)] for s in series}
    smooth = {s.label: running_mean(points[s.label]) if s.is_noisy else points[s.label] for s in series}
    every = [point for line in points.values() for point in line]
    if not every:
        return f'<p class="note">{escape(title)}: no values were logged.</p>'
    x_ticks = nice_ticks(min(x for x, _ in every), max(x for x, _ in every), count=4)
    y_ticks = nice_ticks(*_robust_range([y for _, y in every], [y for line in smooth.values() for _, y in line]))
    x_range, y_range = (min(x_ticks), max(max(x_ticks), *(x for x, _ in every))), (y_ticks[0], y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_range[0]) / ((x_range[1] - x_range[0]) or 1)
        up = (min(max(y, y_range[0]), y_range[1]) - y_range[0]) / ((y_range[1] - y_range[0]) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = []
    for value in y_ticks:
        _, y = place(x_range[0], value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in x_ticks:
        x, _ = place(value, y_range[0])
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(x_label)}</text>')
    for s in series:
        parts.append(_path(points[s.label], place, f"line faint c{s.style}"))
        parts.append(_path(smooth[s.label], place, f"line c{s.style}"))
    spoken = "; ".join(
        f"{s.label} from {smooth[s.label][0][1]:.3g} to {smooth[s.label][-1][1]:.3g}" for s in series if smooth[s.label]
    )
    label = escape(f"{title}: {spoken}", quote=True)
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def running_mean(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Centred mean over a tenth of the line, shorter at the ends."""
    half = max(1, len(line) // 20)
    smooth = []
    for index, (x, _) in enumerate(line):
        reach = min(half, index, len(line) - 1 - index)
        window = [y for _, y in line[index - reach : index + reach + 1]]
        smooth.append((x, sum(window) / len(window)))
    return smooth


def nice_ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Round numbers (1, 2, 5 times a power of ten) that enclose `low..high`."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / max(1, count - 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _robust_range(values: Sequence[float], smooth: Sequence[float]) -> tuple[float, float]:
    """Range of the smoothed lines, widened to the 2nd..98th percentile of the values: one spike must not flatten all."""
    ordered = sorted(values)
    low, high = ordered[int(0.02 * (len(ordered) - 1))], ordered[math.ceil(0.98 * (len(ordered) - 1))]
    return min(low, *smooth), max(high, *smooth)


def _path(line: Sequence[tuple[float, float]], place: Callable[[float, float], tuple[float, float]], style: str) -> str:
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
    return f'<polyline class="{style}" points="{text}"/>'
