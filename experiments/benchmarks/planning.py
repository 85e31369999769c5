"""What `mmgraph plan` predicts beside real runs, phase by phase; target: within 30%.

Costs are measured at small sizes; then the job is run at larger ones, by the same code, one thread. Processor time is
compared: on a machine with other work, wall time is whatever that work leaves.

    python experiments/benchmarks/planning.py [--sizes 10000 40000 160000] [--small 2000 6000 18000] [--out planning.json]
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from timing import row, show, write_rows

from mmgraph.planning.calibration import SIZES, calibrate
from mmgraph.planning.trial import PPR_SEEDS, run_trial
from mmgraph.planning.workload import FeatureShape, Workload

WITHIN, JUDGED_FROM = 0.3, 10_000
"""Of each phase, and the nodes from which it holds: below, phases take milliseconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[10_000, 40_000, 160_000], help="nodes of the real runs"
    )
    parser.add_argument("--small", type=int, nargs="+", default=list(SIZES), help="nodes of the calibration")
    parser.add_argument("--edges-per-node", type=float, default=5.0)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--model", choices=["sign", "layers"], default="sign")
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    features = (FeatureShape("text", args.dim, "fp16"), FeatureShape("image", args.dim, "fp16"))
    base = Workload(
        10**6, round(10**6 * args.edges_per_node), features, args.dim, model=args.model, index="none", ppr=True
    )
    costs = calibrate(base, args.small, budget=args.budget)
    rows = []
    for nodes in args.sizes:
        job = replace(base, nodes=nodes, edges=round(nodes * args.edges_per_node))
        with tempfile.TemporaryDirectory() as temporary:
            found = run_trial(job, Path(temporary))
        figures = {
            name: (costs.seconds(name, job), one.cpu * (nodes / PPR_SEEDS if name == "ppr" else 1), one.wall)
            for name, one in found.items()
        }
        figures["all phases"] = tuple(map(sum, zip(*figures.values(), strict=True)))  # each of them once
        for name, (predicted, measured, wall) in figures.items():
            ratio = predicted / max(measured, 1e-9)
            met = abs(ratio - 1) <= WITHIN
            exponent = costs.cpu[name].exponent if name in costs.cpu else None
            more = {"exponent": exponent, "wall": wall, "calibrated_at": costs.facts["nodes"]}
            size = {"nodes": nodes, "edges": job.edges}
            rows.append(
                row(
                    f"plan of {name}, predicted against measured",
                    size,
                    ours=predicted,
                    reference=measured,
                    unit="CPU s",
                    ratio=ratio,
                    target="0.7 to 1.3",
                    met=met,
                    judged=nodes >= JUDGED_FROM,
                    **more,
                )
            )
            show(rows[-1])
        write_rows(args.out, rows)  # after each size: the next takes longer


if __name__ == "__main__":
    main()
