"""Five seeds of the demo's models against every control, on both graphs.

For each seed: our preset on both graphs at once and on each alone, UniGraph2's on both at once, a randomly initialised
network of either kind. The splits are those of dataset seed 0; raw and smoothed features, popularity and item-knn do
not depend on the seed, the supervised network does.

    python experiments/demo/study.py --data runs/demo/data --out runs/study           # train and evaluate, resumable
    python experiments/demo/study.py --data runs/demo/data --out runs/study --table   # write results.json, print tables
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch

from mmgraph.report.demo import demo_pretrain_config
from mmgraph.training.evaluate import CONTROLS, RANDOM_INIT, SUPERVISED, TRAINED, evaluate_run
from mmgraph.training.presets import unigraph2
from mmgraph.training.pretrain import pretrain

GRAPHS = ("openmoji", "movielens-100k")
MAIN_METRIC = {
    "node_classification": "macro_f1",
    "link_prediction": "mrr",
    "node_retrieval": "mrr",
    "recommendation": "ndcg@10",
}


def run_seed(data: Path, out: Path, seed: int, steps: int) -> None:
    """Train and evaluate all models of one seed; what is finished is kept."""
    ours = replace(demo_pretrain_config(), seed=seed, steps=steps, device="cpu")
    preset = unigraph2()
    published = replace(
        ours, encoder=replace(preset.encoder, dim=ours.encoder.dim), objectives=preset.objectives, mask=preset.mask
    )
    runs = {
        "mmgraph, joint": (ours, GRAPHS),
        "mmgraph, alone (openmoji)": (ours, ("openmoji",)),
        "mmgraph, alone (movielens-100k)": (ours, ("movielens-100k",)),
        "unigraph2, joint": (published, GRAPHS),
    }
    records = []
    for name, (config, graphs) in runs.items():
        folder = out / f"seed{seed}" / name.replace(" ", "-").replace(",", "").replace("(", "").replace(")", "")
        pretrain([data / graph for graph in graphs], config, out=folder)
        for graph in graphs:
            controls = (
                (*CONTROLS, SUPERVISED) if name == "mmgraph, joint" else (RANDOM_INIT,) if "unigraph2" in name else ()
            )
            for record in evaluate_run(folder, data / graph, seed=seed, controls=controls):
                label = {TRAINED: name.split(" (")[0], RANDOM_INIT: f"{name.split(',')[0]}, random init"}
                records.append(record.to_dict() | {"model": label.get(record.model, record.model), "seed": seed})
    (out / f"seed{seed}.json").write_text(json.dumps(records, indent=1))


def write_tables(out: Path, results: Path) -> None:
    """Aggregate all seeds that are finished, write the numbers and print one Markdown table per graph."""
    values: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for path in sorted(out.glob("seed*.json")):
        for record in json.loads(path.read_text()):
            key = (record["graph"], record["task"], MAIN_METRIC[record["kind"]], record["model"])
            metric = MAIN_METRIC[record["kind"]]
            if metric not in record["metrics"]:
                raise SystemExit(f"{path}: {record['task']} lacks {metric}, has {sorted(record['metrics'])}")
            values[key].append(record["metrics"][metric])
    rows = [
        {
            "graph": graph,
            "task": task,
            "metric": metric,
            "model": model,
            "mean": statistics.mean(found),
            "std": statistics.stdev(found) if len(found) > 1 else 0.0,
            "seeds": len(found),
        }
        for (graph, task, metric, model), found in values.items()
    ]
    results.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1) + "\n")
    for graph in GRAPHS:
        tasks = list(dict.fromkeys((r["task"], r["metric"]) for r in rows if r["graph"] == graph))
        models = list(dict.fromkeys(r["model"] for r in rows if r["graph"] == graph))
        print(f"\n**{graph}**\n\n| model | " + " | ".join(f"{t} ({m.replace('_', '-')})" for t, m in tasks) + " |")
        print("|---" * (len(tasks) + 1) + "|")
        best = {task: max(r["mean"] for r in rows if (r["graph"], r["task"]) == (graph, task)) for task, _ in tasks}
        for model in models:
            cells = []
            for task, _ in tasks:
                row = next((r for r in rows if (r["graph"], r["task"], r["model"]) == (graph, task, model)), None)
                text = "" if row is None else f"{100 * row['mean']:.1f}"
                if row is not None and row["std"] > 0:
                    text += f" ± {100 * row['std']:.1f}"
                cells.append(f"**{text}**" if row is not None and row["mean"] == best[task] else text)
            print(f"| {model} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the two encoded graphs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--table", action="store_true", help="only aggregate what is finished")
    args = parser.parse_args()
    if not args.table:
        for seed in args.seeds:
            run_seed(args.data, args.out, seed, args.steps)
    write_tables(args.out, Path(__file__).with_name("demo.results.json"))


if __name__ == "__main__":
    main()
