"""Build, pre-train, embed and export graphs under a limit of memory, each phase as a process of its own.

The limit is enforced: `RLIMIT_DATA` counts all writable private memory that a process asks for, touched or not, so that an
allocation beyond it fails. `own` is the highest sum of anonymous and shared pages that was seen (`RssAnon + RssShmem`, every
10 ms): allocations, and pages of mapped files that were written to. `peak` also counts pages of mapped files that are only
read, which the system takes back when others need the room.

    python experiments/benchmarks/scale.py --folder /data/scale                 # 1M nodes, 10M edges; 10M nodes, 100M edges
    python experiments/benchmarks/scale.py --folder /data/scale --sizes 100000,1000000 --limit 1.5
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from processes import run_process

from mmgraph.config import dump_yaml
from mmgraph.data.sampling import SamplingConfig
from mmgraph.files import read_json
from mmgraph.nn.encoder import EncoderConfig
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.synthetic.planted_config import PlantedConfig, PlantedModality, PlantedRelation
from mmgraph.training.config import PretrainConfig
from mmgraph.training.tracking import read_metrics

SIZES = ["1000000,10000000", "10000000,100000000"]
EMBED = """
import sys
from mmgraph.data.store import load_graph
from mmgraph.inference.sweep import sweep
from mmgraph.training.loading import load_model
graph = load_graph(sys.argv[2], mmap="read")
sweep(load_model(sys.argv[1], graph=graph), graph, sys.argv[3])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, required=True, help="where graphs and runs go; 25 GB for the larger size"
    )
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="NODES,EDGES of each graph")
    parser.add_argument(
        "--limit", type=float, default=3.0, help="GiB that a process may ask for (RLIMIT_DATA); 0 for none"
    )
    parser.add_argument("--steps", type=int, default=200, help="of pre-training")
    parser.add_argument("--keep", action="store_true", help="leave graphs and runs, and use those that are there")
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    results = []
    for size in args.sizes:
        nodes, edges = (int(number) for number in size.split(","))
        results += run_size(args.folder / f"{nodes}-{edges}", nodes, edges, args)
        if args.out:
            args.out.write_text(json.dumps(results, indent=2) + "\n")


def run_size(folder: Path, nodes: int, edges: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """All phases for one size; a phase whose result is there is left out."""
    folder.mkdir(exist_ok=True)
    graph, run, work, table = folder / "graph", folder / "run", folder / "levels", folder / "vectors.parquet"
    (folder / "graph.yaml").write_text(dump_yaml(graph_config(nodes, edges)))
    (folder / "pretrain.yaml").write_text(dump_yaml(pretrain_config(args.steps)))
    mmgraph = [sys.executable, "-m", "mmgraph.cli.main"]
    phases: list[tuple[str, list[str], Path]] = [
        ("build", [*mmgraph, "synthetic", "--config", str(folder / "graph.yaml"), "--out", str(graph)], graph),
        (
            "pre-train",
            [
                *mmgraph,
                "pretrain",
                "--config",
                str(folder / "pretrain.yaml"),
                "--graphs",
                str(graph),
                "--out",
                str(run),
            ],
            run / "model",
        ),
        ("embed", [sys.executable, "-c", EMBED, str(run), str(graph), str(work)], table),
        (
            "export",
            [*mmgraph, "export", "--run", str(run), "--graph", str(graph), "--work", str(work), "--out", str(table)],
            table,
        ),
    ]
    environment = {**os.environ, "MMGRAPH_CACHE": str(folder / "cache")}
    print(f"{nodes:,} nodes, {edges:,} edges", flush=True)
    results = [
        {"nodes": nodes, "edges": edges, **measure(name, command, environment, args.limit, edges)}
        for name, command, result in phases
        if not result.exists()
    ]
    lines = read_metrics(run)
    per_step = (lines[-1]["seconds"] - lines[0]["seconds"]) / (lines[-1]["step"] - lines[0]["step"])
    waited = sum(line["data_seconds"] for line in lines[1:]) / max(len(lines) - 1, 1)
    own = [line["own_mib"] for line in lines if "own_mib" in line]
    print(
        f"  a step takes {per_step:.3f} s, of which {waited:.3f} s waiting for data; own memory {own[:1]} .. {own[-1:]} MiB"
    )
    print(
        f"  vectors: {table.stat().st_size / 2**30:.2f} GiB; nodes: {read_json(graph / 'encoded/graph.json')['num_nodes']:,}"
    )
    if not args.keep:
        shutil.rmtree(folder)
    return results


def graph_config(nodes: int, edges: int) -> PlantedConfig:
    """Features of width 128 in half precision, four fifths of the edges by community, power-law degrees."""
    per_node = edges / nodes
    return PlantedConfig(
        num_nodes=nodes,
        modalities=(PlantedModality("text", ("colour", "shape"), dim=128),),
        relations=(
            PlantedRelation("similar", 0.8 * per_node, homophily=0.4),
            PlantedRelation("noise", 0.2 * per_node, factors=(), symmetric=False),
        ),
        degree_exponent=2.5,
        holdout=min(0.1, 10_000 / edges),
        dtype="float16",
    )


def pretrain_config(steps: int) -> PretrainConfig:
    """Two layers of GraphSAGE over sampled neighbours, vectors of width 64."""
    return PretrainConfig(
        steps=steps,
        accumulate=1,
        device="cpu",
        encoder=EncoderConfig(dim=64, moe=MoEConfig(num_experts=2, top_k=1), gnn=GNNConfig(conv="sage", num_layers=2)),
        sampling=SamplingConfig(kind="neighbor", batch_size=128, fanouts=(5, 5)),
    )


def measure(
    name: str, command: list[str], environment: dict[str, str], limit: float, edges: int
) -> dict[str, str | float]:
    """Seconds, processor time, and memory in GiB of a process of its own; printed, too."""
    used = run_process(command, environment=environment, limit=int(limit * 2**30))
    row: dict[str, str | float] = {"phase": name, "seconds": used.seconds, "cpu_seconds": used.cpu, "limit_gib": limit}
    row |= {"own_gib": used.own_gib, "peak_gib": used.peak_gib, "cpu_us_per_edge": 1e6 * used.cpu / edges}
    print(
        f"  {name:10} {used.seconds:8.1f} s   processor {used.cpu:8.1f} s, {row['cpu_us_per_edge']:6.2f} us per edge   "
        f"own {row['own_gib']:5.2f} GiB   peak {row['peak_gib']:5.2f} GiB",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main()
