"""What jumping through memory costs, by the size of what is jumped through: the part of a job that outgrows the caches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mmgraph.planning.clock import spent
from mmgraph.planning.workload import Workload

Kind = Literal["words", "rows"]
KINDS: dict[Kind, int] = {"words": 8, "rows": 512}
"""Bytes of a gather. `words` go to memory that is there, `rows` to new memory, as results of matrix operations do."""
WORKING_SETS = tuple(2**power for power in range(20, 29))
"""Bytes from which is gathered, 1 to 256 MiB."""
MOST_GATHERS = 2**19
LEAST_GATHERS: dict[Kind, int] = {"words": 2**19, "rows": 2**16}


@dataclass(frozen=True)
class GatherCurve:
    """Seconds per gather by working set.

    Attributes:
        points: Bytes and seconds, by ascending bytes; at least one.
    """

    points: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, points: Iterable[Iterable[float]]) -> GatherCurve:
        """Sort the points. Other work only adds time, so what costs more than from a larger working set is lowered."""
        found, least = [], math.inf
        for size, seconds in sorted(((float(size), float(seconds)) for size, seconds in points), reverse=True):
            least = min(least, seconds)
            found.append((size, least))
        return cls(tuple(reversed(found)))

    def seconds(self, size: float) -> float:
        """Seconds per gather: straight lines over the logarithm of the size, constant beyond both ends."""
        sizes, seconds = zip(*self.points, strict=True)
        return float(np.interp(math.log(size), np.log(sizes), seconds))

    def to_json(self) -> list[list[float]]:
        """As plain values; `of` reads them."""
        return [list(point) for point in self.points]


@dataclass(frozen=True)
class Jumps:
    """How a phase jumps.

    Attributes:
        kind: What it gathers.
        share: Part of its time, at the largest measured size, that grows with the cost of a gather.
        working_set: Bytes that it jumps through.
    """

    kind: Kind
    share: float
    working_set: Callable[[Workload], float]

    def growth(self, gathers: dict[str, GatherCurve], job: Workload, small: Workload) -> float:
        """How many times more a unit of work costs in `job` than in `small`; at least 1."""
        curve = gathers[self.kind]
        ratio = curve.seconds(self.working_set(job)) / curve.seconds(self.working_set(small))
        return 1 + self.share * max(ratio - 1, 0.0)


def _adjacency(job: Workload) -> float:
    """Sources and offsets of the adjacency, and per node four float64 of state and its place in two lists."""
    return 8 * job.messages + (8 + 32 + 16) * job.nodes


def _matrix(job: Workload) -> float:
    """One float32 vector per node."""
    return 4 * job.dim * job.nodes


JUMPS: dict[str, Jumps] = {
    "ppr": Jumps("words", 0.17, _adjacency),
    "prepare": Jumps("rows", 0.15, _matrix),
    "round": Jumps("rows", 0.2, _matrix),
}
"""Phases that jump. Shares were fitted to real runs of up to 160,000 nodes on an idle machine; other work that fills the
caches makes them larger. See `experiments/benchmarks/planning.py`."""


def measure_gathers(sizes: Iterable[int] = WORKING_SETS) -> dict[str, GatherCurve]:
    """Processor seconds of a gather of each kind, from memory of each size, in random order; two or three seconds in all.

    Args:
        sizes: Bytes; twice the largest is needed.
    """
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    random = np.random.default_rng(0)
    for size in sizes:
        for kind, width in KINDS.items():
            count = max(size // width, 1)
            memory = np.ones(count if kind == "words" else (count, width // 8))
            rows = random.integers(0, count, min(count, MOST_GATHERS))
            out = np.empty(len(rows)) if kind == "words" else None
            passes = max(1, LEAST_GATHERS[kind] // len(rows))

            def gather(memory: Any = memory, rows: Any = rows, out: Any = out, passes: int = passes) -> None:
                for _ in range(passes):
                    np.take(memory, rows, axis=0, out=out, mode="clip")

            found[kind].append((size, spent(gather, repeats=3).cpu / (passes * len(rows))))
    return {kind: GatherCurve.of(points) for kind, points in found.items()}
