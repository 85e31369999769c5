"""Processor and wall time of a piece of work."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """Seconds of one piece of work.

    Attributes:
        cpu: Processor time of this process, all threads added; waiting for a core or a disk does not count.
        wall: Wall time.
    """

    cpu: float
    wall: float


def spent(work: Callable[[], object], *, repeats: int = 1, enough: float = 1.0) -> Spent:
    """Run some work and take the least of each time: whatever else runs on the machine only adds to it.

    Args:
        work: Something that can be done more than once.
        repeats: How often it is done at most.
        enough: Processor seconds after which it is not done again; long work is less noisy.
    """
    found: list[Spent] = []
    for _ in range(repeats):
        gc.collect()
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        found.append(Spent(time.process_time() - start_cpu, time.perf_counter() - start))
        if sum(one.cpu for one in found) >= enough:
            break
    return Spent(min(one.cpu for one in found), min(one.wall for one in found))
