"""Memory over 50 epochs of pre-training with two threads that prepare batches: the slope must be below 1 MiB per epoch.

Own memory (`own_mib` in `metrics.jsonl`, see docs/scale.md) is taken once per epoch; the line is fitted to all but the first
ten, in which allocators and caches of compiled kernels still grow.

    python experiments/benchmarks/epochs.py                                  # 16,000 nodes, 160,000 edges
    python experiments/benchmarks/epochs.py --nodes 4000 --edges 40000 --epochs 20
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from processes import run_process
from scale import graph_config, pretrain_config
from timing import row, show, write_rows

from mmgraph.config import dump_yaml
from mmgraph.data.sampling import SamplingConfig
from mmgraph.training.tracking import read_metrics

TARGET = 1.0
WARM_UP = 10
BATCH = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=16_000)
    parser.add_argument("--edges", type=int, default=160_000)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2, help="threads that prepare batches")
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    per_epoch = -(-args.nodes // BATCH)
    config = replace(
        pretrain_config(per_epoch * args.epochs),
        log_every=per_epoch,
        save_every=per_epoch * 10,
        sampling=SamplingConfig(kind="neighbor", batch_size=BATCH, fanouts=(5, 5), workers=args.workers),
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "graph.yaml").write_text(dump_yaml(graph_config(args.nodes, args.edges)))
        (folder / "pretrain.yaml").write_text(dump_yaml(config))
        command = [sys.executable, "-m", "mmgraph"]
        environment = {**os.environ, "MMGRAPH_CACHE": str(folder / "cache")}
        graph = ["synthetic", "--config", str(folder / "graph.yaml"), "--out", str(folder / "graph")]
        run_process([*command, *graph], environment=environment)
        train = [
            "--config",
            str(folder / "pretrain.yaml"),
            "--graphs",
            str(folder / "graph"),
            "--out",
            str(folder / "run"),
        ]
        used = run_process([*command, "pretrain", *train], environment=environment)
        lines = read_metrics(folder / "run")
    own = np.array([line["own_mib"] for line in lines])
    epochs = np.array([line["step"] / per_epoch for line in lines])
    late = epochs > WARM_UP
    slope = float(np.polyfit(epochs[late], own[late], 1)[0])
    print(
        f"{used.seconds:.0f} s, {used.cpu:.0f} s of processor time; own memory {own[0]:.0f} MiB at first, {own[late][0]:.0f} after {WARM_UP} epochs, {own[-1]:.0f} at the end"
    )
    size = {"nodes": args.nodes, "edges": args.edges, "epochs": args.epochs}
    found = row(
        "growth of memory while training",
        size,
        ours=slope,
        reference=TARGET,
        unit="MiB/epoch",
        ratio=slope / TARGET,
        target="<= 1",
        met=slope <= TARGET,
    )
    show(found)
    if args.out is not None:
        write_rows(args.out, [found])


if __name__ == "__main__":
    main()
