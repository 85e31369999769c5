"""Full-ranking evaluation of users against all items, beside a bare blocked product with top-k.

Target: at most 1.3 x the time of `users @ items.T` in blocks with `torch.topk(100)` on each, which names no rank, masks
nothing and computes no metric. Ours masks the training items, ranks every held-out item exactly and lists the top 10.
Both alternate in one process; peak memory follows `--scores-at-once`.

    python experiments/benchmarks/ranking.py [--users 100000] [--items 100000] [--dim 128] [--threads 1] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.alignment import chunk_size, scores_at_once
from mmgraph.tasks.recommendation import RecommendationTask


def make(users: int, items: int, dim: int) -> tuple[MultimodalGraph, RecommendationTask, EmbeddingTable]:
    """Random vectors; ten known items and two held-out ones for each user."""
    random = torch.Generator().manual_seed(0)
    count = users + items
    drawn = torch.stack([torch.randperm(items, generator=random)[:12].clone() for _ in range(min(users, 4096))])
    drawn = drawn.repeat(-(-users // len(drawn)), 1)[:users]
    known, held = drawn[:, :10], drawn[:, 10:]
    rows = torch.arange(users)
    edges = torch.stack([rows.repeat_interleave(10), users + known.flatten()])
    graph = MultimodalGraph(
        name="bench",
        node_ids=NodeIds(np.arange(count)),
        node_types=("user", "item"),
        node_type=torch.cat([torch.zeros(users, dtype=torch.int64), torch.ones(items, dtype=torch.int64)]),
        relations={"likes": Relation(edges, "user", "item")},
        features={},
    )
    table = pa.table(
        {
            "user": rows.repeat_interleave(2).numpy(),
            "item": (users + held.flatten()).numpy(),
            "split": ["valid", "test"] * users,
        }
    )
    vectors = torch.randn(count, dim, generator=random)
    task = RecommendationTask("recommend", "likes", "user", "item", table)
    return graph, task, EmbeddingTable.for_graph(graph, vectors, model="random")


def bare(user: Tensor, item: Tensor, step: int) -> None:
    for start in range(0, len(user), step):
        torch.topk(user[start : start + step] @ item.t(), 100, dim=1)


def memory(key: str) -> int:
    """A line of `/proc/self/status` in KiB: `VmRSS` is what is in memory, `VmHWM` the most that was."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def forget_peak() -> int | None:
    """Let the peak start again at what is in memory now, and return that in KiB; None where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return memory("VmRSS")
    except OSError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scores-at-once", type=int, default=2**23)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    graph, task, table = make(args.users, args.items, args.dim)
    user, item = table.vectors[: args.users], table.vectors[args.users :]
    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    small, small_task, small_table = make(100, 200, args.dim)
    small_task.evaluate(small_table, small)  # compiles
    before = forget_peak()
    with scores_at_once(args.scores_at_once):
        for _ in range(args.repeats):
            start = time.perf_counter()
            bare(user, item, chunk_size(args.items))
            seconds["bare"].append(time.perf_counter() - start)
            start = time.perf_counter()
            task.evaluate(table, graph)
            seconds["ours"].append(time.perf_counter() - start)
    ratios = [ours / other for ours, other in zip(seconds["ours"], seconds["bare"], strict=True)]
    found = {
        "seconds": {name: round(statistics.median(values), 2) for name, values in seconds.items()},
        "ratio": round(statistics.median(ratios), 3),
        "extra_peak_mib": None if before is None else round((memory("VmHWM") - before) / 1024),
        "settings": {k: v for k, v in vars(args).items() if k != "out"},
    }
    print(json.dumps(found))
    if args.out:
        args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
