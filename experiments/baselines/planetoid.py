"""Do the baselines reach what was published for them? Cora and CiteSeer, public split, logistic regression on frozen vectors.

    mmgraph datasets build cora --local DIR --out data/cora && mmgraph datasets build citeseer --local DIR --out data/citeseer
    python experiments/baselines/planetoid.py data/cora data/citeseer --seeds 0 1 2 3 4 --out experiments/baselines/planetoid.results.json
    python experiments/baselines/planetoid.py experiments/baselines/planetoid.results.json      # the table again

A method and seed that the file of --out already holds is not trained again.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import time
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgraph.baselines.fit import BASELINES, BaselineConfig, baseline_features, fit_baseline
from mmgraph.baselines.node2vec import Node2VecConfig
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import graph_digest, load_graph
from mmgraph.files import read_json, write_json
from mmgraph.inference.table import EmbeddingTable
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.controls import raw_features, smoothed_features
from mmgraph.tasks.node_classification import NodeClassificationTask

PUBLISHED = {
    "dgi": {"cora": 82.3, "citeseer": 71.8},
    "grace": {"cora": 81.9, "citeseer": 71.2},
    "bgrl": {"cora": 82.7, "citeseer": 71.1},
    "graphmae": {"cora": 84.2, "citeseer": 73.4},
    "graphmae2": {"cora": 84.5, "citeseer": 73.4},
}
"""Accuracy in percent: DGI from its paper, the rest from the READMEs and papers of GraphMAE and GraphMAE2."""

SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("grace", "cora"): {"dim": 128, "learning_rate": 5e-4, "temperature": 0.4},
    ("grace", "citeseer"): {"temperature": 0.9, "drop_edges": (0.2, 0.0), "drop_features": (0.3, 0.2)},
    ("graphmae", "cora"): {"power": 3.0},
    ("graphmae", "citeseer"): {"power": 1.0, "replace": 0.1, "heads": 2, "weight_decay": 2e-5, "steps": 100},
    ("graphmae2", "cora"): {"power": 3.0, "remask": "fixed", "momentum": 0.0, "latent_weight": 0.15},
    ("graphmae2", "citeseer"): {"power": 1.0, "remask": "fixed", "momentum": 0.999, "latent_weight": 0.1, "steps": 100},
}
"""What differs from the defaults, by method and graph: what the authors published, but smaller and shorter."""

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Inverse regularisation of the logistic regression, chosen on the validation nodes."""


def settings(method: str, graph: str) -> BaselineConfig:
    config: BaselineConfig = replace(BASELINES[method].config(), **SETTINGS.get((method, graph), {}))
    return config


def probe(table: EmbeddingTable, task: NodeClassificationTask) -> float:
    """Test accuracy in percent; vectors are centred and divided by one number, columns keep their proportions."""
    from sklearn.linear_model import LogisticRegression

    parts = {}
    for split in ("train", "valid", "test"):
        ids, target = task.examples(split)
        parts[split] = table.vectors_of(ids), target.numpy()
    mean = parts["train"][0].mean(dim=0)
    scale = (parts["train"][0] - mean).norm(dim=1).mean()

    def ready(vectors: Tensor) -> Any:
        return ((vectors - mean) / scale).numpy()

    best, test = -1.0, 0.0
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=2000).fit(ready(parts["train"][0]), parts["train"][1])
        valid = model.score(ready(parts["valid"][0]), parts["valid"][1])
        if valid > best:
            best, test = valid, model.score(ready(parts["test"][0]), parts["test"][1])
    return 100 * test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="Built graphs, or a file that --out wrote.")
    parser.add_argument("--methods", nargs="+", default=list(BASELINES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--features", choices=("published", "ours", "components"), default="published")
    parser.add_argument("--set", action="append", default=[], help="A setting for all methods, as steps=300.")
    parser.add_argument("--out", type=Path, help="Add the records to this file.")
    args = parser.parse_args()
    if args.folders[0].is_file():
        print_table(read_json(args.folders[0])["records"])
        return
    records: list[dict[str, Any]] = read_json(args.out)["records"] if args.out and args.out.is_file() else []
    changes = {name: ast.literal_eval(value) for name, value in (item.split("=", 1) for item in args.set)}
    for folder in args.folders:
        graph = load_graph(folder)
        task = load_tasks(folder)["labels"]
        assert isinstance(task, NodeClassificationTask)
        runs: list[tuple[str, BaselineConfig | None, int]] = [("raw features", None, 0), ("smoothed features", None, 0)]
        for seed in args.seeds:
            for method in args.methods:
                chosen = replace(settings(method, graph.name), **changes)
                runs.append((method, chosen, seed))
                if BASELINES[method].model is not None:
                    runs.append((f"{method}, untrained", replace(chosen, steps=0), seed))
        for model, config, seed in runs:
            label = model if config is None or isinstance(config, Node2VecConfig) else f"{model} ({args.features})"
            if any((r["graph"], r["model"], r["seed"]) == (graph.name, label, seed) for r in records):
                continue
            start = time.monotonic()
            table = embed(model, graph, config, seed, args.features)
            record = {"graph": graph.name, "model": label, "seed": seed, "accuracy": probe(table, task)}
            record |= {"seconds": round(time.monotonic() - start, 1), "digest": graph_digest(graph)}
            record |= {"config": asdict(config) if config else None}
            print(f"{graph.name} {model} seed {seed}: {record['accuracy']:.1f} in {record['seconds']} s", flush=True)
            records.append(record)
            if args.out:
                write_json(args.out, {"torch": torch.__version__, "device": str(graph.device), "records": records})
    print_table(records)


def word_shares(graph: MultimodalGraph) -> Tensor:
    """Words of each paper, rows summing to 1, as published: sparse `[num_nodes, num_words]`."""
    (features,) = graph.features.values()
    words = features.values.float().masked_fill(~features.present.unsqueeze(1), 0.0)
    return (words / words.sum(dim=1, keepdim=True).clamp(min=1.0)).to_sparse()


def components(graph: MultimodalGraph, dim: int = 256) -> Tensor:
    """First principal components of our features, entries near 1: dense `[num_nodes, dim]`, for slow machines."""
    left, scale, _ = torch.linalg.svd(baseline_features(graph), full_matrices=False)
    x: Tensor = (left * scale)[:, :dim]
    return x.div(x.square().mean().sqrt())


def embed(
    model: str, graph: MultimodalGraph, config: BaselineConfig | None, seed: int, features: str
) -> EmbeddingTable:
    if config is None:
        return raw_features(graph) if model == "raw features" else smoothed_features(graph)
    name = model.partition(",")[0]
    x = None
    if BASELINES[name].model is not None and features != "ours":
        x = word_shares(graph) if features == "published" else components(graph)
    return fit_baseline(name, graph, seed=seed, config=config, x=x)


def published(model: str) -> dict[str, float]:
    return {} if "untrained" in model else PUBLISHED.get(model.partition(" ")[0], {})


def print_table(records: list[dict[str, Any]]) -> None:
    """One row per model: mean and standard deviation over the seeds, and the published mean."""
    values = defaultdict(list)
    for record in records:
        values[record["model"], record["graph"]].append(record["accuracy"])
    graphs = sorted({graph for _, graph in values}, reverse=True)
    print("| | " + " | ".join(f"{graph} | published" for graph in graphs) + " |\n|" + "---|" * (2 * len(graphs) + 1))
    for model in dict.fromkeys(model for model, _ in values):
        cells = []
        for graph in graphs:
            numbers = values.get((model, graph), [])
            mean = f"{statistics.mean(numbers):.1f}" if numbers else ""
            spread = f" ± {statistics.stdev(numbers):.1f} ({len(numbers)})" if len(numbers) > 1 else ""
            cells += [mean + spread, str(published(model).get(graph, ""))]
        print(f"| {model} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
