"""Run a function of a test file in several processes that are connected as `torchrun` connects them."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

PRELOAD = [
    "mmgraph.training.pretrain",
    "mmgraph.finetuning.finetune",
    "mmgraph.testing.factories",
    "torch.utils.tensorboard",
]
"""Imported once, in the process that the others are forked from."""


def free_port() -> int:
    """A port of this machine that nobody listens to now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def rank_environment(rank: int, world_size: int, port: int) -> dict[str, str]:
    """What `torchrun` tells a process, with all of them on this machine."""
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in variables.items()}}


def run_ranks(
    function: Callable[..., Any], *args: Any, world_size: int = 2, folder: Path, seconds: float = 240
) -> list[Any]:
    """Call a function of a test file in every process of a group on this machine.

    Args:
        function: Defined at the top of a file; it is found again by its name.
        args: Passed on.
        world_size: Number of processes.
        folder: For the results.
        seconds: After which all of them are ended.

    Returns:
        For each rank what the function returned, tensors and plain data; for one that did not end well, its exit code.

    Raises:
        TimeoutError: If a process does not end.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    where = (function.__code__.co_filename, function.__name__)
    results = [folder / f"rank{rank}.pt" for rank in range(world_size)]
    processes = []
    for rank, path in enumerate(results):
        path.unlink(missing_ok=True)
        environment = {**os.environ, **rank_environment(rank, world_size, port)}
        processes.append(context.Process(target=_enter, args=(where, args, environment, path), daemon=True))
    try:
        for process in processes:
            process.start()
        deadline = time.monotonic() + seconds
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        if any(process.is_alive() for process in processes):
            raise TimeoutError(f"{where[1]}: a rank was still running after {seconds} s")
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
    return [
        torch.load(path, weights_only=True) if path.exists() else process.exitcode
        for path, process in zip(results, processes, strict=True)
    ]


def _enter(where: tuple[str, str], args: tuple[Any, ...], environment: dict[str, str], path: Path) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location("_ranks_test", where[0])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = getattr(module, where[1])(*args)
    temporary = path.with_suffix(".tmp")
    torch.save(result, temporary)
    temporary.rename(path)
