"""The training loop: steps, clipping, schedule, checkpoints, Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from mmgraph.distributed import LOCAL, Ranks
from mmgraph.errors import InputError
from mmgraph.progress import progress_bar
from mmgraph.training.checkpoint import LAST, Checkpoint, has_checkpoint, load_last, save_last
from mmgraph.training.optim import OptimConfig, build_optimizer, learning_rate
from mmgraph.training.tracking import Tracker


@dataclass(frozen=True)
class StepOutput:
    """Loss of one optimiser step, already divided by the number of accumulated batches, and what to log."""

    loss: float
    logs: dict[str, Any]


class Trainer:
    """Runs optimiser steps from a checkpoint, or from the start, to the end.

    Args:
        modules: What is trained, by name; all go into the checkpoint.
        optim: Optimiser settings.
        steps: Number of optimiser steps.
        folder: Run folder; `last.pt`, `previous.pt` and `metrics.jsonl` live there.
        digest: Digest of configuration and graphs, checked on resume.
        save_every: Steps between checkpoints.
        log_every: Steps between lines in the log.
        scales: Learning rates of modules as a share of `optim.lr`, 1 by default.
        ranks: The processes of the run; rank 0 writes.
    """

    def __init__(
        self,
        modules: dict[str, nn.Module],
        optim: OptimConfig,
        *,
        steps: int,
        folder: Path,
        digest: str,
        save_every: int = 100,
        log_every: int = 10,
        scales: Mapping[str, float] | None = None,
        ranks: Ranks = LOCAL,
    ) -> None:
        self.modules = modules
        self.optim = optim
        self.steps = steps
        self.folder = folder
        self.digest = digest
        self.save_every = save_every
        self.log_every = log_every
        self.ranks = ranks
        self.optimizer = build_optimizer(modules, optim, scales)
        self.step = 0

    @property
    def checkpoint_path(self) -> Path:
        """Where the last checkpoint is."""
        return self.folder / LAST

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return has_checkpoint(self.folder)

    def restore(self) -> None:
        """Continue from the last checkpoint of the run folder, or the one before if that is damaged, with a warning.

        Raises:
            InputError: If neither can be used.
        """
        checkpoint = load_last(self.folder, digest=self.digest)
        checkpoint.restore(self.modules, self.optimizer)
        self.step = checkpoint.step

    def save(self) -> None:
        """Write the last checkpoint; the one that was there stays as `previous.pt`."""
        if self.ranks.is_main:
            save_last(Checkpoint.of(self.step, self.modules, self.optimizer, digest=self.digest), self.folder)

    def fit(
        self,
        run_step: Callable[[int], StepOutput],
        *,
        description: str = "training",
        is_last: Callable[[int], bool] | None = None,
    ) -> None:
        """Run the remaining steps.

        Args:
            run_step: Computes the gradients of a step, given its number.
            description: Shown beside the progress bar.
            is_last: Called after each step with the number of steps that are done; true stops the training there.

        Raises:
            KeyboardInterrupt: On Ctrl-C or SIGTERM of any rank, after the running step is done and saved.
            InputError: If the loss is not finite; the last checkpoint stays as it was.
        """
        parameters = [p for module in self.modules.values() for p in module.parameters() if p.requires_grad]
        started = time.perf_counter()
        with (
            Tracker(self.folder, first_step=self.step, is_on=self.ranks.is_main) as tracker,
            progress_bar(is_on=self.ranks.is_main) as bar,
            _deferred_interrupt() as stop,
        ):
            task = bar.add_task(description, total=self.steps, completed=self.step)
            while self.step < self.steps:
                rate = learning_rate(self.step, self.steps, self.optim)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate * group.get("scale", 1.0)
                # None, not zero: a parameter that a step does not use must be skipped alike before and after a resume.
                self.optimizer.zero_grad(set_to_none=True)
                output = run_step(self.step)
                loss, is_stopped = self.ranks.reduce(parameters, output.loss, stop.is_set)
                norm = self._clip(parameters)
                if not torch.isfinite(norm) or loss != loss:
                    raise InputError(
                        f"{self.folder}: loss {loss} and gradient norm {float(norm)} at step {self.step}; "
                        "lower optim.lr or look at the features; the last checkpoint is kept"
                    )
                self.optimizer.step()
                self.step += 1
                if self.step % self.log_every == 0 or self.step == self.steps:
                    seconds = round(time.perf_counter() - started, 3)
                    line = {"loss": loss, "lr": rate, "grad_norm": float(norm), "seconds": seconds}
                    tracker.log(self.step - 1, {**line, **output.logs})
                bar.update(task, completed=self.step, description=f"{description} (loss {loss:.3f})")
                is_done = (is_last is not None and is_last(self.step)) or self.step == self.steps
                stopped = is_stopped()
                if stopped or self.step % self.save_every == 0 or is_done:
                    self.save()
                if stopped:
                    raise KeyboardInterrupt
                if is_done:
                    break

    def _clip(self, parameters: list[nn.Parameter]) -> Tensor:
        limit = self.optim.clip if self.optim.clip > 0 else float("inf")
        return torch.nn.utils.clip_grad_norm_(parameters, limit)


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a flag that is read between steps; a second one interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
