"""SVG to PNG, in parallel, with what was drawn before kept."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from mmgraph.datasets.openmoji.source import SVG_DIGEST
from mmgraph.errors import InputError, require
from mmgraph.files import content_digest
from mmgraph.process import num_processors
from mmgraph.progress import progress_bar

SIZE = 128
_WORKER = Path(__file__).with_name("rasterise_worker.py")


def picture_folder(cache: Path, size: int = SIZE) -> Path:
    """Folder of the drawn pictures; its name changes with the pictures, the renderer and the size."""
    require("resvg_py", extra="demo")
    digest = content_digest(SVG_DIGEST, version("resvg-py"), str(size))
    return cache / "openmoji" / f"png-{size}-{digest[:12]}"


def rasterise(svgs: Sequence[Path], folder: Path, *, size: int = SIZE, num_workers: int | None = None) -> list[Path]:
    """Draw pictures that the folder does not have yet.

    Args:
        svgs: What to draw.
        folder: Where `<name>.png` is written, each file whole or not at all: a stopped run goes on where it was.
        size: Width and height in pixels; the background stays transparent.
        num_workers: Processes, one per core by default.

    Returns:
        Paths of the pictures, in the order of `svgs`.

    Raises:
        MissingExtraError: If resvg-py is not installed.
        InputError: If a picture cannot be drawn; the message names it.
    """
    require("resvg_py", extra="demo")
    folder.mkdir(parents=True, exist_ok=True)
    there = {path.name for path in folder.glob("*.png")}
    missing = [path for path in svgs if f"{path.stem}.png" not in there]
    if missing:
        _draw(missing, folder, size, min(num_workers or num_processors(), len(missing)))
    return [folder / f"{path.stem}.png" for path in svgs]


def _draw(svgs: Sequence[Path], folder: Path, size: int, num_workers: int) -> None:
    # Threads do not help: the renderer holds the interpreter lock. Processes of our own start in a tenth of a second,
    # where multiprocessing would import torch again or fork a process that has threads.
    command = [sys.executable, str(_WORKER), str(size), str(folder)]
    lines: queue.Queue[str | None] = queue.Queue()
    errors: list[str] = []
    workers: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []
    pipe = subprocess.PIPE
    try:
        for number in range(num_workers):
            worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
            workers.append(worker)
            paths = "".join(f"{path}\n" for path in svgs[number::num_workers])
            readers.append(threading.Thread(target=_talk, args=(worker, paths, lines, errors), daemon=True))
            readers[-1].start()
        _wait(lines, len(svgs), num_workers)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            for partial in folder.glob(f".*.{worker.pid}.tmp"):
                partial.unlink(missing_ok=True)
        for reader in readers:
            reader.join()
    missing = [path.name for path in svgs if not (folder / f"{path.stem}.png").exists()]
    if missing:
        raise InputError(f"{len(missing):,} pictures were not drawn: {next(iter(errors), missing[0])}")


def _talk(worker: subprocess.Popen[str], paths: str, lines: queue.Queue[str | None], errors: list[str]) -> None:
    """Give a worker its paths and hand on its lines; runs in a thread, ends when the worker does."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert worker.stderr is not None
    with worker.stdout, worker.stderr:
        with contextlib.suppress(BrokenPipeError), worker.stdin:  # it died at once: standard error says why
            worker.stdin.write(paths)
        for line in worker.stdout:
            lines.put(line.rstrip("\n"))
        errors += worker.stderr.read().strip().splitlines()[-1:]
    lines.put(None)


def _wait(lines: queue.Queue[str | None], total: int, num_workers: int) -> None:
    """Show progress until every worker has ended."""
    running = num_workers
    with progress_bar() as bar:
        task = bar.add_task("drawing emoji", total=total)
        while running:
            line = lines.get()
            if line is None:
                running -= 1
                continue
            name, _, reason = line.partition("\t")
            if reason:
                raise InputError(f"{name}.svg could not be drawn: {reason}")
            bar.advance(task)
