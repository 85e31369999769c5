"""Work that waits for the same thread is done together: whatever is queued while the thread is busy is the next batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

J = TypeVar("J")
R = TypeVar("R")

_logger = logging.getLogger(__name__)


class Batcher(Generic[J, R]):
    """One thread that works on batches; no job waits for others while the thread is idle.

    Args:
        name: Name of the thread.
        work: Gives one result or exception per job; runs in the thread.
        max_batch: Jobs at once.
        observe: Told the size of each batch.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[J]], Sequence[R | Exception]],
        *,
        max_batch: int,
        observe: Callable[[int], object] = bool,
    ) -> None:
        self._work, self._max, self._observe = work, max_batch, observe
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"mmgraph-{name}")
        self._waiting: list[tuple[J, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def do(self, job: J) -> R:
        """Wait for the result of a job; a job whose caller has gone before it was begun is dropped."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch = [(job, future) for job, future in self._waiting[: self._max] if not future.done()]
                del self._waiting[: self._max]
                if not batch:
                    continue
                self._observe(len(batch))
                try:
                    results = await loop.run_in_executor(self._thread, self._work, [job for job, _ in batch])
                except Exception as error:
                    _logger.exception("a batch of %d failed", len(batch))
                    results = [error] * len(batch)
                for (_, future), result in zip(batch, results, strict=True):
                    if future.done():
                        continue
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._task = None

    def close(self) -> None:
        """Let the thread end after its batch."""
        self._thread.shutdown(wait=False, cancel_futures=True)
