"""What the benchmarks share: forms that alternate in one process, facts about the machine, files of results."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mmgraph.planning.machine import processor_name

SIZES = ["10000,100000", "100000,1000000", "1000000,10000000"]
PACKAGES = ("torch", "torch-geometric", "numpy", "scipy", "numba", "networkx")


@dataclass(frozen=True)
class Times:
    """Seconds of each form, one entry per round.

    Attributes:
        wall: Wall time by form.
        cpu: Processor time of this process, all threads added, by form. Waiting for a core does not count.
    """

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]

    def median(self, form: str, *, clock: str = "wall") -> float:
        """Median seconds of a form."""
        return statistics.median(getattr(self, clock)[form])

    def ratio(self, form: str, other: str, *, clock: str = "wall") -> float:
        """Median over the rounds of how often the time of `other` is that of `form`, both of the same round."""
        times = getattr(self, clock)
        return statistics.median(a / b for a, b in zip(times[form], times[other], strict=True))


def alternate(forms: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: int = 1) -> Times:
    """Run all forms once per round, in turn, so that other work on the machine disturbs all of them alike.

    Args:
        forms: What to time, by name. The order is turned around in every other round.
        repeats: Rounds that count.
        warm_up: Rounds before, which compile and fill caches.
    """
    wall: dict[str, list[float]] = {name: [] for name in forms}
    cpu: dict[str, list[float]] = {name: [] for name in forms}
    for number in range(warm_up + repeats):
        for name in list(forms) if number % 2 == 0 else list(forms)[::-1]:
            gc.collect()
            gc.disable()
            try:
                start, start_cpu = time.perf_counter(), time.process_time()
                forms[name]()
                seconds, seconds_cpu = time.perf_counter() - start, time.process_time() - start_cpu
            finally:
                gc.enable()
            if number >= warm_up:
                wall[name].append(seconds)
                cpu[name].append(seconds_cpu)
    return Times(wall, cpu)


def machine_facts() -> dict[str, Any]:
    """Processor, cores, memory, load and versions: what a figure means nothing without."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (OSError, ValueError):
        memory = 0.0
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "date": time.strftime("%Y-%m-%d"),
    }


def peak_gib() -> float:
    """Largest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def row(
    name: str,
    size: Mapping[str, int],
    *,
    ours: float,
    reference: float,
    unit: str,
    ratio: float,
    target: str = "",
    met: bool | None = None,
    judged: bool = True,
    **more: object,
) -> dict[str, Any]:
    """One line of the common table.

    Args:
        name: What is compared with what.
        size: Numbers that the time depends on, for instance `nodes` and `edges`.
        ours: Figure of ours.
        reference: The same of the reference.
        unit: Of both.
        ratio: Median of the ratios of the rounds; above 1 is better if the target says `>=`.
        target: What was asked for, in words.
        met: Whether it was reached; None without a target.
        judged: Whether the target holds at this size; otherwise the line has none.
        more: Further figures.
    """
    line = {"name": name, "size": dict(size), "ours": ours, "reference": reference, "unit": unit, "ratio": ratio}
    return {**line, "target": target if judged else "", "met": met if judged else None, **more}


def timed_row(
    name: str,
    size: Mapping[str, int],
    times: Times,
    reference: str,
    *,
    ours: str = "ours",
    at_least: float | None = None,
    at_most: float | None = None,
    judged: bool = True,
    **more: object,
) -> dict[str, Any]:
    """The line of two forms of `alternate`, in seconds.

    Args:
        name: What is compared with what.
        size: Numbers that the time depends on.
        times: Of all forms.
        reference: Name of the other form.
        ours: Name of ours.
        at_least: Target of the speed-up; `ratio` is the reference's time over ours unless `at_most` is given.
        at_most: Target of the extra time; `ratio` is then ours over the reference's.
        judged: Whether the target holds at this size.
        more: Further figures.
    """
    pair = (reference, ours) if at_most is None else (ours, reference)
    ratio = times.ratio(*pair)
    target = f"<= {at_most}" if at_most is not None else "" if at_least is None else f">= {at_least}"
    met = ratio <= at_most if at_most is not None else None if at_least is None else ratio >= at_least
    return row(
        name,
        size,
        ours=times.median(ours),
        reference=times.median(reference),
        unit="s",
        ratio=ratio,
        target=target,
        met=met,
        judged=judged,
        ratio_cpu=times.ratio(*pair, clock="cpu"),
        ours_cpu=times.median(ours, clock="cpu"),
        reference_cpu=times.median(reference, clock="cpu"),
        **more,
    )


def show(line: Mapping[str, Any]) -> None:
    """Print a line."""
    size = ", ".join(f"{value:,} {key}" for key, value in line["size"].items())
    verdict = "" if line["met"] is None else f"   target {line['target']}: {'met' if line['met'] else 'MISSED'}"
    print(
        f"{line['name']:66} {size:32} ours {line['ours']:.4g} reference {line['reference']:.4g} {line['unit']} "
        f"ratio {line['ratio']:.2f}{verdict}",
        flush=True,
    )


def write_rows(path: Path | None, rows: list[dict[str, Any]]) -> None:
    """Write the lines with the facts of the machine, if there is a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine_facts(), "rows": rows}, indent=2) + "\n", encoding="utf-8")


def size_parser(description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """Flags of a benchmark over graphs of several sizes, see `run_sizes`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="NODES,EDGES of each graph")
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    return parser


def run_sizes(args: argparse.Namespace, measure: Callable[[int, int], list[dict[str, Any]]]) -> None:
    """Measure each size, print its lines as soon as they are there, and write all at the end.

    Args:
        args: Of a parser that `size_parser` made.
        measure: Gives the lines of a number of nodes and of edges.
    """
    torch.set_num_threads(args.threads)
    rows: list[dict[str, Any]] = []
    for size in args.sizes:
        num_nodes, num_edges = (int(number) for number in size.split(","))
        lines = measure(num_nodes, num_edges)
        for line in lines:
            show(line)
        rows += lines
    write_rows(args.out, rows)
