"""Unit costs of this machine: a job in small at a few sizes, kept on disk with the facts of the machine."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mmgraph.errors import InputError, MissingExtraError
from mmgraph.files import content_digest, read_json, write_json
from mmgraph.planning.clock import spent
from mmgraph.planning.costs import MOST_SLOPE, CostCurve
from mmgraph.planning.gathers import JUMPS, KINDS, GatherCurve, measure_gathers
from mmgraph.planning.machine import processor_name
from mmgraph.planning.sizes import graph_bytes, index_work
from mmgraph.planning.workload import Workload
from mmgraph.versions import installed_version

FORMAT, VERSION = "mmgraph.calibration", 2
SIZES = (2_000, 6_000, 18_000)
MOST_EDGES_PER_NODE = 30.0
"""Denser graphs are measured at this density; what depends on messages is then scaled by their number."""
BUDGET = 40.0
"""Processor seconds after which no larger size is begun."""
TEXT = "a long-sleeved shirt of light cotton with two pockets, number {}"
ITEMS = 48

SIZE_OF: dict[str, Callable[[Workload], float]] = {
    "build": graph_bytes,
    "open": graph_bytes,
    "csr": lambda job: job.messages,
    "prepare": lambda job: job.messages + 10 * job.nodes,
    "round": lambda job: job.messages,
    "step": lambda job: job.nodes,
    "embed": lambda job: job.messages + 10 * job.nodes,
    "export": lambda job: job.nodes * job.dim,
    "index": index_work,
    "ppr": lambda job: job.nodes,
}
"""What the time of each phase grows with."""
FLAT = {"step"}
"""Phases whose time does not depend on the size of the graph: the size of a batch is fixed."""
Encoders = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Calibration:
    """Measured costs.

    Attributes:
        facts: Processor, versions, load, date, seconds that it took.
        cpu: Processor seconds by phase.
        wall: Wall seconds by phase.
        encoders: Processor and wall seconds per item by `text` and `image`; those that are not installed are absent.
        gathers: Processor seconds of a gather by kind and working set.
    """

    facts: dict[str, Any]
    cpu: dict[str, CostCurve]
    wall: dict[str, CostCurve]
    encoders: Encoders
    gathers: dict[str, GatherCurve]

    def curves(self, clock: str) -> dict[str, CostCurve]:
        """Costs on one clock: `cpu` or `wall`."""
        return self.cpu if clock == "cpu" else self.wall

    def seconds(self, name: str, job: Workload, *, clock: str = "cpu") -> float:
        """Seconds of a phase of a job.

        A phase that jumps through memory costs more per unit once its working set outgrows that of the largest job that was
        measured, by the cost of a gather at both.
        """
        curve, jumps, nodes = self.curves(clock)[name], JUMPS.get(name), self.facts["nodes"][-1]
        growth = 1.0 if jumps is None else jumps.growth(self.gathers, job, _small(job, nodes))
        # Growth is in the measured points as well; it must not count twice.
        return growth * curve.seconds(SIZE_OF[name](job), most_slope=MOST_SLOPE if jumps is None else 1.0)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "facts": self.facts,
            **{clock: {k: v.to_json() for k, v in self.curves(clock).items()} for clock in ("cpu", "wall")},
            "encoders": {name: list(pair) for name, pair in self.encoders.items()},
            "gathers": {kind: curve.to_json() for kind, curve in self.gathers.items()},
        }

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read a file that `write_json` wrote of `to_json`.

        Raises:
            InputError: If it holds something else.
        """
        content = read_json(path)
        if not isinstance(content, dict) or (content.get("format"), content.get("version")) != (FORMAT, VERSION):
            raise InputError(f"{path}: expected {FORMAT} version {VERSION}; remove it or give --calibrate")
        try:
            cpu, wall = (
                {name: CostCurve.from_json(value) for name, value in content[clock].items()}
                for clock in ("cpu", "wall")
            )
            encoders = {name: (float(c), float(w)) for name, (c, w) in content["encoders"].items()}
            gathers: dict[str, GatherCurve] = {kind: GatherCurve.of(content["gathers"][kind]) for kind in KINDS}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: damaged ({error!r}); remove it or give --calibrate") from None
        return cls(content["facts"], cpu, wall, encoders, gathers)


def _small(job: Workload, nodes: int) -> Workload:
    """The job with so many nodes, as it is measured."""
    density = min(job.edges_per_node, MOST_EDGES_PER_NODE)
    return replace(job, nodes=nodes, edges=max(1, round(nodes * density)))


def calibration_path(job: Workload, folder: Path) -> Path:
    """Where the costs of a job are kept: by width, features, density, model and index, not by size."""
    shape = {
        "dim": job.dim,
        "features": [f"{f.modality}:{f.dim}:{f.dtype}" for f in job.features],
        "density": round(min(job.edges_per_node, MOST_EDGES_PER_NODE), 1),
        "model": job.model,
        "index": job.index,
        "ppr": job.ppr,
        "encode": [bool(job.texts), bool(job.images)],
        "version": VERSION,
        "machine": [processor_name(), os.cpu_count()],
        "torch": torch.__version__,
    }
    return folder / f"costs-{content_digest(json.dumps(shape, sort_keys=True))[:16]}.json"


def calibrate(job: Workload, sizes: Sequence[int] = SIZES, *, budget: float = BUDGET) -> Calibration:
    """Run the job in small on one thread, by ascending size, and see what its phases cost.

    Args:
        job: Gives widths, features, density, model and index; its size does not matter.
        sizes: Numbers of nodes.
        budget: Processor seconds; no size is begun that would probably end after them, except the first.

    Raises:
        InputError: If there is no size.
    """
    from mmgraph.planning.trial import PPR_SEEDS, run_trial

    if not sizes:
        raise InputError("calibration: expected at least one size, got none")
    began, began_cpu = time.perf_counter(), time.process_time()
    encoders, gathers = measure_encoders(texts=job.texts > 0, images=job.images > 0), measure_gathers()
    points: dict[str, dict[str, list[tuple[float, float]]]] = {"cpu": {}, "wall": {}}
    threads, measured, last = torch.get_num_threads(), list[int](), (0, 0.0)
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            # Compiles, imports and fills caches; not counted.
            run_trial(_small(job, 200), Path(temporary))
        for nodes in sorted(sizes):
            elapsed = time.process_time() - began_cpu
            if last[0] and elapsed + last[1] * nodes / last[0] > budget:
                break
            small = _small(job, nodes)
            start = time.process_time()
            with tempfile.TemporaryDirectory() as temporary:
                found = run_trial(small, Path(temporary))
            measured, last = [*measured, nodes], (nodes, time.process_time() - start)
            for name, one in found.items():
                share = nodes / min(PPR_SEEDS, nodes) if name == "ppr" else 1.0
                for clock, seconds in (("cpu", one.cpu), ("wall", one.wall)):
                    points[clock].setdefault(name, []).append((SIZE_OF[name](small), seconds * share))
    finally:
        torch.set_num_threads(threads)
    cpu, wall = (
        {name: CostCurve.of(some, flat=name in FLAT) for name, some in points[clock].items()}
        for clock in ("cpu", "wall")
    )
    facts = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "mmgraph": installed_version("mmgraph"),
        "threads": 1,
        "nodes": measured,
        "seconds": round(time.perf_counter() - began, 1),
        "date": time.strftime("%Y-%m-%d"),
    }
    return Calibration(facts, cpu, wall, encoders, gathers)


def load_or_calibrate(job: Workload, folder: Path, *, redo: bool = False) -> Calibration:
    """Costs from the cache, or measured now and kept there.

    Args:
        job: The job.
        folder: Of the cache.
        redo: Measure again.
    """
    path = calibration_path(job, folder)
    if path.exists() and not redo:
        return Calibration.read(path)
    found = calibrate(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found.to_json())
    return found


def measure_encoders(*, texts: bool, images: bool) -> Encoders:
    """Seconds per item of the small encoders, `minilm` and `efficientnet-lite0`, on one thread.

    Args:
        texts: Measure that of texts.
        images: Measure that of images.

    Returns:
        By modality; an encoder that is not installed is left out.
    """
    items: dict[str, tuple[str, list[Any]]] = {}
    if texts:
        items["text"] = ("minilm", [TEXT.format(number) for number in range(ITEMS)])
    if images:
        items["image"] = ("efficientnet-lite0", _pictures(ITEMS // 2))
    found: Encoders = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for modality, (name, some) in items.items():
            try:
                from mmgraph.encoders.registry import load_encoder_by_name

                encoder = load_encoder_by_name(name)
            except MissingExtraError:
                continue
            encoder.encode(some[:2])
            one = spent(lambda encoder=encoder, some=some: encoder.encode(some))  # type: ignore[misc]
            found[modality] = (one.cpu / len(some), one.wall / len(some))
    finally:
        torch.set_num_threads(threads)
    return found


def _pictures(count: int) -> list[bytes]:
    """Random PNG files, 128 pixels wide; none without Pillow."""
    import io

    import numpy as np

    try:
        from PIL import Image
    except ImportError:
        return []
    random, files = np.random.default_rng(0), []
    for _ in range(count):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (128, 128, 3), dtype=np.uint8)).save(file, format="PNG")
        files.append(file.getvalue())
    return files
