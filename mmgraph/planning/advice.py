"""Which engine a job needs, and how many machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from mmgraph.planning.machine import Machine
from mmgraph.planning.phases import Phase
from mmgraph.planning.sizes import csr_bytes
from mmgraph.planning.workload import Workload

USABLE = 0.85
"""Share of the memory that a job may take."""
RESIDENT_PER_NODE = 24
"""Bytes per node that stay in memory when all else is mapped from disk: starts of rows, places in a sample, ids' hashes."""


@dataclass(frozen=True)
class Advice:
    """What to use.

    Attributes:
        engine: `in memory`, `memory-mapped` or `partition`.
        encoding: `this process` or `ray`.
        training: `one process` or `torchrun`.
        machines: Machines that keep the limit of time, the most of any phase.
        machines_by_phase: The same by phase; None where more machines cannot help.
        notes: Why, and what to change.
    """

    engine: str
    encoding: str
    training: str
    machines: int
    machines_by_phase: dict[str, int | None]
    notes: tuple[str, ...]


def advise(job: Workload, phases: Sequence[Phase], machine: Machine, *, hours: float = 24.0) -> Advice:
    """Choose engines for a job.

    Args:
        job: The job.
        phases: From `plan_phases`.
        machine: Each of the machines.
        hours: How long a phase may take.
    """
    room, notes = USABLE * machine.memory, list[str]()
    largest = max(phases, key=lambda phase: phase.memory)
    if largest.memory <= room:
        engine = "in memory"
    elif RESIDENT_PER_NODE * job.nodes <= room:
        engine = "memory-mapped"
        notes.append(
            f"{largest.name} would take {_gib(largest.memory)} of memory, the machine has {_gib(machine.memory)}: adjacency "
            f"({_gib(csr_bytes(job))}), features and levels stay in files, {_gib(RESIDENT_PER_NODE * job.nodes)} in memory"
        )
        if job.model == "sign":
            notes.append(
                "training keeps the blocks of the whole graph in memory: take --model layers (sampled neighbours)"
            )
    else:
        engine = "partition"
        notes.append(
            f"even {RESIDENT_PER_NODE} bytes per node ({_gib(RESIDENT_PER_NODE * job.nodes)}) exceed the memory of one machine: "
            "take a larger one; mmgraph does not partition a graph"
        )
    disk = sum(phase.disk for phase in phases) + (csr_bytes(job) if engine != "in memory" else 0)
    if disk > machine.disk:
        notes.append(f"the files take {_gib(disk)}, {_gib(machine.disk)} are free")
    needed: dict[str, int | None] = {}
    for phase in phases:
        if phase.seconds is None:
            notes.append(f"{phase.name}: its encoder is not installed here, so its time is not known")
            continue
        many = max(1, ceil(phase.seconds / (hours * 3600)))
        needed[phase.name] = many if phase.sharing == "machines" or many == 1 else None
        if needed[phase.name] is None:
            notes.append(
                f"{phase.name} takes {phase.seconds / 3600:,.0f} hours on one core, and more machines do not help"
            )
        elif many > 1 and phase.network / machine.network_bandwidth > phase.seconds / many:
            notes.append(f"{phase.name}: the network takes longer than the work of {many} machines")
    encode = max([1, *(n or 1 for name, n in needed.items() if name.startswith("encode"))])
    train = needed.get("training: steps") or 1
    return Advice(
        engine,
        "ray" if encode > 1 else "this process",
        "torchrun" if train > 1 or (machine.cores > 8 and engine != "partition") else "one process",
        max([1, *(n for n in needed.values() if n)]),
        needed,
        tuple(notes),
    )


def _gib(size: float) -> str:
    return f"{size / 2**30:,.1f} GiB"
