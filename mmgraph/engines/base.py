"""What every engine offers: one function over many shards, results in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import ClassVar, Self, TypeVar

S = TypeVar("S")
R = TypeVar("R")


class Engine(ABC):
    """Runs a pure function over shards. The local engine is the reference: every other gives the same bytes.

    Whoever calls it decides what a shard is, and an engine never cuts or joins shards. What depends on the composition
    of a batch is therefore the same on every engine. Results come in the order of the shards, so a caller that keeps each
    one as it comes has a prefix of the whole if the run is killed, and the rest can be cut into the same shards as before.

    An engine is a context manager: leaving it ends whatever workers it has started.
    """

    name: ClassVar[str]

    @abstractmethod
    def map(self, build: Callable[[], Callable[[S], R]], shards: Iterable[S]) -> Iterator[R]:
        """Apply a function to each shard.

        Args:
            build: Makes the function, and with it what all shards share (a model, a graph). It is called once per
                worker. Engines with workers send `build`, the shards and the results from process to process, so they
                must be picklable: a class or a partial of a function of a module, not a lambda.
            shards: Inputs of the function.

        Yields:
            One result per shard, in order. No shard, no call of `build`.

        Raises:
            Exception: What `build` or the function raises, of the same type and with the same message on every engine,
                in place of the result of the first shard that failed. Later shards may have been computed by then.
        """

    def close(self) -> None:  # noqa: B027  (nothing to end is the usual case)
        """End what was started; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
