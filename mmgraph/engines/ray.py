"""Shards as tasks of Ray Data, on this machine or on a cluster."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import secrets
import socket
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mmgraph.engines.base import Engine
from mmgraph.engines.interrupt import Interrupts
from mmgraph.errors import InputError, require
from mmgraph.process import num_processors

S = TypeVar("S")
R = TypeVar("R")

MAX_RETRIES = 3
"""How often a shard is tried again, and a worker started again, after a worker died."""


SHARDS_AT_ONCE = 4096
"""Shards that are taken at once: bounds memory however many there are, and makes the start of workers cheap beside them."""


class RayEngine(Engine):
    """Workers are actors of a Ray Data pipeline; each builds the function once.

    The bytes are those of the local engine in a process with as many threads as a worker has. Torch cuts long sums by
    threads, so the last bit of a result may depend on their number, on any engine.

    Ray starts with the first shard, so a run that finds everything in a cache pays nothing for it. If the environment
    variable `RAY_ADDRESS` names a cluster (`auto`: the one on this machine), that one is used and left running.
    Otherwise Ray is started here, with a random token that its ports ask for, and ended by `close`.

    A shard whose worker died is tried again, `MAX_RETRIES` times. At most `SHARDS_AT_ONCE` shards are on their way, then
    workers start anew; those that wait lie in Ray's object store, which spills to disk.

    Args:
        workers: Number of workers; as many as there is room for by default, at most one per shard.
        threads: Threads of each worker; it gets as many processors for itself.
        gpus_per_worker: GPUs that each worker gets for itself.

    Raises:
        MissingExtraError: If Ray is not installed.
    """

    name: ClassVar[str] = "ray"

    def __init__(self, *, workers: int | None = None, threads: int = 1, gpus_per_worker: float = 0) -> None:
        self.workers, self.threads, self.gpus_per_worker = workers, threads, gpus_per_worker
        self._started_here = False
        _prepare_environment()
        self._ray = require("ray", extra="ray")
        require("ray.data", extra="ray")

    def map(self, build: Callable[[], Callable[[S], R]], shards: Iterable[S]) -> Iterator[R]:
        """Apply a function to each shard.

        Raises:
            InputError: If a shard killed each worker that tried it, or the cluster has no room for the workers.
            KeyboardInterrupt: On Ctrl-C; with the next result at the latest, should Ray have lost it.
        """
        ray = self._ray
        source = None
        remaining = iter(shards)
        with Interrupts() as interrupts:
            while rows := [{"shard": ray.cloudpickle.dumps(shard)} for shard in islice(remaining, SHARDS_AT_ONCE)]:
                if source is None:
                    self._start()
                    # Once per machine, however many workers read it.
                    source = ray.put((os.getcwd(), self.threads, build))
                yield from self._map_rows(source, rows, interrupts)

    def _map_rows(self, source: Any, rows: Sequence[dict[str, bytes]], interrupts: Interrupts) -> Iterator[Any]:
        ray = self._ray
        workers = min(self._number_of_workers(), len(rows))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # max_restarts goes in 2.64, see pyproject.toml
            # One row per block: a block is what is handed over, so each result is here as soon as it is there.
            data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                _Worker,
                fn_constructor_args=([source],),
                compute=ray.data.ActorPoolStrategy(size=workers),
                num_cpus=self.threads,
                num_gpus=self.gpus_per_worker,
                max_restarts=MAX_RETRIES,
                max_task_retries=MAX_RETRIES,
            )
        data.context.execution_options.preserve_order = True
        results = iter(data.iter_rows())
        while True:
            try:
                row = next(results, None)
                interrupts.check()
            except ray.exceptions.RayError as error:
                interrupts.check()  # it may have failed because of that
                raise _as_input_error(ray, error) from error
            if row is None:
                return
            yield _result(row["outcome"])

    def close(self) -> None:
        """End Ray if it was started here."""
        if self._started_here:
            self._started_here = False
            self._ray.shutdown()

    def _start(self) -> None:
        ray = self._ray
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong arrives as an exception
        if ray.is_initialized():
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        address = os.environ.get("RAY_ADDRESS")
        try:
            if address:
                _check_reachable(address)
                with _silent_stderr():
                    ray.init(address, **quiet)
            else:
                count = max((self.workers or 1) * self.threads, num_processors())
                with _silent_stderr():
                    ray.init("local", num_cpus=count, include_dashboard=False, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            where = f"reach the cluster at RAY_ADDRESS={address}" if address else "start Ray on this machine"
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(f"engine ray: cannot {where}: {reason[0]}") from error
        self._started_here = True
        _silence_raylet(ray)

    def _number_of_workers(self) -> int:
        """As asked for, or as many as the cluster has room for.

        Raises:
            InputError: If the cluster is too small; the workers would wait forever.
        """
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0) // self.threads)
        if self.gpus_per_worker:
            room = min(room, int(there.get("GPU", 0) // self.gpus_per_worker))
        wanted = max(1, room) if self.workers is None else self.workers
        if wanted > room:
            each = f"{self.threads} CPU" + (f" and {self.gpus_per_worker} GPU" if self.gpus_per_worker else "")
            raise InputError(
                f"engine ray: {wanted} workers with {each} each do not fit, the cluster has room for {room}"
            )
        return wanted


class _Worker:
    """Runs in an actor: shard in, outcome out."""

    def __init__(self, source: list[Any]) -> None:
        self._failure: Exception | None = None
        self._function: Callable[[Any], Any] | None = None
        try:
            self._function = self._build(source[0])
        except Exception as error:  # told where the result is awaited, with its own type
            self._failure = error

    @staticmethod
    def _build(source: Any) -> Callable[[Any], Any]:
        import ray
        import torch

        folder, threads, build = ray.get(source)
        torch.set_num_threads(threads)
        if Path(folder).is_dir():
            os.chdir(folder)  # so that relative paths mean the same
        function: Callable[[Any], Any] = build()
        return function

    def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
        try:
            if self._failure is not None:
                raise self._failure
            assert self._function is not None
            return {"outcome": _dumps((True, self._function(pickle.loads(row["shard"]))))}
        except Exception as error:
            return {"outcome": _dump_error(error)}


def _dumps(value: Any) -> bytes:
    import ray.cloudpickle

    data: bytes = ray.cloudpickle.dumps(value)  # type: ignore[no-untyped-call]
    return data


def _dump_error(error: Exception) -> bytes:
    """The error itself, or what it says if it cannot be sent."""
    try:
        data = _dumps((False, error))
        pickle.loads(data)
    except Exception:  # whatever a constructor of an exception may do
        return _dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    return data


def _result(outcome: bytes) -> Any:
    done, value = pickle.loads(outcome)
    if not done:
        raise value
    return value


def _as_input_error(ray: Any, error: Exception) -> Exception:
    """One line for what a user can change; other errors of Ray stay what they are."""
    cause: BaseException | None = error
    while cause is not None:
        died = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)
        if isinstance(cause, died):
            return InputError(
                f"engine ray: a shard killed its worker {MAX_RETRIES + 1} times; if memory is short, use fewer workers or "
                "smaller batches; engine local shows the reason"
            )
        cause = cause.__cause__
    return error


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes before it says that nobody is there.

    Raises:
        InputError: If nothing listens at a `host:port`; `auto` is looked up first.
    """
    found: str | None = address
    if address == "auto":
        services: Any = importlib.import_module("ray._private.services")
        look_up = getattr(services, "canonicalize_bootstrap_address", lambda _: None)  # not public, may go away
        with suppress(ConnectionError):
            found = look_up(address)
    host, _, port = (found or "").rpartition(":")
    if "://" in host or not port.isdecimal():
        return  # in a form of Ray's own
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        shown = address if found == address else f"{address} ({found})"
        raise InputError(f"engine ray: no cluster at RAY_ADDRESS={shown}: {error.strerror or error}") from None


def _silence_raylet(ray: Any) -> None:
    """Keep messages about workers that died and are started again out of standard output, where results go."""
    worker: Any = getattr(getattr(ray, "_private", None), "worker", None)
    if hasattr(worker, "print_to_stdstream"):  # not public: newer versions may lack it, then the messages show
        worker.print_to_stdstream = lambda *_, **__: None


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what Ray's compiled part writes to the error stream while it starts."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _prepare_environment() -> None:
    """Set what Ray reads when it is imported; what the user has set stays."""
    for name, value in (
        ("RAY_USAGE_STATS_ENABLED", "0"),  # sends nothing home
        ("RAY_BACKEND_LOG_LEVEL", "fatal"),
        ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"),
    ):
        os.environ.setdefault(name, value)
    if not any(name in os.environ for name in ("RAY_ADDRESS", "RAY_AUTH_MODE")) and "ray" not in sys.modules:
        # Ray listens on all interfaces, and whoever reaches its ports can run code unless they ask for a token.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
