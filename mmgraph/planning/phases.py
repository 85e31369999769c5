"""Memory, disk, traffic and time of every phase of a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Literal

from mmgraph.planning import sizes
from mmgraph.planning.calibration import SIZE_OF, Calibration
from mmgraph.planning.machine import Machine
from mmgraph.planning.workload import BYTES, Workload

Sharing = Literal["one", "machines"]
IMAGE_BYTES, TEXT_BYTES = 20_000, 200
"""Assumed mean size of an encoded picture and of a text."""
PARAMETERS_PER_SQUARE = 30
"""Trainable numbers of the default model, as a multiple of its width squared; gradients of four bytes are exchanged."""
BATCH, ACCUMULATE, REFRESH = 1024, 2, 20
"""Defaults of pre-training: seeds per batch, batches per step, batches per round."""


@dataclass(frozen=True)
class Phase:
    """What one phase needs.

    Attributes:
        name: Name.
        cpu: Processor seconds on one core; None if nothing was measured.
        seconds: Wall seconds on one machine: processor time shared among its cores where the phase can be shared, and no less
            than its traffic takes.
        memory: Bytes in memory at the peak.
        disk: Bytes that stay on disk.
        read: Bytes read from disk.
        written: Bytes written to disk.
        network: Bytes that each machine sends if several share the phase.
        sharing: `machines`: parts can be done anywhere. `one`: one core does it all.
        factor: How many times larger the job is than the largest that was measured; 1 or less is interpolation.
    """

    name: str
    cpu: float | None
    seconds: float | None
    memory: int
    disk: int = 0
    read: int = 0
    written: int = 0
    network: int = 0
    sharing: Sharing = "one"
    factor: float = 1.0


def training_batches(job: Workload) -> int:
    """Batches of pre-training."""
    return job.steps * ACCUMULATE


def training_rounds(job: Workload) -> int:
    """How often the blocks of the whole graph are computed during pre-training."""
    return ceil(training_batches(job) / REFRESH) if job.model == "sign" else 0


def plan_phases(job: Workload, costs: Calibration, machine: Machine, *, clock: str = "cpu") -> list[Phase]:
    """Estimate every phase.

    Args:
        job: The job.
        costs: Measured on one thread.
        machine: What it is to run on.
        clock: `cpu` takes the processor time of the calibration as the time of an idle core, `wall` its wall time.
    """
    curves = costs.curves(clock)
    graph, csr, matrix = sizes.graph_bytes(job), sizes.csr_bytes(job), sizes.matrix_bytes(job)
    messages, blocks = sizes.message_bytes(job), sizes.block_bytes(job)
    sign = job.model == "sign"

    def cost(name: str) -> float:
        return costs.seconds(name, job, clock=clock) / machine.speed

    def factor(name: str) -> float:
        return SIZE_OF[name](job) / curves[name].points[-1][0]

    def phase(name: str, cpu: float | None, curve: str | None, memory: float, **more: int | Sharing) -> Phase:
        sharing: Sharing = "machines" if more.get("sharing") == "machines" else "one"
        traffic = sum(value for key in ("read", "written") if isinstance(value := more.get(key, 0), int))
        cores = machine.cores if sharing == "machines" else 1
        seconds = None if cpu is None else max(cpu / cores, traffic / machine.disk_bandwidth)
        grown = 1.0 if curve is None else factor(curve)
        return Phase(name, cpu, seconds, round(memory), sharing=sharing, factor=grown, **_without_sharing(more))

    found = list(_encoding(job, costs, clock, machine, phase))
    found.append(phase("build", cost("build"), "build", graph, disk=graph, written=graph, read=graph))
    found.append(phase("open and check", cost("open"), "open", graph - job.feature_bytes, read=graph))
    found.append(phase("CSR", cost("csr"), "csr", csr + 2 * messages, read=16 * job.edges))
    if job.ppr and "ppr" in curves:
        table = 32 * (4 if job.nodes < 2**31 else 8) * job.nodes
        found.append(
            phase("PPR", cost("ppr"), "ppr", csr + 32 * job.nodes, disk=table, written=table, sharing="machines")
        )
    gradients = 2 * 4 * PARAMETERS_PER_SQUARE * job.dim**2 * job.steps
    resident = graph + messages + (blocks + 2 * messages if sign else csr + 4 * job.nodes)
    batches = training_batches(job)
    # A batch reads its seeds (and for layers their neighbours) from features or blocks; a round reads everything.
    rows = batches * BATCH * (1 if sign else 60)
    row = 4 * job.dim * (2 * sizes.SIGN_LEVELS) if sign else sum(f.row_bytes for f in job.features)
    reading = rows * row + training_rounds(job) * (graph if sign else 0)
    found.append(phase("prepare training", cost("prepare"), "prepare", resident, read=graph))
    if sign:
        found.append(phase("training: rounds", training_rounds(job) * cost("round"), "round", resident))
    found.append(
        phase(
            "training: steps",
            job.steps * cost("step"),
            None,
            resident,
            read=min(reading, rows * row),
            network=gradients,
            sharing="machines",
        )
    )
    inference = graph + matrix + (blocks if sign else 2 * matrix + messages)
    found.append(
        phase("embed", cost("embed"), "embed", inference, read=graph, written=0, sharing="machines", network=matrix)
    )
    found.append(phase("export", cost("export"), "export", 2 * matrix, disk=matrix, written=matrix))
    if job.index != "none":
        index = sizes.index_bytes(job)
        found.append(
            phase("search index", cost("index"), "index", matrix + index, disk=index, read=matrix, written=index)
        )
    return found


def _encoding(
    job: Workload, costs: Calibration, clock: str, machine: Machine, phase: Callable[..., Phase]
) -> list[Phase]:
    dims = {feature.modality: feature.dim * BYTES["fp32"] for feature in job.features}
    found = []
    for modality, count, raw in (("text", job.texts, TEXT_BYTES), ("image", job.images, IMAGE_BYTES)):
        if count:
            unit = costs.encoders.get(modality)
            cpu = None if unit is None else count * unit[0 if clock == "cpu" else 1] / machine.speed
            cache = count * dims.get(modality, 4 * job.dim)
            found.append(
                phase(
                    f"encode {modality}s",
                    cpu,
                    None,
                    2 * 10**9,
                    disk=cache,
                    read=count * raw,
                    written=cache,
                    network=cache,
                    sharing="machines",
                )
            )
    return found


def _without_sharing(more: dict[str, int | Sharing]) -> dict[str, int]:
    return {key: value for key, value in more.items() if isinstance(value, int)}
