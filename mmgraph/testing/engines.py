"""An engine that behaves like one with other processes, within this one."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, TypeVar

from mmgraph.engines.base import Engine

S = TypeVar("S")
R = TypeVar("R")


class CopyingEngine(Engine):
    """Workers that see copies only, and get to the last shards first.

    What holds on it holds where functions, shards and results travel between processes: nothing is shared, shards are all
    listed before the first one runs, and later shards may run although an earlier one fails.

    Args:
        workers: Number of copies of the function.

    Attributes:
        num_shards: Shards received so far.
        num_built: Functions built so far.
    """

    name: ClassVar[str] = "copying"

    def __init__(self, workers: int = 2) -> None:
        self.workers = workers
        self.num_shards = self.num_built = 0
        self.closed = False

    def map(self, build: Callable[[], Callable[[S], R]], shards: Iterable[S]) -> Iterator[R]:
        """Apply a function to each shard."""
        waiting = [_copy(shard) for shard in shards]
        self.num_shards += len(waiting)
        functions = [_copy(build)() for _ in range(min(self.workers, len(waiting)))]
        self.num_built += len(functions)
        outcomes: list[tuple[Any, Exception | None]] = []
        for number in reversed(range(len(waiting))):
            try:
                outcomes.append((_copy(functions[number % len(functions)](waiting[number])), None))
            except Exception as error:
                outcomes.append((None, _copy(error)))
        for value, failure in reversed(outcomes):
            if failure is not None:
                raise failure
            yield value

    def close(self) -> None:
        """Note that it was called."""
        self.closed = True


def _copy(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))
