"""What missing texts, missing images and missing edges cost at test time.

Sweep: a share of the nodes loses its text or its image, and everything is embedded and scored again; means stay those of
the whole graph, and larger shares hide more of the same nodes. Cold nodes: the query end of every held-out link loses
all its edges, candidates keep theirs. Models are those of `study.py`; their runs in --out are used, or trained first.

    python experiments/pretraining/robustness.py --data data --out runs/pretraining --seeds 0 1 2 3 4
    python experiments/pretraining/robustness.py --out runs/pretraining --table     # print, draw curves
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from arguments import add_arguments, add_scopes, make_context, scored_graphs
from cold import cold_metrics, cold_pairs
from context import Context, LoadedGraph, claimed
from measures import Measure, score
from model import Model
from models import choose
from plots import Curve, sweep_curves
from records import job_record, record_path
from results import SHOWN, read_records, summary
from tables import markdown

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.files import read_json, write_json
from mmgraph.tasks.dropping import drop_modality, isolate
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.recommendation import RecommendationTask

SHARES = (0.25, 0.5, 0.75, 1.0)
WHOLE = "nothing 0"
DEFAULT = ("raw", "smoothed", "single", "joint")
FOLDER = "robustness"
PARTS = ("cold", "sweep")


def run_model(
    context: Context,
    name: str,
    model: Model,
    graph: LoadedGraph,
    seed: int,
    parts: Collection[str] = PARTS,
    shares: Sequence[float] = SHARES,
    modalities: Collection[str] | None = None,
) -> None:
    """Sweep and cold nodes of one model and seed; written after each share, finished shares are kept."""
    path = record_path(context.out, graph.graph.name, name, seed, folder=FOLDER)
    record = job_record(context, name, model, graph, seed)
    digests = {task: one.digest for task, one in graph.tasks.items()}
    record |= {"tasks": digests, "sweep": {}, "cold": None}
    before = read_json(path) if path.exists() else {}
    if (before.get("settings"), before.get("tasks")) == (record["settings"], digests):
        record = before
    if "sweep" in parts:
        hidden = hidden_content(graph, seed, shares, modalities)
        sweep(context, model, graph, seed, hidden, record["sweep"], lambda: write_json(path, record))
    if "cold" in parts and record["cold"] is None:
        record["cold"] = cold(context, model, graph, seed)
        write_json(path, record)


def hidden_content(
    graph: LoadedGraph, seed: int, shares: Sequence[float], modalities: Collection[str] | None
) -> Iterator[tuple[str, MultimodalGraph]]:
    """The whole graph, and graphs that lack a share of one modality, by name: `image 0.25`; made when they are asked for."""
    yield WHOLE, graph.graph
    for modality in graph.graph.features:
        if modalities is None or modality in modalities:
            for share in shares:
                yield f"{modality} {share:g}", drop_modality(graph.graph, modality, share, seed)


def sweep(
    context: Context,
    model: Model,
    graph: LoadedGraph,
    seed: int,
    hidden: Iterable[tuple[str, MultimodalGraph]],
    found: dict[str, Any],
    save: Callable[[], None],
) -> None:
    """Fill in the metrics of all tasks by what is hidden; `save` is called after each."""
    measures = [Measure(name, task) for name, task in graph.tasks.items()]
    for key, poorer in hidden:
        if key in found:
            continue
        changed = graph.with_graph(poorer)
        subject, _ = model.prepare(context, changed, seed)
        scored = {one.name: score(subject, one, poorer) for one in measures}
        found[key] = {name: metrics[0] for name, metrics in scored.items() if metrics is not None}
        save()


def cold(context: Context, model: Model, graph: LoadedGraph, seed: int) -> dict[str, Any]:
    """For each task of links or likes: metrics of warm and of cold queries over the same pairs."""
    found: dict[str, Any] = {}
    for name, task in graph.tasks.items():
        if not isinstance(task, LinkPredictionTask | RecommendationTask):
            continue
        pairs = cold_pairs(task, graph.graph)
        if pairs.size(1) == 0:
            continue
        warm = model.prepare(context, graph, seed)[0].entry(task)
        alone = model.prepare(context, graph.with_graph(isolate(graph.graph, pairs[0])), seed)[0].entry(task)
        assert warm is not None
        assert alone is not None
        found[name] = {
            "warm": cold_metrics(task, graph.graph, warm.table, warm.table, pairs),
            "cold": cold_metrics(task, graph.graph, alone.table, warm.table, pairs),
            "num_pairs": pairs.size(1),
        }
    return found


def print_graph(out: Path, graph: str, records: list[dict[str, Any]]) -> None:
    """What each share costs, what the loss of all edges costs, and the curves as a picture."""
    labels = list(dict.fromkeys(record["label"] for record in records))
    modalities = list(dict.fromkeys(key.split()[0] for record in records for key in record["sweep"] if key != WHOLE))
    print(f"## {graph}\n")
    for modality in modalities:
        panels: dict[str, dict[str, Curve]] = {}
        lines = []
        for task, metric in _tasks(record["sweep"].get(WHOLE, {}) for record in records):
            for label in labels:
                curve: list[tuple[float, dict[str, float]]] = []
                cells = []
                for share in (0.0, *SHARES):
                    key = WHOLE if share == 0 else f"{modality} {share:g}"
                    mine = [
                        r["sweep"][key][task]
                        for r in records
                        if r["label"] == label and task in r["sweep"].get(key, {})
                    ]
                    if mine:
                        curve.append((100 * share, summary(100 * metrics[metric] for metrics in mine)))
                        whole, mean = curve[0][1]["mean"], curve[-1][1]["mean"]
                        cells.append(f"{mean:.1f}" + (f" ({mean - whole:+.1f})" if share else ""))
                    else:
                        cells.append("")
                if not curve:
                    continue
                lines.append([f"{task} ({metric})", label, *cells])
                panels.setdefault(f"{task} ({metric})", {})[label] = (
                    [x for x, _ in curve],
                    [one["mean"] for _, one in curve],
                    [one["std"] for _, one in curve],
                )
        if not panels:
            continue
        print(f"### {graph}: {modality} hidden at test time\n")
        print(markdown(["", "", *(f"{100 * share:g}%" for share in (0.0, *SHARES))], lines) + "\n")
        picture = out / "plots" / f"{graph}-{modality}-hidden.png"
        sweep_curves(picture, f"{graph}: {modality} hidden", panels, "percent of nodes hidden")
    lines = []
    for task, _ in _tasks(one["cold"] or {} for one in records):
        for label in labels:
            mine = [r["cold"][task] for r in records if r["label"] == label and task in (r["cold"] or {})]
            if mine:
                warm, alone = (summary(100 * one[kind]["mrr"] for one in mine) for kind in ("warm", "cold"))
                cells = [f"{one['mean']:.1f}" + (f" ± {one['std']:.1f}" if one["std"] else "") for one in (warm, alone)]
                lines.append([f"{task} (mrr)", label, *cells, f"{alone['mean'] - warm['mean']:+.1f}"])
    if lines:
        print(f"### {graph}: queries without edges\n\n{markdown(['', '', 'warm', 'cold', 'cost'], lines)}\n")


def _tasks(scored: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """Tasks, each with the metric to show."""
    found = {task: metrics for one in scored for task, metrics in one.items()}
    return [(task, next((name for name in SHOWN if name in metrics), "mrr")) for task, metrics in found.items()]


def main() -> None:
    """Run what is missing, or print what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, seeds=range(5), data_needed=False)
    add_scopes(parser)
    parser.add_argument("--models", nargs="+", default=list(DEFAULT), help="controls that read features, or ours")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), help="the sweep takes most of the time"
    )
    parser.add_argument(
        "--shares", nargs="+", type=float, choices=SHARES, default=list(SHARES), help="of nodes that lose it"
    )
    parser.add_argument("--modalities", nargs="+", help="what is hidden; all modalities of a graph by default")
    parser.add_argument("--table", action="store_true", help="only print and draw what is finished")
    args = parser.parse_args()
    if not args.table:
        if args.data is None:
            parser.error("--data is needed to run")
        try:
            models = choose(args.models)
            context = make_context(args)
            for seed in args.seeds:
                for name, model in models.items():
                    for graph in map(context.load, scored_graphs(args, context.graphs)):
                        unit = f"{model.claim(context, graph) or f'{name}-{graph.graph.name}'}-seed{seed}"
                        with claimed(args.out / "locks" / unit, wait=True):
                            run_model(context, name, model, graph, seed, args.parts, args.shares, args.modalities)
                        print(f"{graph.graph.name}: {name}, seed {seed}", flush=True)
        except InputError as error:
            raise SystemExit(f"error: {error}") from None
        except KeyboardInterrupt:
            raise SystemExit("stopped; the same command goes on from here") from None
    for graph_name, records in read_records(args.out, trial=args.steps is not None, folder=FOLDER).items():
        print_graph(args.out, graph_name, records)


if __name__ == "__main__":
    main()
