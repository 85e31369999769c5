"""Steps per second of pre-training: two processes with one thread each against one process with two threads.

Both train the default model on the same synthetic graph with the same batches. Runs alternate, so that other work on the
machine hits both alike, and the figure is the median over rounds of the ratio of steps per second; a step includes its share
of holding other edges out every `refresh_every` batches, which is not divided. Beside it stands the
CPU time of a step, added over processes, and that of one process with one thread. Their ratio is the share of the work
that is divided; it is also the least that the first figure can be on free cores, as two threads are at most twice as fast as
one. On a machine with other work read that one: two threads of one process then wait for each other in busy loops.

    python experiments/benchmarks/distributed.py                                 # 64k nodes, width 384
    python experiments/benchmarks/distributed.py --nodes 8000 --dim 128 --steps 5 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timing import row, write_rows

from mmgraph.data.store import load_graph
from mmgraph.distributed import connect
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedModality
from mmgraph.synthetic.writing import write_synthetic_graph
from mmgraph.testing.ranks import free_port, rank_environment
from mmgraph.training.config import PretrainConfig
from mmgraph.training.optim import build_optimizer
from mmgraph.training.pretrain import build_step

WARM_UP = 2
TARGET = 0.9


def measure(folder: Path, *, dim: int, steps: int) -> dict[str, float]:
    """Median wall and CPU seconds of a step of this process, its share of a refresh, and the loss of the last step."""
    ranks = connect(torch.device("cpu"))
    graph = load_graph(folder, verify=False)
    config = PretrainConfig(
        steps=steps + WARM_UP, encoder=replace(EncoderConfig(), dim=dim), device="cpu", accumulate=1
    )
    step = build_step(config, [graph], cache=folder / "ppr", ranks=ranks)
    source = step.sources[graph.name]
    parameters = [p for part in step.modules.values() for p in part.parameters()]
    optimizer = build_optimizer(step.modules, config.optim)
    for part in step.modules.values():
        part.train()
    wall, cpu, loss = [], [], 0.0
    for number in range(steps + WARM_UP):
        start = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        loss, _ = ranks.reduce(parameters, step(number).loss, lambda: False)
        torch.nn.utils.clip_grad_norm_(parameters, config.optim.clip)
        optimizer.step()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    start = time.perf_counter(), time.process_time()
    every = config.sampling.refresh_every
    source.views(every * (1 + number // every), 0)  # holds other edges out, which every process does for itself
    refresh = (time.perf_counter() - start[0]) / every, (time.process_time() - start[1]) / every
    found = {"wall": statistics.median(wall[WARM_UP:]), "cpu": statistics.median(cpu[WARM_UP:])}
    found |= {"wall_refresh": refresh[0], "cpu_refresh": refresh[1], "loss": loss}
    return found


def launch(folder: Path, args: argparse.Namespace, *, ranks: int, threads: int) -> dict[str, float]:
    """Measure in processes of their own; wall time of the slowest, CPU time of all."""
    port = free_port()
    words = ["--folder", str(folder), "--dim", str(args.dim), "--steps", str(args.steps)]
    running = []
    for rank in range(ranks):
        environment = {**os.environ, **rank_environment(rank, ranks, port), "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, __file__, *words]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    found = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
    wall = max(one["wall"] + one["wall_refresh"] for one in found)
    cpu = sum(one["cpu"] + one["cpu_refresh"] for one in found)
    refresh = max(one["wall_refresh"] for one in found)
    return {"wall": wall, "cpu": cpu, "refresh": refresh, "loss": found[0]["loss"]}


def main() -> None:
    """Write the graph, alternate both forms, print each round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=64_000, help="nodes of the graph")
    parser.add_argument("--dim", type=int, default=384, help="width of features and embeddings")
    parser.add_argument("--steps", type=int, default=10, help="timed steps of each run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each form")
    parser.add_argument(
        "--no-threads", dest="threads", action="store_false", help="leave one process of two threads out"
    )
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    parser.add_argument("--folder", type=Path, help="measure this graph in this process, print JSON")
    args = parser.parse_args()
    if args.folder:
        print(json.dumps(measure(args.folder, dim=args.dim, steps=args.steps)))
        return
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "graph")
        shows = {"text": ("colour",), "image": ("shape",)}
        modalities = tuple(PlantedModality(name, factors, args.dim) for name, factors in shows.items())
        write_synthetic_graph(folder, PlantedConfig(num_nodes=args.nodes, modalities=modalities), seed=0)
        print(
            "s/step 1 x 1   1 x 2   2 x 1   ratio   CPU s/step 1 x 1   1 x 2   2 x 1   ratio   difference of the loss"
        )
        for _ in range(args.rounds):
            plain = launch(folder, args, ranks=1, threads=1)
            two = launch(folder, args, ranks=2, threads=1)
            one = launch(folder, args, ranks=1, threads=2) if args.threads else plain
            ratio, cpu_ratio = one["wall"] / two["wall"], plain["cpu"] / two["cpu"]
            rounds.append({"1x1": plain, "1x2": one, "2x1": two, "ratio": ratio, "cpu_ratio": cpu_ratio})
            print(
                f"{plain['wall']:12.3f} {one['wall']:7.3f} {two['wall']:7.3f} {ratio:7.2f} "
                f"{plain['cpu']:18.3f} {one['cpu']:7.3f} {two['cpu']:7.3f} {cpu_ratio:7.2f} "
                f"{abs(plain['loss'] - two['loss']):13.1e}",
                flush=True,
            )
    ratio, cpu_ratio = (statistics.median(item[key] for item in rounds) for key in ("ratio", "cpu_ratio"))
    if args.threads:
        print(f"2 x 1 thread runs {ratio:.2f} x the steps per second of 1 x 2 threads; target >= {TARGET}")
    print(f"CPU time of 1 x 1 is {cpu_ratio:.2f} x that of 2 x 1")
    line = row(
        "pre-training step, 2 processes x 1 thread over 1 x 2, speed-up",
        {"nodes": args.nodes},
        ours=statistics.median(item["2x1"]["wall"] for item in rounds),
        reference=statistics.median(item["1x2"]["wall"] for item in rounds),
        unit="s",
        ratio=ratio,
        target=f">= {TARGET}" if args.threads else "",
        met=ratio >= TARGET if args.threads else None,
        ratio_cpu=cpu_ratio,
        dim=args.dim,
        steps=args.steps,
        rounds=rounds,
    )
    write_rows(args.out, [line])


if __name__ == "__main__":
    main()
