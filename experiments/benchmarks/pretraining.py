"""Time and memory of pre-training on synthetic graphs that double in size, each in a process of its own.

Phases: load (the encoded graph), blocks (feature alignment and propagation), steps (batches, forwards, backwards and
optimiser; the median step counts), embed (all nodes). A run of a fixed number of epochs is load + blocks + its steps +
embed; the target is that twice the nodes and edges take at most 2.3 times as long. With fewer steps than the epochs
have, their time is extrapolated. Beside the ratio of wall time stands that of CPU time: on a machine with other work,
run with one thread and read that one.

    python experiments/benchmarks/pretraining.py                             # 64k, 128k, 256k nodes
    python experiments/benchmarks/pretraining.py --sizes 64000 128000 --steps 20 --device cuda
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from processes import run_process
from timing import row, write_rows

from mmgraph.data.store import load_graph
from mmgraph.inference.embed import embed
from mmgraph.nn.build import build_encoder
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.objectives.mix import ObjectiveMix
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedModality
from mmgraph.synthetic.writing import write_synthetic_graph
from mmgraph.training.config import PretrainConfig
from mmgraph.training.optim import build_optimizer
from mmgraph.training.pretrain import PretrainStep, resolve_device
from mmgraph.training.view_sources import view_source

WARM_UP = 2
TARGET = 2.3


def measure(folder: Path, *, dim: int, steps: int, epochs: int, device_name: str) -> dict[str, float]:
    """Seconds by phase of one graph, and peak memory of this process in GiB."""
    device = resolve_device(device_name)
    clock = _Clock(device)
    graph = load_graph(folder).to(device)
    laps = {"load": clock.lap()}
    config = PretrainConfig(encoder=replace(EncoderConfig(), dim=dim), device=device_name, accumulate=1)
    per_epoch = -(-graph.num_nodes // config.sampling.batch_size)
    timed = min(steps, per_epoch * epochs)
    config = replace(config, steps=timed + WARM_UP)
    torch.manual_seed(0)
    encoder = build_encoder(config.encoder, [graph]).to(device)
    source = view_source(encoder, graph, config, cache=folder / "ppr")
    specs = {graph.name: [features.spec for features in graph.features.values()]}
    objectives = ObjectiveMix(config.objectives, dim, specs).to(device)
    laps["blocks"] = clock.lap()
    parts = torch.nn.ModuleList([encoder, objectives])
    optimizer = build_optimizer({"encoder": encoder, "objectives": objectives}, config.optim)
    step = PretrainStep(config, encoder, objectives, {graph.name: source})
    encoder.train()
    each = []
    clock.lap()
    for number in range(timed + WARM_UP):
        optimizer.zero_grad(set_to_none=True)
        step(number)
        torch.nn.utils.clip_grad_norm_(parts.parameters(), config.optim.clip)
        optimizer.step()
        each.append(clock.lap())
    # The median: on a machine with other work, a few steps take many times as long.
    laps["step"] = tuple(statistics.median(times) for times in zip(*each[WARM_UP:], strict=True))
    embed(encoder.eval(), graph)
    laps["embed"] = clock.lap()
    found = {"num_edges": graph.num_edges, "timed_steps": timed, "steps_per_second": 1 / laps["step"][0]}
    for kind, suffix in enumerate(("", "_cpu")):
        seconds = {name: lap[kind] for name, lap in laps.items()}
        seconds["epochs"] = seconds["step"] * per_epoch * epochs
        seconds["run"] = seconds["load"] + seconds["blocks"] + seconds["epochs"] + seconds["embed"]
        found |= {f"{name}{suffix}": value for name, value in seconds.items()}
    found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if device.type == "cuda":
        found["peak_gpu_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return found


class _Clock:
    def __init__(self, device: torch.device) -> None:
        self.device, self.start = device, (time.perf_counter(), time.process_time())

    def lap(self) -> tuple[float, ...]:
        """Wall and CPU seconds since the last lap, all work on the device done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        before, self.start = self.start, (time.perf_counter(), time.process_time())
        return self.start[0] - before[0], self.start[1] - before[1]


def main() -> None:
    """Write the graphs, measure each in its own process, print phases and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64_000, 128_000, 256_000], help="nodes of each graph")
    parser.add_argument("--dim", type=int, default=384, help="width of features and embeddings")
    parser.add_argument("--steps", type=int, default=40, help="steps to time, at most those of the epochs")
    parser.add_argument("--epochs", type=int, default=2, help="length of the run whose time is compared")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    parser.add_argument("--folder", type=Path, help="measure this graph in this process, print JSON")
    args = parser.parse_args()
    if args.folder:
        print(
            json.dumps(
                measure(args.folder, dim=args.dim, steps=args.steps, epochs=args.epochs, device_name=args.device)
            )
        )
        return
    print(
        "    nodes      edges  load s  blocks s  s/step  steps/s  embed s  epochs s   run s  peak GiB  ratio wall, CPU"
    )
    results: list[dict[str, Any]] = []
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "graph")
            shows = {"text": ("colour",), "image": ("shape",)}
            modalities = tuple(PlantedModality(name, factors, args.dim) for name, factors in shows.items())
            write_synthetic_graph(folder, PlantedConfig(num_nodes=size, modalities=modalities), seed=0)
            words = ["--dim", args.dim, "--steps", args.steps, "--epochs", args.epochs, "--device", args.device]
            command = [sys.executable, __file__, "--folder", str(folder), *map(str, words)]
            result = {"num_nodes": size, **json.loads(run_process(command).output.splitlines()[-1])}
        before = results[-1] if results else None
        # Per doubling, whatever the sizes are: t ~ n^a gives 2^a.
        ratios = [_per_doubling(before, result, key) for key in ("run", "run_cpu")] if before else []
        results.append({**result, "ratios_per_doubling": ratios})
        print(
            f"{size:9,} {result['num_edges']:10,} {result['load']:7.2f} {result['blocks']:9.2f} {result['step']:7.3f} "
            f"{result['steps_per_second']:8.2f} {result['embed']:8.2f} {result['epochs']:9.1f} {result['run']:7.1f} "
            f"{result['peak_gib']:9.2f}  {', '.join(f'{ratio:.2f}' for ratio in ratios) or '-'}",
            flush=True,
        )
    print(f"target: ratio <= {TARGET}")
    write_rows(args.out, [growth(*pair, args) for pair in itertools.pairwise(results)])


def growth(before: dict[str, Any], after: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The line of two sizes: the larger run beside the smaller one times the sizes."""
    ratios = {key: _per_doubling(before, after, key) / 2 for key in ("run", "run_cpu")}
    return row(
        f"pre-training of {args.epochs} epochs, per doubling over linear growth",
        {"nodes": after["num_nodes"], "edges": after["num_edges"]},
        ours=after["run"],
        reference=before["run"] * after["num_nodes"] / before["num_nodes"],
        unit="s",
        ratio=ratios["run"],
        target=f"<= {TARGET / 2}",
        met=ratios["run"] <= TARGET / 2,
        ratio_cpu=ratios["run_cpu"],
        larger=after,
        smaller=before,
        dim=args.dim,
        device=args.device,
    )


def _per_doubling(before: dict[str, Any], after: dict[str, Any], key: str) -> float:
    exponent = math.log(after[key] / before[key]) / math.log(after["num_nodes"] / before["num_nodes"])
    return float(2**exponent)


if __name__ == "__main__":
    main()
