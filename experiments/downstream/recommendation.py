r"""Recommendation as its users would do it: every recommender on three splits of MovieLens-100k, side by side.

    for name in movielens-100k movielens-100k-by-time movielens-100k-cold-items; do
      mmgraph datasets build $name --out data/$name && mmgraph encode --graph data/$name
      mmgraph pretrain --config experiments/pretraining/mmgraph.yaml --graphs data/$name/encoded \
        --out runs/$name/seed0 --seed 0
    done
    python experiments/downstream/recommendation.py --data data --models runs

It can be stopped and called again: what is in the results already is kept, unless --again is given. A pre-trained model
belongs to the split that it was trained on, because test pairs of one split are edges of another: `--models` has one
folder for each data set and seed, and a folder without a model leaves its rows out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import load_graph
from mmgraph.files import write_json
from mmgraph.inference.embed import embed
from mmgraph.inference.table import EmbeddingTable
from mmgraph.nn.saving import load_encoder
from mmgraph.recommenders.fit import RECOMMENDERS, WithNewUsers, fit_recommender
from mmgraph.recommenders.hybrid import GatedConfig, simple_parts
from mmgraph.recommenders.interactions import Interactions
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.controls import raw_features
from mmgraph.tasks.recommendation import RecommendationTask, ScoreFunction, cosine_scores

DATASETS = ("movielens-100k", "movielens-100k-by-time", "movielens-100k-cold-items")
RESULTS = Path(__file__).with_suffix(".results.json")
SHOWN = (
    "recall@10",
    "recall@20",
    "ndcg@10",
    "coverage",
    "recall@20/warm",
    "recall@20/cold",
    "recall@20/among new",
    "ndcg@10/among new",
)
SEEDLESS = ("popularity", "item-knn", "ease", "ease, recent", "raw features")
OURS = ("gated", "gated, pre-trained")


@dataclass(frozen=True, eq=False)
class Setting:
    """A data set and where its pre-trained models are."""

    name: str
    graph: MultimodalGraph
    task: RecommendationTask
    models: Path

    def table(self, seed: int) -> EmbeddingTable | None:
        """Vectors of the model that was trained on this very graph, if there is one."""
        folder = self.models / self.name / f"seed{seed}" / "model"
        return embed(load_encoder(folder), self.graph) if folder.is_dir() else None


def named(name: str) -> Callable[[Setting, int], ScoreFunction | None]:
    return lambda setting, seed: fit_recommender(name, setting.graph, setting.task, seed=seed)


def recent_ease(setting: Setting, seed: int) -> ScoreFunction:
    """EASE, read with weights that fall with time: how much of our lead is time alone."""
    del seed
    data = Interactions.of(setting.graph, setting.task)
    return WithNewUsers(simple_parts(data, GatedConfig())["recent item-item"], data)


def plain_gated(setting: Setting, seed: int) -> ScoreFunction:
    """Our network alone: nothing is added to it."""
    config = GatedConfig(blend=False)
    return fit_recommender("gated", setting.graph, setting.task, seed=seed, config=config)


def timeless_gated(setting: Setting, seed: int) -> ScoreFunction:
    """Ours, without looking at times."""
    graph, relation = setting.graph, setting.graph.relations[setting.task.relation]
    rest = {name: values for name, values in relation.attributes.items() if name != "time"}
    graph = replace(graph, relations={**graph.relations, setting.task.relation: replace(relation, attributes=rest)})
    return fit_recommender("gated", graph, setting.task, seed=seed)


def pretrained_gated(setting: Setting, seed: int) -> ScoreFunction | None:
    table = setting.table(seed)
    if table is None:
        return None
    return fit_recommender("gated", setting.graph, setting.task, seed=seed, table=table)


MODELS: dict[str, Callable[[Setting, int], ScoreFunction | None]] = {
    **{name: named(name) for name in RECOMMENDERS if name != "gated"},
    "ease, recent": recent_ease,
    "gated": named("gated"),
    "gated, pre-trained": pretrained_gated,
    "gated, network alone": plain_gated,
    "gated, without times": timeless_gated,
}
TABLES: dict[str, Callable[[Setting, int], EmbeddingTable | None]] = {
    "raw features": lambda setting, _: raw_features(setting.graph),
    "pre-trained, cosine": lambda setting, seed: setting.table(seed),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the built and encoded data sets")
    parser.add_argument(
        "--models", type=Path, default=Path("runs"), help="pre-trained models: <data set>/seed<n>/model"
    )
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--names", nargs="+", default=[*TABLES, *MODELS], choices=[*TABLES, *MODELS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true", help="compute again what the results hold already")
    parser.add_argument("--print", action="store_true", help="print the tables only")
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text()) if arguments.results.exists() else {}
    for name in [] if arguments.print else arguments.datasets:
        folder = arguments.data / name
        task = load_tasks(folder)["recommend"]
        assert isinstance(task, RecommendationTask)
        setting = Setting(name, load_graph(folder / "encoded"), task, arguments.models)
        for seed in arguments.seeds:
            for model in arguments.names:
                rows = results.setdefault(name, {}).setdefault(model, {})
                key = "none" if model in SEEDLESS else str(seed)
                if key in rows and not arguments.again:
                    continue
                found = measure(setting, model, seed)
                if found is not None:
                    rows[key] = found
                    write_json(arguments.results, results)
                    print(f"{name}  {model}  seed {key}  ndcg@10 {found['test']['ndcg@10']:.4f}", flush=True)
    for name in results:
        print(f"\n### {name}\n\n{table_of(results[name])}")


def measure(setting: Setting, model: str, seed: int) -> dict[str, Any] | None:
    """Fit a model and score it on valid and test; with nDCG@10 of each test user, in ascending order of id."""
    start = time.monotonic()
    if model in TABLES:
        table = TABLES[model](setting, seed)
        if table is None:
            return None
        valid = setting.task.evaluate(table, setting.graph, split="valid")
        score = cosine_scores(table, setting.graph)
    else:
        made = MODELS[model](setting, seed)
        if made is None:
            return None
        score = made
        valid = setting.task.evaluate_scores(score, setting.graph, split="valid")
    seconds = time.monotonic() - start
    test = setting.task.evaluate_scores(score, setting.graph)
    if setting.name.endswith("cold-items"):
        among = setting.task.evaluate_scores(among_new(score, setting), setting.graph)
        test |= {f"{name}/among new": among[name] for name in ("recall@20", "ndcg@10")}
    chosen = getattr(score, "weights", None)
    return {
        "seconds": round(seconds, 1),
        "valid": _rounded(valid),
        "test": _rounded(test),
        "per_user": " ".join(
            f"{value:.3f}" for value in setting.task.per_user(score, setting.graph)["ndcg@10"].tolist()
        ),
        **({"blend": chosen} if isinstance(chosen, dict) else {}),
    }


def among_new(score: ScoreFunction, setting: Setting) -> ScoreFunction:
    """The same scores for items without an interaction alone: the others are not listed."""
    data = Interactions.of(setting.graph, setting.task)

    def only_new(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        known = data.item_degree[data.number_items(items)] > 0
        return score(users, items).masked_fill(known, -torch.inf)

    return only_new


def table_of(rows: dict[str, dict[str, Any]]) -> str:
    """Table of means over seeds, in percent, with a paired test per user against the best baseline on valid."""
    baselines = [name for name in rows if name in RECOMMENDERS and name not in OURS]
    best = max(baselines, key=lambda name: _mean(rows[name], "valid", "ndcg@10"), default=None)
    shown = [name for name in SHOWN if any(name in one["test"] for runs in rows.values() for one in runs.values())]
    lines = [f"| model | valid ndcg@10 | {' | '.join(shown)} | ndcg@10 against {best} | seconds |"]
    lines.append("| --- " * (len(shown) + 4) + "|")
    for name in [*TABLES, *MODELS]:
        runs = rows.get(name)
        if not runs:
            continue
        cells = [_cell(runs, "valid", "ndcg@10"), *(_cell(runs, "test", metric) for metric in shown)]
        against = "" if best is None or name == best else _paired(runs, rows[best])
        seconds = np.mean([run["seconds"] for run in runs.values()])
        lines.append(f"| {name} | {' | '.join(cells)} | {against} | {seconds:.0f} |")
    return "\n".join(lines)


def _paired(ours: dict[str, Any], other: dict[str, Any]) -> str:
    """Mean difference of nDCG@10 over users in points and p of the paired t-test; a user's value is the mean over seeds."""
    mine, theirs = (
        np.mean([[float(value) for value in run["per_user"].split()] for run in runs.values()], axis=0)
        for runs in (ours, other)
    )
    if (mine == theirs).all():
        return "0.0"
    p = float(stats.ttest_rel(mine, theirs).pvalue)
    return f"{100 * float(np.mean(mine - theirs)):+.1f} (p {p:.3f})"


def _cell(runs: dict[str, Any], split: str, metric: str) -> str:
    values = [100 * run[split][metric] for run in runs.values() if metric in run[split]]
    if not values:
        return ""
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f} ({len(values)})" if len(values) > 1 else "")


def _mean(runs: dict[str, Any], split: str, metric: str) -> float:
    return float(np.mean([run[split][metric] for run in runs.values()])) if runs else -1.0


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in metrics.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
