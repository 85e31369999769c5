from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.report.plots import HEIGHT, WIDTH, Series, line_chart, nice_ticks, running_mean


@settings(max_examples=25, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_enclose_the_range_in_equal_steps(low: float, width: float) -> None:
    high = low + width
    ticks = nice_ticks(low, high)
    gaps = [b - a for a, b in itertools.pairwise(ticks)]
    slack = 1e-6 * max(gaps)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert all(math.isclose(gap, gaps[0], rel_tol=1e-3, abs_tol=1e-9) for gap in gaps)
    assert 2 <= len(ticks) <= 8


def test_ticks_of_a_constant() -> None:
    assert nice_ticks(3.0, 3.0)[0] < 3.0 < nice_ticks(3.0, 3.0)[-1]


def test_a_running_mean_keeps_straight_lines() -> None:
    line = [(float(x), 2.0 * x + 1) for x in range(50)]
    smooth = running_mean(line)
    assert [x for x, _ in smooth] == [x for x, _ in line]
    assert [y for _, y in smooth] == pytest.approx([y for _, y in line])


def test_lines_stay_inside_and_are_described() -> None:
    series = [Series("joint", range(50), [1 / (x + 1) for x in range(50)]), Series("al<one", range(50), [5.0] * 50, 1)]
    text = line_chart(series, title="loss & more")
    root = ET.fromstring(text)
    assert root.attrib["aria-label"].startswith("loss & more: joint from 1 to")
    assert "al<one from 5 to 5" in root.attrib["aria-label"]
    lines = root.findall("polyline")
    assert len(lines) == 4
    for line in lines:
        points = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
        assert len(points) == 50
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


def test_values_that_are_not_finite_are_left_out_and_none_at_all_is_said() -> None:
    text = line_chart([Series("a", [0, 1, 2], [1.0, math.nan, 2.0])], title="t")
    assert "nan" not in text
    assert "no values" in line_chart([Series("a", [0], [math.inf])], title="t")


def test_a_single_point() -> None:
    ET.fromstring(line_chart([Series("a", [7], [0.5])], title="t"))
