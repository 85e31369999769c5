"""Run a command in a forked child that has everything imported already, so that a kill lands in the work."""

from __future__ import annotations

import ctypes
import importlib
import os
import pkgutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.004
CRASHED = 70
"""Exit code of a child whose work raised what the command line does not foresee."""
THREADED = ("lancedb", "qdrant_client")
"""Packages that start threads when they are imported; a fork would lose these, so only children import them."""


@dataclass(frozen=True)
class Outcome:
    """How a child ended.

    Attributes:
        code: Exit code; minus the number of the signal that ended it.
        out: Standard output.
        err: Standard error.
        seconds: How long it ran.
        events: Changes of the watched folder that were seen.
    """

    code: int
    out: str
    err: str
    seconds: float
    events: int = 0


def preload() -> None:
    """Import the library and what commands import, but compute nothing: a fork keeps one thread only."""
    import mmgraph

    for module in pkgutil.walk_packages(mmgraph.__path__, "mmgraph."):
        parts = module.name.split(".")
        if parts[1] in ("serve", "__main__") or parts[-1] in ("serve", "__main__", "rasterise_worker"):
            continue
        importlib.import_module(module.name)
    for name in (
        "torch._dynamo",
        "torch.utils.tensorboard",
        "scipy.sparse",
        "sklearn.linear_model",
        "PIL.Image",
        "faiss",
        "duckdb",
    ):
        importlib.import_module(name)
    # Parsers of the commands read the docstrings of configurations; half a second each the first time.
    from mmgraph.cli.main import COMMANDS

    for command in COMMANDS.values():
        if "serve" not in command.module:
            importlib.import_module(command.module).build_parser()


def cli(*words: object) -> Callable[[], int]:
    """The work of `mmgraph WORDS`."""

    def work() -> int:
        from mmgraph.cli.main import main

        return main([str(word) for word in words])

    return work


def _kill(pid: int) -> None:
    """Kill the child and all that it started; it may have had no time yet to become the head of a group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)


def run_child(
    work: Callable[[], int],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    watch: Path | None = None,
    kill_after: float | None = None,
    kill_at_event: int | None = None,
    timeout: float = 300.0,
    setup: Callable[[], None] | None = None,
) -> Outcome:
    """Fork, work, and perhaps be killed.

    Args:
        work: Gives the exit code.
        environment: Added to the environment of the child.
        folder: Its working directory.
        watch: Folder whose changes are counted.
        kill_after: Kill after so many seconds.
        kill_at_event: Kill at this change of the watched folder, the first is 1.
        timeout: Kill and raise after so many seconds.
        setup: Called in the child before the work, to limit it.

    Raises:
        TimeoutError: If the child hangs.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _be_child(work, environment or {}, folder, out.fileno(), err.fileno(), setup)
        started, events, before = time.perf_counter(), 0, _snapshot(watch)
        status = 0
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            elapsed = time.perf_counter() - started
            if watch is not None and (now := _snapshot(watch)) != before:
                events, before = events + 1, now
            if (
                (kill_after is not None and elapsed >= kill_after)
                or (kill_at_event is not None and events >= kill_at_event)
                or elapsed > timeout
            ):
                _kill(pid)
                _, status = os.waitpid(pid, 0)
                if elapsed > timeout:
                    raise TimeoutError(f"a child ran longer than {timeout} s: {_text(err)[-500:]}")
                break
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - started
        code = os.waitstatus_to_exitcode(status)
        return Outcome(code, _text(out), _text(err), seconds, events)


def _be_child(
    work: Callable[[], int],
    environment: Mapping[str, str],
    folder: Path | None,
    out: int,
    err: int,
    setup: Callable[[], None] | None,
) -> None:
    code = CRASHED
    try:
        os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no child outlives the harness
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.environ.update(environment)
        if folder is not None:
            os.chdir(folder)
        # pytest replaces these; a child writes to the files.
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        if setup is not None:
            setup()
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _text(file: tempfile._TemporaryFileWrapper) -> str:  # type: ignore[type-arg]
    file.seek(0)
    return file.read().decode(errors="replace")


def _snapshot(folder: Path | None) -> dict[str, tuple[int, int]]:
    return {} if folder is None else dict(_entries(str(folder)))


def _entries(folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    try:
        found = list(os.scandir(folder))
    except OSError:
        return
    for entry in found:
        try:
            state = entry.stat(follow_symlinks=False)
            is_folder = entry.is_dir(follow_symlinks=False)
        except OSError:
            continue
        yield entry.path, (state.st_ino, 0 if is_folder else state.st_size)
        if is_folder:
            yield from _entries(entry.path)
