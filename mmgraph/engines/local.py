"""The reference engine: this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, TypeVar

from mmgraph.engines.base import Engine

S = TypeVar("S")
R = TypeVar("R")


class LocalEngine(Engine):
    """One shard after the other in this process; a shard is taken when the result before it has been used."""

    name: ClassVar[str] = "local"

    def map(self, build: Callable[[], Callable[[S], R]], shards: Iterable[S]) -> Iterator[R]:
        """Apply a function to each shard."""
        function: Callable[[S], R] | None = None
        for shard in shards:
            if function is None:
                function = build()
            yield function(shard)
