r"""Do queries find emoji? A text or a picture against plain features, smoothed ones, and our model before and after tuning.

    mmgraph datasets build openmoji --out data/openmoji && mmgraph encode --graph data/openmoji
    for seed in 0 1 2; do
      mmgraph pretrain --config experiments/pretraining/mmgraph.yaml --graphs data/openmoji --seed $seed \
        --out runs/openmoji/seed$seed
    done
    python experiments/downstream/retrieval.py --graph data/openmoji --models runs/openmoji --out runs/retrieval

Fine-tuning learns from the train queries of `paraphrases`. What is tuned (hard negatives, their margin, the level that is
searched) is chosen by the MRR of its valid queries, mean over seeds; its test queries, and those of the tasks that have no
train queries, are read once. It can be stopped and called again. With `--print` it prints the tables only.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import load_graph
from mmgraph.encoders.base import ModalityEncoder
from mmgraph.files import read_json, write_json
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.finetune import finetune
from mmgraph.inference.embed import embed
from mmgraph.inference.levels import Blend, Level, level_name
from mmgraph.inference.query import QueryEncoder
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.build import Encoder
from mmgraph.nn.saving import load_encoder
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.controls import raw_features, raw_query, smoothed_features
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.training.evaluate import frozen_encoders

RESULTS = Path(__file__).with_suffix(".results.json")
TASKS = ("paraphrases", "name_queries", "image_queries")
TRAINED_ON = TASKS[0]
SHOWN = ("recall@1", "recall@10", "mrr", "ndcg@10")
RAW = "names alone"
MINING: tuple[dict[str, Any], ...] = (
    {"hard_negatives": 0},
    {"hard_negatives": 8},
    {"hard_negatives": 8, "hard_margin": 0.1},
)
MODES: dict[str, dict[str, Any]] = {"full": {"encoder_lr": 0.1}, "adapter": {"encoder_lr": 0.3, "rank": 8}}
SHARED: dict[str, Any] = {
    "batch_size": 64,
    "num_negatives": 256,
    "own_content": 2.0,
    "steps": 120,
    "eval_every": 20,
    "patience": 3,
}
LEVELS: tuple[Level, ...] = ("last", "blend", Blend(content=0.3, smoothed=0.0))
HYBRID = " + {} names"
HYBRIDS = (0.5, 1.0, 2.0)
"""Weights of the cosine of the raw names beside that of the embedding, as in hybrid search."""
BOOTSTRAPS = 10_000

Encode = Callable[[Sequence[str]], Tensor]
Queries = dict[str, dict[str, list[float]]]
"""By split, then by metric: one number per query."""


@dataclass(frozen=True)
class Searched:
    """Vectors of nodes, and how queries of a modality get there."""

    table: EmbeddingTable
    modalities: tuple[str, ...]
    encode: Callable[[str], Encode]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", type=Path, default=Path("data/openmoji"), help="folder of the built, encoded graph")
    parser.add_argument("--models", type=Path, default=Path("runs/openmoji"), help="runs of pretrain: seed<n>/model")
    parser.add_argument("--out", type=Path, default=Path("runs/retrieval"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--print", action="store_true", help="print the tables and stop")
    arguments = parser.parse_args()
    if not arguments.print:
        single = arguments.out / "queries.json"
        found: dict[str, Any] = read_json(single) if single.exists() else {}
        arguments.out.mkdir(parents=True, exist_ok=True)
        compute(arguments, found, single)
        write_json(arguments.results, summary_of(found))
    print(tables_of(read_json(arguments.results)))


def compute(arguments: argparse.Namespace, results: dict[str, Any], path: Path) -> None:
    """Fill the results: by model, by seed, by task, by split, by metric, one number per query."""
    graph = load_graph(arguments.graph)
    tasks = {name: task for name, task in load_tasks(arguments.graph).items() if name in TASKS}
    encoders = frozen_encoders(graph, ["text", "image"])
    untrained = controls(graph, encoders)
    names = untrained[RAW]
    untrained |= {
        f"smoothed features{HYBRID.format(weight)}": with_names(untrained["smoothed features"], names, weight)
        for weight in HYBRIDS
    }
    for label, searched in untrained.items():
        if label not in results:
            results[label] = {"-": evaluated(searched, graph, tasks)}
            write_json(path, results)
    for seed in arguments.seeds:
        encoder = load_encoder(arguments.models / f"seed{seed}" / "model").eval()
        variants: list[tuple[str, dict[str, Any] | None]] = [("pre-trained", None)]
        for mode, mining in itertools.product(MODES, MINING):
            variants.append((variant_name(mode, mining), {"mode": mode, **SHARED, **MODES[mode], **mining}))
        for name, changes in variants:
            labels = [f"{name}, {level_name(level)}" for level in LEVELS]
            labels += [f"{name}, last{HYBRID.format(weight)}" for weight in HYBRIDS]
            if all(str(seed) in results.get(label, {}) for label in labels):
                continue
            start = time.monotonic()
            tuned = encoder
            if changes is not None:
                config = FinetuneConfig(seed=seed, device="cpu", **changes)
                out = arguments.out / name.replace(" ", "-") / f"seed{seed}"
                tuned = finetune(encoder, graph, tasks[TRAINED_ON], config, out=out).encoder
            ways = [of_encoder(tuned, graph, encoders, level) for level in LEVELS]
            ways += [with_names(ways[0], names, weight) for weight in HYBRIDS]
            for label, searched in zip(labels, ways, strict=True):
                found = evaluated(searched, graph, tasks)
                results.setdefault(label, {})[str(seed)] = found
                value = np.mean(found[TRAINED_ON]["valid"]["mrr"])
                print(f"{label}, seed {seed}: valid MRR {value:.4f}, {time.monotonic() - start:.0f} s", flush=True)
            write_json(path, results)


def variant_name(mode: str, mining: dict[str, Any]) -> str:
    """How a table calls a way to fine-tune."""
    count, margin = mining["hard_negatives"], mining.get("hard_margin")
    return f"tuned {mode}" + (f" {count} hard" if count else "") + (f" margin {margin}" if margin is not None else "")


def controls(graph: MultimodalGraph, encoders: dict[str, ModalityEncoder]) -> dict[str, Searched]:
    """What needs no training."""
    names = replace(graph, features={"text": graph.features["text"]}, relations={})
    found = {
        RAW: (names, raw_features(names)),
        "raw features": (graph, raw_features(replace(graph, relations={}))),
        "smoothed names": (names, smoothed_features(replace(names, relations=graph.relations))),
        "smoothed features": (graph, smoothed_features(graph)),
    }

    def searched(of: MultimodalGraph, table: EmbeddingTable) -> Searched:
        return Searched(table, tuple(of.features), lambda modality: raw_query(of, encoders, modality=modality))

    return {label: searched(*pair) for label, pair in found.items()}


def of_encoder(
    encoder: Encoder, graph: MultimodalGraph, encoders: dict[str, ModalityEncoder], level: Level
) -> Searched:
    """A model at a level."""
    queries = QueryEncoder(encoder, graph, encoders, level=level)

    def encode(modality: str) -> Encode:
        return lambda items: queries.encode(**{modality: list(items)})  # type: ignore[arg-type]

    return Searched(embed(encoder, graph, level=level), tuple(graph.features), encode)


def with_names(one: Searched, names: Searched, weight: float) -> Searched:
    """Both cosines added up: unit vectors side by side. Pictures as queries are no names, so only texts can be asked."""

    def side_by_side(first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([normalize(first, dim=1), weight**0.5 * normalize(second, dim=1)], dim=1)

    def encode(modality: str) -> Encode:
        first, second = one.encode(modality), names.encode(modality)
        return lambda items: side_by_side(first(items), second(items))

    vectors = side_by_side(one.table.vectors, names.table.vectors)
    return Searched(replace(one.table, vectors=vectors), names.modalities, encode)


def evaluated(searched: Searched, graph: MultimodalGraph, tasks: dict[str, Any]) -> dict[str, Queries]:
    """Metrics of every valid and test query; tasks of a modality that the vectors lack are left out."""
    found: dict[str, Queries] = {}
    for name, task in tasks.items():
        assert isinstance(task, NodeRetrievalTask)
        if task.modality not in searched.modalities:
            continue
        for split in ("valid", "test"):
            rows = task.evaluate_queries(
                searched.table, graph, encode_query=searched.encode(task.modality), split=split
            )
            values = {metric: [round(x, 6) for x in rows[metric].to_pylist()] for metric in SHOWN}
            found.setdefault(name, {})[split] = values
    return found


def summary_of(results: dict[str, Any]) -> dict[str, Any]:
    """By model and task: means over queries for every seed, and the difference of the MRR from names alone."""
    summary: dict[str, Any] = {}
    for label, cells in results.items():
        for task in next(iter(cells.values())):
            found: dict[str, Any] = {
                split: {
                    metric: [round(float(mean), 5) for mean in per_query(cells, task, split, metric).mean(axis=1)]
                    for metric in SHOWN
                }
                for split in ("valid", "test")
            }
            if task in results[RAW]["-"]:
                found["against names alone"] = {
                    metric: [
                        round(x, 5)
                        for x in bootstrap(
                            per_query(cells, task, "test", metric), per_query(results[RAW], task, "test", metric)
                        )
                    ]
                    for metric in ("mrr", "recall@10")
                }
            summary.setdefault(label, {})[task] = found
    return summary


def chosen(summary: dict[str, Any], labels: Sequence[str]) -> str:
    """The label with the best MRR on the valid queries of the task that was learnt from, mean over seeds."""
    return max(labels, key=lambda label: np.mean(summary[label][TRAINED_ON]["valid"]["mrr"]))


def per_query(cells: dict[str, Any], task: str, split: str, metric: str) -> np.ndarray:
    """`[num_seeds, num_queries]`."""
    return np.array([seed[task][split][metric] for seed in cells.values()])


def bootstrap(ours: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Mean difference and its 95 % interval: queries are drawn again, each with all of its seeds.

    The intervals say how much depends on which queries were asked, for these seeds.
    """
    difference = ours.mean(axis=0) - other.mean(axis=0)
    drawn = np.random.default_rng(0).integers(len(difference), size=(BOOTSTRAPS, len(difference)))
    low, high = np.percentile(difference[drawn].mean(axis=1), [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)


def tables_of(summary: dict[str, Any]) -> str:
    """A table per task: mean and standard deviation over seeds in percent, and the differences from the names alone."""
    tuned = [label for label in summary if label.startswith("tuned")]
    best = chosen(summary, tuned) if tuned else None
    # Of hybrids, and of what is tuned, the best by valid of each kind.
    families = ["smoothed features", "pre-trained"]
    families += [f"tuned {mode}{hard}" for mode in MODES for hard in (",", " 8 hard")]
    rows = [
        label for label in summary if label not in tuned and (label == "smoothed names" or not label.endswith(" names"))
    ]
    for family in families:
        mine = [label for label in summary if label.startswith(family)]
        for is_hybrid in (False, True):
            kind = [label for label in mine if label.endswith(" names") is is_hybrid and label not in rows]
            rows += [chosen(summary, kind)] if kind else []
    lines = []
    head = f"| | valid mrr | {' | '.join(SHOWN)} | mrr against {RAW} | recall@10 against {RAW} |"
    for task in TASKS:
        lines += ["", f"{task}: valid MRR, then test", "", head, "| --- " * (len(SHOWN) + 4) + "|"]
        for label in rows:
            if task not in summary[label]:
                continue
            cells = summary[label][task]
            texts = [_spread(cells["valid"]["mrr"]), *(_spread(cells["test"][metric]) for metric in SHOWN)]
            for metric in ("mrr", "recall@10"):
                mean, low, high = (100 * x for x in cells.get("against names alone", {}).get(metric, (0.0,) * 3))
                known = label != RAW and "against names alone" in cells
                texts.append(f"{mean:+.1f} ({low:+.1f} to {high:+.1f})" if known else "")
            lines.append(f"| {f'**{label}**' if label == best else label} | {' | '.join(texts)} |")
    return "\n".join(lines)


def _spread(means: Sequence[float]) -> str:
    values = 100 * np.array(means)
    return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
