"""`mmgraph plan`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import human_bytes, note, write_json_line, write_line, write_table
from mmgraph.cli.parser import make_parser


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "plan",
        "Say what a job needs before it is run: memory, disk, traffic and time of each phase, which engine and how many\n"
        "machines. Costs are measured on this machine by running the job in small (about a minute, once), and extrapolated.",
        "plan --nodes 1e6 --edges 1e7 --features text:384 image:1280 --texts 1e6 --images 1e6",
        "plan --nodes 1e9 --edges 2e10 --features text:384:fp16 --model layers --memory 512GiB --hours 48",
    )
    parser.add_argument("--nodes", type=str, required=True, help="Number of nodes, such as 20000, 1e9 or 2.5M.")
    parser.add_argument("--edges", type=str, required=True, help="Number of stored edges; each counts both ways.")
    parser.add_argument(
        "--features", type=str, nargs="+", default=["text:384:fp16"], help="MODALITY:WIDTH[:fp32|fp16|int8] each."
    )
    parser.add_argument("--dim", type=int, default=384, help="Width of the embeddings.")
    parser.add_argument("--texts", type=str, default="0", help="Texts to encode, by minilm.")
    parser.add_argument("--images", type=str, default="0", help="Images to encode, by efficientnet-lite0.")
    parser.add_argument("--steps", type=int, default=600, help="Optimiser steps of pre-training.")
    parser.add_argument(
        "--model", type=Literal["sign", "layers"], default="sign", help="The default model, or sampled neighbours."
    )
    parser.add_argument(
        "--index",
        type=Literal["none", "faiss", "faiss-hnsw", "faiss-ivfpq"],
        default="none",
        help="Search index to build; needs the extra faiss.",
    )
    parser.add_argument("--ppr", action="store_true", help="Also compute PPR neighbours of all nodes.")
    parser.add_argument("--machine", type=str, default="auto", help="This one (auto), or a JSON file.")
    parser.add_argument("--memory", type=str | None, help="Memory of each machine, such as 64GiB.")
    parser.add_argument("--cores", type=int | None, help="Cores of each machine.")
    parser.add_argument("--hours", type=float, default=24.0, help="How long a phase may take.")
    parser.add_argument(
        "--clock", type=Literal["cpu", "wall"], default="cpu", help="Which time of the calibration counts."
    )
    parser.add_argument("--calibrate", action="store_true", help="Measure again, whatever is in the cache.")
    parser.add_argument("--json", action="store_true", help="Print one line of JSON.")
    return parser


def run(args: Namespace) -> None:
    """Measure or read the costs; print the plan."""
    from mmgraph.errors import InputError
    from mmgraph.planning.workload import FeatureShape, Workload, describe, parse_bytes, parse_count

    if args.hours <= 0:
        raise InputError(f"--hours must be above 0, got {args.hours}")
    job = Workload(
        nodes=parse_count(args.nodes),
        edges=parse_count(args.edges),
        features=tuple(FeatureShape.parse(text) for text in args.features),
        dim=args.dim,
        texts=parse_count(args.texts),
        images=parse_count(args.images),
        steps=args.steps,
        model=args.model,
        index=args.index,
        ppr=args.ppr,
    )
    from mmgraph.planning.machine import Machine

    machine = Machine.here() if args.machine == "auto" else Machine.read(Path(args.machine))
    given = {"memory": args.memory and parse_bytes(args.memory), "cores": args.cores}
    machine = replace(machine, **{name: value for name, value in given.items() if value is not None})

    from mmgraph.files import cache_folder
    from mmgraph.planning.advice import advise
    from mmgraph.planning.calibration import calibration_path, load_or_calibrate
    from mmgraph.planning.phases import plan_phases

    path = calibration_path(job, cache_folder("planning"))
    if args.calibrate or not path.exists():
        note("measuring the costs of this machine, which takes about a minute")
    costs = load_or_calibrate(job, cache_folder("planning"), redo=args.calibrate)
    phases = plan_phases(job, costs, machine, clock=args.clock)
    advice = advise(job, phases, machine, hours=args.hours)
    if args.json:
        found: dict[str, Any] = {"workload": describe(job), "machine": machine.to_json(), "costs": costs.to_json()}
        write_json_line({**found, "phases": [asdict(phase) for phase in phases], "advice": asdict(advice)})
        return
    columns = ["phase", "memory", "disk", "read", "written", "sent", "processor", "time", "machines", "measured x"]
    rows = [
        [
            phase.name,
            *(human_bytes(size) for size in (phase.memory, phase.disk, phase.read, phase.written, phase.network)),
            duration(phase.cpu),
            duration(phase.seconds),
            str(advice.machines_by_phase.get(phase.name) or "-"),
            f"{phase.factor:,.0f}" if phase.factor > 1 else "-",
        ]
        for phase in phases
    ]
    write_table(columns, rows, title=f"{job.nodes:,} nodes, {job.edges:,} edges, {machine.cores} cores a machine")
    write_line(f"engine: {advice.engine}; encoding: {advice.encoding}; training: {advice.training}")
    write_line(f"machines for at most {args.hours:g} hours a phase: {advice.machines}")
    for line in advice.notes:
        write_line(f"- {line}")
    write_line(
        f"costs: {costs.facts['processor']}, one thread, {args.clock} time, {costs.facts['date']}, load "
        f"{costs.facts['load_average']}, up to {max(costs.facts['nodes']):,} nodes ({path})"
    )


def kept(args: Namespace) -> str:  # noqa: ARG001
    """Nothing is kept."""
    return "nothing was changed"


def duration(seconds: float | None) -> str:
    """Seconds for people: `0.21 s`, `12 min`, `3.4 h`, `9 d`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.2g} s"
