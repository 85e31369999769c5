"""Batches by number: any step at any time, the same batch every time."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice

import torch
from torch import Tensor

from mmgraph.data.batch import GraphBatch
from mmgraph.data.sampling import Sampler
from mmgraph.errors import InputError
from mmgraph.seeding import generator


class SeedOrder:
    """Cuts seed nodes into batches, in a new random order every epoch.

    The seeds of a step depend on `(seed, epoch, step)` alone. Every node is a seed exactly once per epoch. The batches
    of an epoch have equal sizes, give or take one, so that there is no small last batch.

    Args:
        nodes: The seed nodes `[num_seeds]`, int64, or a number `n` for nodes `0 .. n - 1`.
        batch_size: Seeds per batch at most.
        seed: Seed of the order.
        where: Named in errors.

    Raises:
        InputError: If there are no seed nodes, or a number is out of range.
    """

    def __init__(self, nodes: Tensor | int, *, batch_size: int, seed: int, where: str = "seeds") -> None:
        self.nodes = torch.arange(nodes) if isinstance(nodes, int) else nodes.cpu()
        if self.nodes.numel() == 0:
            raise InputError(f"{where}: expected at least one seed node, got none")
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size = batch_size
        self.seed = seed
        self._order: tuple[int, Tensor] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in which every seed node occurs once."""
        return -(-self.nodes.numel() // self.batch_size)

    def epoch(self, step: int) -> int:
        """Epoch that a step belongs to."""
        return step // self.steps_per_epoch

    def seeds(self, step: int) -> Tensor:
        """Seed nodes of a step, `[num_seeds]`."""
        if step < 0:
            raise InputError(f"step must not be negative, got {step}")
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._order  # one read, as another thread may replace it
        if order is None or order[0] != epoch:
            permutation = torch.randperm(self.nodes.numel(), generator=generator(self.seed, "order", epoch))
            self._order = order = (epoch, self.nodes[permutation])
        bounds = [self.nodes.numel() * (position + i) // self.steps_per_epoch for i in (0, 1)]
        return order[1][bounds[0] : bounds[1]]


class BatchLoader(SeedOrder):
    """Batches of subgraphs around the seeds of a `SeedOrder`.

    The batch of a step depends on `(seed, epoch, step)` alone, so training resumes at any step without replaying the
    ones before, and prefetching changes nothing.

    Args:
        sampler: Turns seeds into a batch.
        nodes: As in `SeedOrder`.
        batch_size: Seeds per batch at most.
        seed: Seed of the order and of the sampler.
        prefetch: Batches that `iterate` and `ahead` prepare ahead in threads; 0 for none.
        workers: Threads that do so; each has a workspace of 4 bytes per node of the graph.

    Raises:
        InputError: If there are no seed nodes, or a number is out of range.
    """

    def __init__(
        self,
        sampler: Sampler,
        nodes: Tensor | int,
        *,
        batch_size: int,
        seed: int,
        prefetch: int = 1,
        workers: int = 1,
    ) -> None:
        super().__init__(nodes, batch_size=batch_size, seed=seed, where=f"graph {sampler.graph.name!r}")
        if prefetch < 0:
            raise InputError(f"prefetch must not be negative, got {prefetch}")
        if workers < 1:
            raise InputError(f"workers must be at least 1, got {workers}")
        self.sampler = sampler
        self.prefetch, self.workers = prefetch, workers
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: dict[int, Future[GraphBatch]] = {}
        self._last = -1

    def batch(self, step: int) -> GraphBatch:
        """Batch of a step, counted from 0 over all epochs."""
        epoch, position = divmod(step, self.steps_per_epoch)
        return self.sampler.sample(self.seeds(step), generator(self.seed, "sample", epoch, position))

    def iterate(self, start_step: int = 0, stop_step: int | None = None) -> Generator[GraphBatch, None, None]:
        """Yield the batches of the steps `start_step .. stop_step - 1`, without end if no stop is given.

        The threads only ever work on the next `prefetch` batches and never wait for the consumer, so a loop that
        is left early, by an exception or by Ctrl-C, leaves nothing behind. An error in a thread is raised here.
        """
        steps = count(start_step) if stop_step is None else iter(range(start_step, stop_step))
        if self.prefetch == 0:
            yield from map(self.batch, steps)
            return
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="mmgraph-prefetch")
        try:
            pending: deque[Future[GraphBatch]] = deque()
            pending.extend(pool.submit(self.batch, step) for step in islice(steps, self.prefetch))
            while pending:
                batch = pending.popleft().result()
                pending.extend(pool.submit(self.batch, step) for step in islice(steps, 1))
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def ahead(self, step: int) -> GraphBatch:
        """Batch of a step, while threads prepare the ones that will probably be asked for next.

        For loops that choose their steps themselves: the next steps are guessed to lie as far apart as the last two.
        A wrong guess costs time, and changes nothing. The threads end when the loader is deleted.
        """
        stride = step - self._last if step > self._last else 1
        self._last = step
        own = self._waiting.pop(step, None)
        wanted = [step + stride * i for i in range(1, self.prefetch + 1)]
        for other in set(self._waiting) - set(wanted):
            self._waiting.pop(other).cancel()
        for other in wanted:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="mmgraph-prefetch")
            if other not in self._waiting:
                self._waiting[other] = self._pool.submit(self.batch, other)
        return self.batch(step) if own is None else own.result()
