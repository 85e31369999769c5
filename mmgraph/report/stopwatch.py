"""How long the steps of a job take, now and when they were first done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmgraph.files import read_json, write_json


class Stopwatch:
    """Times named steps and keeps the first time of each in a file, because later calls find the work done.

    Args:
        path: The file.
        note: Told the name of each step as it begins.
    """

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self.path = path
        self.note = note
        self.first: dict[str, float] = read_json(path) if path.exists() else {}
        self.now: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; only one that ends well counts."""
        self.note(name)
        started = time.perf_counter()
        yield
        self.now[name] = time.perf_counter() - started
        if name not in self.first:
            self.first[name] = self.now[name]
            write_json(self.path, self.first)

    def rows(self) -> list[dict[str, object]]:
        """Steps of this call: `step`, `first` and `seconds`."""
        return [{"step": name, "first": self.first[name], "seconds": now} for name, now in self.now.items()]
