"""A small demo folder with made-up numbers and drawn pictures, in the files that a real demo writes."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXPERTS = 8


@pytest.fixture(scope="session")
def make_demo_folder() -> Callable[..., Path]:
    return build_demo_folder


@pytest.fixture
def demo_folder(tmp_path: Path) -> Path:
    return build_demo_folder(tmp_path / "demo")


def build_demo_folder(folder: Path, pictures: list[Path] | None = None) -> Path:
    rng = random.Random(0)
    images = [str(path) for path in pictures] if pictures else _draw(folder, 40)
    names = [f"emoji number {i}" for i in range(len(images))]
    for name, value in {
        "summary": _summary(),
        "graphs": [_graph("openmoji", "emoji", images), _graph("movielens-100k", "movie", images)],
        "evaluation": _evaluation(rng),
        "experts": [
            _experts(rng, g, p) for g in ("openmoji", "movielens-100k") for p in ("text + image", "text", "nothing")
        ],
        "map": {
            "graph": "openmoji",
            "ids": [f"1F{i:03X}" for i in range(len(images))],
            "names": names,
            "images": images,
            "x": [rng.random() for _ in images],
            "y": [rng.random() for _ in images],
        },
        "neighbours": _neighbours(rng, names, images),
        "recommendations": {"graph": "movielens-100k", "task": "recommend", "users": [_user(rng, n) for n in range(3)]},
    }.items():
        path = folder / "results" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")
    for run in ("joint", "openmoji", "movielens-100k"):
        _write_metrics(rng, folder / "runs" / run, run)
    return folder


def _draw(folder: Path, count: int) -> list[str]:
    from PIL import Image, ImageDraw

    paths = []
    for i in range(count):
        image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
        ImageDraw.Draw(image).ellipse(
            (8, 8, 56, 56), fill=(40 + 5 * i, 220 - 5 * i, (37 * i) % 255), outline="black", width=3
        )
        path = folder / "pictures" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        paths.append(f"pictures/{i}.png")
    return paths


def _summary() -> dict[str, Any]:
    steps = ["build openmoji", "build movielens-100k", "encode openmoji", "pre-train joint", "evaluate", "map"]
    return {
        "seed": 0,
        "steps": 300,
        "command": "mmgraph demo --out runs/demo",
        "versions": {"mmgraph": "0.1.0", "torch": "2.14.1", "python": "3.11.2"},
        "machine": {"system": "Linux x86_64", "cores": 2, "device": "cpu", "peak_memory": "1.9 GB"},
        "timings": [{"step": step, "first": 13.7 * (i + 1), "seconds": 1.2 * i} for i, step in enumerate(steps)],
        "runs": {run: f"runs/{run}" for run in ("joint", "openmoji", "movielens-100k")},
    }


def _graph(name: str, node_type: str, images: list[str]) -> dict[str, Any]:
    number = len(images)
    return {
        "summary": {
            "name": name,
            "num_nodes": number,
            "num_edges": 4711,
            "node_types": {node_type: number, "user": 943},
            "relations": {"component_of": {"source": node_type, "target": node_type, "num_edges": 4711}},
            "modalities": {
                "text": {"encoder": "minilm", "dim": 384, "present": number - 3},
                "image": {"encoder": "efficientnet-lite0", "dim": 1280, "present": number},
            },
        },
        "presence": {"text + image": number - 3, "image": 3},
        "description": "Where it comes from, and <under what> licence.",
        "tasks": [{"name": "category", "kind": "node_classification", "num_examples": 789}],
        "encoding": {
            "text": {
                "encoder": "minilm",
                "items": number,
                "encoded": number,
                "from_cache": 0,
                "duplicates": 0,
                "truncated": 2,
                "quarantined": [],
            },
            "image": {
                "encoder": "efficientnet-lite0",
                "items": number,
                "encoded": number - 1,
                "from_cache": 12,
                "duplicates": 3,
                "truncated": 0,
                "quarantined": [["1F600", "broken PNG"]],
            },
        },
    }


def _evaluation(rng: random.Random) -> list[dict[str, Any]]:
    tasks = [
        ("openmoji", "category", "node_classification", ["accuracy", "macro_f1"]),
        ("openmoji", "links", "link_prediction", ["mrr", "hits@1", "hits@10", "tie_rate"]),
        ("openmoji", "name_queries", "node_retrieval", ["recall@1", "recall@10", "mrr", "median_rank"]),
        ("movielens-100k", "recommend", "recommendation", ["recall@10", "recall@20", "ndcg@10", "hit@10", "coverage"]),
        ("movielens-100k", "genres", "node_classification", ["macro_auc", "macro_f1"]),
    ]
    records = []
    for graph, task, kind, metrics in tasks:
        models = ["joint", "alone", "random init", "raw features", "smoothed features"]
        models += ["popularity", "item-knn"] if kind == "recommendation" else []
        for model in models:
            values = {name: 12 * rng.random() if name == "median_rank" else rng.random() for name in metrics}
            records.append(
                {
                    "graph": graph,
                    "task": task,
                    "kind": kind,
                    "model": model,
                    "metrics": values,
                    "seed": 0,
                    "num_examples": 789,
                    "protocol": "all nodes are candidates, mean rank on ties",
                }
            )
    return records


def _experts(rng: random.Random, graph: str, pattern: str) -> dict[str, Any]:
    raw = [rng.random() ** 2 for _ in range(EXPERTS)]
    return {"graph": graph, "pattern": pattern, "num_nodes": 1234, "load": [x / sum(raw) for x in raw]}


def _neighbours(rng: random.Random, names: list[str], images: list[str]) -> dict[str, Any]:
    def some(hit: bool) -> list[dict[str, Any]]:
        chosen = rng.sample(range(len(names)), 8)
        rows = [{"id": str(i), "name": names[i], "image": images[i], "score": 0.5} for i in chosen]
        return [{**row, "hit": hit and n == 2} for n, row in enumerate(rows)]

    models = ("joint", "raw features")
    nodes = [
        {"id": str(i), "name": names[i], "image": images[i], "lists": {model: some(False) for model in models}}
        for i in range(6)
    ]
    queries = [{"name": text, "lists": {m: some(True) for m in models}} for text in ("laughing out loud", "bike <b>")]
    return {"nodes": nodes, "queries": queries}


def _user(rng: random.Random, number: int) -> dict[str, Any]:
    titles = [f"Film number {i} (199{i % 10})" for i in range(40)]
    top = [{"title": title, "hit": rng.random() < 0.3} for title in rng.sample(titles, 10)]
    return {
        "id": f"user:{number}",
        "history": titles[:8],
        "num_history": 57,
        "top": top,
        "hits": sum(row["hit"] for row in top),
        "num_test": 9,
    }


def _write_metrics(rng: random.Random, run: Path, name: str) -> None:
    run.mkdir(parents=True)
    graphs = ("openmoji", "movielens-100k") if name == "joint" else (name,)
    lines = []
    for step in range(0, 300, 5):
        line: dict[str, Any] = {"step": step, "loss": 1.0, "lr": 1e-3, "grad_norm": 1.0, "seconds": 0.1}
        for graph in graphs:
            for objective, level in (("masked_features", 0.9), ("shortest_path", 0.2)):
                line[f"domain/{graph}/{objective}"] = level * math.exp(-step / 90) + 0.2 * level + 0.05 * rng.random()
            line[f"domain/{graph}/expert_load"] = [1 / EXPERTS] * EXPERTS
        lines.append(json.dumps(line))
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
