"""Time and memory of a whole process."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from mmgraph.process import highest_memory, own_memory


@dataclass(frozen=True)
class Usage:
    """What a process took.

    Attributes:
        seconds: Wall time.
        cpu: Processor seconds.
        own_gib: Highest own memory that was seen, see `mmgraph.process.own_memory`; looked at every 10 ms.
        peak_gib: Highest resident memory, pages of mapped files included, as of up to 10 ms before the end.
        output: What it printed.
    """

    seconds: float
    cpu: float
    own_gib: float
    peak_gib: float
    output: str


def run_process(command: Sequence[str], *, environment: Mapping[str, str] | None = None, limit: int = 0) -> Usage:
    """Run a command and keep what it prints.

    Args:
        command: Program and arguments.
        environment: Of the process; that of this one by default.
        limit: Bytes of memory that it may ask for (`RLIMIT_DATA`); 0 for no limit.

    Raises:
        SystemExit: If it fails.
    """
    start = time.perf_counter()
    restrict = partial(resource.setrlimit, resource.RLIMIT_DATA, (limit, limit)) if limit else None
    own = peak = 0.0
    with tempfile.TemporaryFile() as output:  # a pipe that nobody reads would fill up
        process = subprocess.Popen(command, stdout=output, env=environment, preexec_fn=restrict)
        while (ended := os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
            own, peak = max(own, own_memory(process.pid) or 0), max(peak, highest_memory(process.pid) or 0)
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        _, _, usage = os.wait4(process.pid, 0)
        output.seek(0)
        text = output.read().decode()
    if ended.si_status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return Usage(seconds, usage.ru_utime + usage.ru_stime, own / 2**30, (peak or usage.ru_maxrss * 2**10) / 2**30, text)
