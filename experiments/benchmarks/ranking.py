"""Full-ranking evaluation of users against all items, beside a bare blocked product with top-k.

Target: at most 1.3 x the time of `users @ items.T` in blocks with `torch.topk(100)` on each, which names no rank, masks
nothing and computes no metric. Ours masks the training items, ranks every held-out item exactly and lists the top 10.
Both alternate in one process; peak memory follows `--scores-at-once`.

    python experiments/benchmarks/ranking.py [--users 2500 10000] [--items 100000] [--dim 128] [--threads 1] [--repeats 3]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from timing import alternate, show, timed_row, write_rows
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.alignment import chunk_size, scores_at_once
from mmgraph.tasks.recommendation import RecommendationTask

JUDGED_FROM = 10_000
"""Users from which the target holds."""


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
    parser.add_argument("--users", type=int, nargs="+", default=[2_500, 10_000])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scores-at-once", type=int, default=2**23)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    small, small_task, small_table = make(100, 200, args.dim)
    small_task.evaluate(small_table, small)  # compiles
    lines = []
    for users in args.users:
        graph, task, table = make(users, args.items, args.dim)
        user, item = table.vectors[:users], table.vectors[users:]
        before = forget_peak()
        with scores_at_once(args.scores_at_once):
            forms = {
                "bare": lambda user=user, item=item: bare(user, item, chunk_size(args.items)),
                "ours": lambda task=task, table=table, graph=graph: task.evaluate(table, graph),
            }
            times = alternate(forms, repeats=args.repeats, warm_up=0)
        extra = None if before is None else round((memory("VmHWM") - before) / 1024)
        size = {"users": users, "items": args.items}
        more = {"dim": args.dim, "scores_at_once": args.scores_at_once, "extra_peak_mib": extra}
        title = "evaluation by full ranking, time over a bare top-100"
        lines.append(timed_row(title, size, times, "bare", at_most=1.3, judged=users >= JUDGED_FROM, **more))
        show(lines[-1])
    write_rows(args.out, lines)


if __name__ == "__main__":
    main()
