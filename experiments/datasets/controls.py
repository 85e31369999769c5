"""What needs no training on a built graph: random vectors, raw features and smoothed features on all of its tasks.

Every study must beat these rows, so they are printed apart from any model. Node tasks train a linear probe on the frozen
vectors, everything else ranks by cosine (or popularity and item-knn) among all candidates.

    mmgraph datasets build debian --out data/debian && mmgraph encode --graph data/debian
    python experiments/datasets/controls.py data/debian --seeds 0 1 2 --out experiments/datasets/debian.results.json
    python experiments/datasets/controls.py experiments/datasets/debian.results.json      # the table again
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import graph_digest, load_graph
from mmgraph.files import read_json, write_json
from mmgraph.inference.table import EmbeddingTable
from mmgraph.seeding import generator
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.controls import raw_features, smoothed_features
from mmgraph.tasks.evaluation import evaluate_tables
from mmgraph.tasks.retrieval import NodeRetrievalTask

SHOWN = ("accuracy", "macro_auc", "mrr", "recall@10")
"""The metric that the table shows of a task: the first that the task has."""


def random_vectors(graph: MultimodalGraph, seed: int, dim: int = 128) -> EmbeddingTable:
    """Vectors that know nothing, `[num_nodes, dim]`."""
    values = torch.randn(graph.num_nodes, dim, generator=generator(seed, "random vectors"))
    return EmbeddingTable.for_graph(graph, values, model="random vectors")


def main() -> None:
    """Evaluate, print the table and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="A built and encoded dataset, or a file that --out wrote.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, help="Write the records as JSON.")
    args = parser.parse_args()
    if args.folder.is_file():
        print_table(read_json(args.folder)["records"])
        return
    graph = load_graph(args.folder)
    tasks = {name: task for name, task in load_tasks(args.folder).items() if not isinstance(task, NodeRetrievalTask)}
    records = []
    for seed in args.seeds:
        tables = {"random vectors": random_vectors(graph, seed)}
        if seed == args.seeds[0]:  # nothing about these is random
            tables |= {"raw features": raw_features(graph), "smoothed features": smoothed_features(graph)}
        records += [record.to_dict() for record in evaluate_tables(tables, graph, tasks, seed=seed)]
    print_table(records)
    if args.out:
        write_json(args.out, {"graph": graph_digest(graph), "seeds": args.seeds, "records": records})


def print_table(records: Sequence[Mapping[str, Any]]) -> None:
    """One row per model, one column per task, in percent."""
    values = defaultdict(list)
    for record in records:
        metric = next(name for name in SHOWN if name in record["metrics"])
        values[record["model"], f"{record['task']} ({metric})"].append(100 * record["metrics"][metric])
    columns = list(dict.fromkeys(column for _, column in values))
    print("| | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    for model in dict.fromkeys(model for model, _ in values):
        cells = [_cell(values.get((model, column), [])) for column in columns]
        print(f"| {model} | " + " | ".join(cells) + " |")


def _cell(numbers: list[float]) -> str:
    if not numbers:
        return ""
    mean = statistics.fmean(numbers)
    return f"{mean:.1f}" if len(set(numbers)) == 1 else f"{mean:.1f} ± {statistics.stdev(numbers):.1f}"


if __name__ == "__main__":
    main()
