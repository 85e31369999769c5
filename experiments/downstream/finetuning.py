r"""Does pre-training pay once there are labels? The same network, fine-tuned from a run and trained from scratch.

    for seed in 0 1 2; do for name in openmoji movielens-100k debian; do
      mmgraph pretrain --config experiments/pretraining/mmgraph.yaml --graphs data/$name --seed $seed \
        --out runs/$name/seed$seed
    done; done
    python experiments/downstream/finetuning.py --data data --models runs --out runs/finetuning

It can be stopped and called again: what is in the results is kept, unfinished trainings go on. With `--print` it prints
the tables only. A share of the labels is a sample of train and valid alike, drawn by the seed; test is whole.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from mmgraph.data.store import load_graph
from mmgraph.files import write_json
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.finetune import finetune
from mmgraph.seeding import generator
from mmgraph.tasks.base import Task, load_tasks
from mmgraph.tasks.node_classification import NodeClassificationTask

RESULTS = Path(__file__).with_suffix(".results.json")
SHARES = (0.01, 0.05, 0.2, 1.0)
TASKS = {
    "debian": ("section", "debtags", "links"),
    "openmoji": ("category", "links"),
    "movielens-100k": ("genres", "recommend"),
}
METRIC = {
    "node_classification": ("accuracy", "macro_auc"),
    "link_prediction": ("mrr",),
    "recommendation": ("ndcg@10",),
}


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        label: How tables print it.
        config: Settings; the seed is set for each run.
    """

    label: str
    config: dict[str, Any]


NODES = (
    Variant("pre-trained, frozen", {"init": "run", "mode": "frozen"}),
    Variant("pre-trained, adapters", {"init": "run", "mode": "adapter"}),
    Variant("pre-trained, full", {"init": "run", "mode": "full"}),
    Variant("from smoothed features, full", {"init": "untrained", "mode": "full"}),
    Variant("from random weights, full", {"init": "random", "mode": "full", "encoder_lr": 1.0}),
)
PAIRS = (
    Variant("pre-trained, frozen", {"init": "run", "mode": "frozen"}),
    Variant("pre-trained, full", {"init": "run", "mode": "full", "encoder_lr": 1.0}),
    Variant("pre-trained, full, cosine", {"init": "run", "mode": "full", "encoder_lr": 1.0, "decoder": "cosine"}),
    Variant("from smoothed features, full", {"init": "untrained", "mode": "full", "encoder_lr": 1.0}),
    Variant("from random weights, full", {"init": "random", "mode": "full", "encoder_lr": 1.0}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the built and encoded data sets")
    parser.add_argument("--models", type=Path, default=Path("runs"), help="pre-trained: <data set>/seed<n>/model")
    parser.add_argument("--out", type=Path, default=Path("runs/finetuning"), help="folder of the runs")
    parser.add_argument("--graphs", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--tasks", nargs="+", help="names of tasks, all by default")
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES), help="of the labels")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--print", action="store_true", help="print the tables only")
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text()) if arguments.results.exists() else {}
    if not arguments.print:
        for graph_name in arguments.graphs:
            run_graph(graph_name, arguments, results)
    for title, rows in results.items():
        print(f"\n### {title}\n\n{table_of(rows)}")


def run_graph(graph_name: str, arguments: argparse.Namespace, results: dict[str, Any]) -> None:
    folder = arguments.data / graph_name
    graph, tasks = load_graph(folder).to(arguments.device), load_tasks(folder)
    names = [name for name in TASKS[graph_name] if name in (arguments.tasks or TASKS[graph_name])]
    for seed in arguments.seeds:
        for name in names:
            is_nodes = isinstance(tasks[name], NodeClassificationTask)
            for share in arguments.shares if is_nodes else (1.0,):
                task = sample_labels(tasks[name], share, seed)
                for variant in NODES if is_nodes else PAIRS:
                    rows = results.setdefault(f"{graph_name}: {name}", {}).setdefault(variant.label, {})
                    column = f"{share:.0%} of the labels" if is_nodes else "all edges"
                    if str(seed) in rows.setdefault(column, {}):
                        continue
                    start = time.monotonic()
                    out = arguments.out / graph_name / name / column / variant.label / f"seed{seed}"
                    model = arguments.models / graph_name / f"seed{seed}"
                    config = FinetuneConfig(seed=seed, device=arguments.device, **variant.config)
                    found = finetune(model, graph, task, config, out=out).result
                    keys = METRIC[task.kind]
                    rows[column][str(seed)] = {
                        "test": {key: round(value, 5) for key, value in found["test"].items()},
                        "valid": {key: round(value, 5) for key, value in found["valid"].items()},
                        "best_step": found["best_step"],
                        "seconds": round(time.monotonic() - start, 1),
                    }
                    write_json(arguments.results, results)
                    shown = next(found["test"][key] for key in keys if key in found["test"])
                    print(f"{graph_name}: {name}, {column}, {variant.label}, seed {seed}: {shown:.4f}", flush=True)


def sample_labels(task: Task, share: float, seed: int) -> Task:
    """The task with a share of its train and valid labels."""
    if share >= 1 or not isinstance(task, NodeClassificationTask):
        return task
    split = np.array(task.labels["split"].to_pylist())
    kept = split == "test"
    for name in ("train", "valid"):
        rows = np.flatnonzero(split == name)
        order = torch.randperm(len(rows), generator=generator(seed, "share of the labels", task.name, name)).numpy()
        kept[rows[order[: max(1, round(share * len(rows)))]]] = True
    return NodeClassificationTask(task.name, task.labels.filter(pa.array(kept)), task.multi_label)


def table_of(rows: dict[str, Any]) -> str:
    """Means and standard deviations over seeds, in percent."""
    columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
    lines = [f"| | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
    for label, cells in rows.items():
        texts = []
        for column in columns:
            found = list(cells.get(column, {}).values())
            keys = [key for names in METRIC.values() for key in names]
            values = [100 * next(one["test"][key] for key in keys if key in one["test"]) for one in found]
            spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
            texts.append(f"{np.mean(values):.1f}{spread} ({len(values)})" if values else "")
        lines.append(f"| {label} | {' | '.join(texts)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
