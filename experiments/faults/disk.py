"""Fill the disk, make it read-only, take the permission to read away: one clear line, and nothing that was there is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from children import Outcome, cli, run_child
from phases import OUT, PHASES, Phase, content

SHARES = (0.15, 0.5, 0.85)
"""Of the bytes that a phase writes in all, so many find room."""
NOBODY = 65534
PAGE = 4096


@dataclass
class DiskResult:
    """What one fault did.

    Attributes:
        phase: Name of the phase.
        fault: What was wrong with the disk.
        line: The error.
        wrong: What should not have happened; empty if nothing.
    """

    phase: str
    fault: str
    line: str = ""
    wrong: str = ""


def can_mount(folder: Path) -> bool:
    """Whether a small file system can be mounted here; it takes root."""
    try:
        with small_disk(folder, 2**20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a file system of so many bytes for a while."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


def disk_faults(
    base: Path, folder: Path, *, only: list[str] | None = None, shares: tuple[float, ...] = SHARES
) -> list[DiskResult]:
    """Fill the disk for each phase, free it, and run again; then the other faults.

    Raises:
        RuntimeError: If an undisturbed run fails.
    """
    results = []
    if can_mount(folder / "disk"):
        for phase in PHASES:
            if only is None or phase.name in only:
                results += list(_disks(phase, base, folder, shares))
    else:
        print("no right to mount a small file system: the full disk is left out", flush=True)
    if only is None:
        results += list(_permissions(base, folder))
    return results


def _disks(phase: Phase, base: Path, folder: Path, shares: tuple[float, ...]) -> Iterator[DiskResult]:
    whole = folder / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    phase.start(base, whole)
    start = _bytes(whole)
    outcome = phase.run(base, whole)
    if outcome.code:
        raise RuntimeError(f"{phase.name} failed: {outcome.err}")
    expected, added = content(whole), _bytes(whole) - start
    for share in shares:
        size = (int(start + share * added) // PAGE + 1) * PAGE
        yield _full(phase, base, folder / "disk", size, share, expected)
    yield _read_only(phase, base, folder / "disk")
    shutil.rmtree(whole)


def _full(phase: Phase, base: Path, disk: Path, size: int, share: float, expected: dict[str, str]) -> DiskResult:
    result = DiskResult(phase.name, f"full at {share:.0%}")
    with small_disk(disk, size):
        phase.start(base, disk / "case")
        first = phase.run(base, disk / "case")
        if first.code == 0 and content(disk / "case") == expected:
            result.line = "there was room enough"
            return result
        _describe(result, first, "no space left")
        if not result.wrong:
            _mount("-o", "remount,size=256m", str(disk))
            if not (phase.once and (disk / "case" / OUT).exists()):
                again = phase.run(base, disk / "case")
                if again.code:
                    result.wrong = f"with room again: {again.err.strip()[-300:]}"
            if not result.wrong and content(disk / "case") != expected:
                result.wrong = "with room again: another result"
    return result


def _read_only(phase: Phase, base: Path, disk: Path) -> DiskResult:
    """The disk can be read but not written."""
    result = DiskResult(phase.name, "read-only")
    with small_disk(disk, 2**28):
        phase.start(base, disk / "case")
        _mount("-o", "remount,ro", str(disk))
        _describe(result, phase.run(base, disk / "case"), "read-only")
    return result


def _describe(result: DiskResult, outcome: Outcome, words: str) -> None:
    lines = [line for line in outcome.err.strip().splitlines() if "error:" in line]
    result.line = lines[-1] if lines else outcome.err.strip()[-200:]
    if outcome.code != 2 or len(lines) != 1 or "Traceback" in outcome.err:
        result.wrong = f"exit code {outcome.code}: {outcome.err.strip()[-400:]}"
    elif words not in result.line.lower():
        result.wrong = f"expected {words!r} in the error"


def _permissions(base: Path, folder: Path) -> Iterator[DiskResult]:
    """Read what must not be read; as nobody, because no permission binds root."""
    if os.geteuid() != 0:
        print("not root: reading as somebody else is left out", flush=True)
        return
    tried: list[tuple[str, str, Callable[[Path], Callable[[], int]]]] = [
        (
            "toy/encoded/graph.json",
            "embed",
            lambda place: cli("embed", "--run", base / "run", "--graph", place / "toy", "--out", place / OUT),
        ),
        (
            "toy/encoded/node_type.npy",
            "embed",
            lambda place: cli("embed", "--run", base / "run", "--graph", place / "toy", "--out", place / OUT),
        ),
        ("toy/nodes.csv", "encode", lambda place: Phase("", ("encode", "--graph", str(place / "toy"))).work(base)),
        (
            "run/model/model.safetensors",
            "embed",
            lambda place: cli("embed", "--run", place / "run", "--graph", base / "toy", "--out", place / OUT),
        ),
        ("run/env.json", "resume", lambda place: cli("resume", "--run", place / "run")),
        (
            "vectors.parquet",
            "compress",
            lambda place: cli(
                "compress", "--embeddings", place / "vectors.parquet", "--to", "int8", "--out", place / OUT
            ),
        ),
    ]
    place = folder / "unreadable"
    for name, command, work in tried:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(base / name.split("/")[0], place / name.split("/")[0]) if "/" in name else (
            place.mkdir(),
            shutil.copyfile(base / name, place / name),
        )
        for path in [place, *place.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        found = place / name
        if not found.exists() and found.suffix == ".csv":
            found = found.with_suffix(".parquet")
        found.chmod(0)
        result = DiskResult(command, f"{found.name} cannot be read")
        environment = {"MMGRAPH_CACHE": str(place / "caches"), "CUDA_VISIBLE_DEVICES": ""}
        outcome = run_child(work(place), environment=environment, folder=place, setup=_become_nobody)
        _describe(result, outcome, found.name)
        yield result
    shutil.rmtree(place)


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def _bytes(folder: Path) -> int:
    """Bytes on a file system of pages."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // PAGE) * PAGE for size in sizes)
