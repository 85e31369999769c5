"""What this process has of the machine: memory and processors."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


def own_memory(process: int | str = "self") -> int | None:
    """Bytes in memory that belong to a process alone; None where the system does not tell (it must be Linux).

    These are its allocations, and pages of mapped files that it wrote to (copy on write). Pages of files that it only
    reads are not counted: the system takes them back when others need the room. `RssAnon + RssShmem` of
    `/proc/<pid>/status`.

    Args:
        process: Number of the process.
    """
    return _status_bytes(process, "RssAnon:", "RssShmem:")


def highest_memory(process: int | str = "self") -> int | None:
    """Most bytes of a running process that were in memory at once, pages of mapped files among them; None as above.

    The `ru_maxrss` of a child that has ended is no less than the memory that its parent had when it started it.

    Args:
        process: Number of the process.
    """
    return _status_bytes(process, "VmHWM:")


def _status_bytes(process: int | str, *names: str) -> int | None:
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) for line in lines if line.startswith(names)]
    return sum(sizes) * 1024 if sizes else None


def give_back_memory() -> None:
    """Give freed pages back to the system, where the C library keeps them (glibc).

    It raises the size from which it does so by itself to 32 MiB once such blocks have been freed. Training makes and
    frees tensors of ever other sizes below that; what is kept for them between those in use grew by 4 to 10 MiB per
    epoch (`experiments/benchmarks/epochs.py`). A fixed lower size stops the growth too, and doubles the time of a step.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def num_processors() -> int:
    """Processors that this process may use; there may be more in the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
