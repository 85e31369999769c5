"""Our pre-training against controls, baselines and supervised networks, over seeds: one JSON per graph, model and seed.

Stop it at any point and call it again: finished measures are kept, unfinished trainings go on from their checkpoint.
Several processes may share one --out; what one works on, the others leave for later.

    python experiments/pretraining/study.py --data data --out runs/pretraining
    python experiments/pretraining/study.py --data data --out runs/pretraining --models ours --seeds 0 --device cuda
    python experiments/pretraining/study.py --data data --out runs/trial --graphs openmoji movielens-100k --steps 5
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from context import CONFIG, GRAPHS, Context, claimed
from model import Model
from models import GROUPS, MODELS, choose
from records import run_job

from mmgraph.config import load_yaml
from mmgraph.errors import InputError
from mmgraph.training.config import PretrainConfig

Job = tuple[str, str, int | None]
"""Name of the model, of the graph, and the seed."""


def jobs_of(models: dict[str, Model], graphs: list[str], seeds: list[int]) -> list[Job]:
    """What needs no seed comes first; then seed by seed, so that there is a whole table early."""
    plain: list[Job] = [(name, graph, None) for graph in graphs for name, model in models.items() if not model.seeded]
    seeded: list[Job] = [
        (name, graph, seed) for seed in seeds for name, model in models.items() if model.seeded for graph in graphs
    ]
    return plain + seeded


def run_jobs(context: Context, models: dict[str, Model], jobs: list[Job]) -> list[str]:
    """Run all jobs, those that another process has claimed last.

    Returns:
        What failed, one line each.
    """
    failed = []
    waiting = list(jobs)
    for wait in (False, True):
        claimed_elsewhere = []
        for job in waiting:
            name, graph_name, seed = job
            model = models[name]
            graph = context.load(graph_name)
            if not model.applies(context, graph):
                continue
            unit = f"{model.claim(context, graph) or f'{name}-{graph_name}'}-seed{seed}"
            with claimed(context.out / "locks" / unit, wait=wait) as mine:
                if not mine:
                    claimed_elsewhere.append(job)
                    continue
                start = time.perf_counter()
                title = f"{graph_name}: {name}" + ("" if seed is None else f", seed {seed}")
                try:
                    done = run_job(context, name, model, graph, seed)
                except InputError as error:
                    failed.append(f"{title}: {error}")
                    print(f"failed  {title}: {error}", file=sys.stderr, flush=True)
                    continue
                if done:
                    print(f"{time.perf_counter() - start:7.1f} s  {title}", flush=True)
        waiting = claimed_elsewhere
    return failed


def main() -> None:
    """Train and score what is asked for and not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the built and encoded datasets")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and records")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--models", nargs="+", default=["all"], help=f"of {', '.join([*GROUPS, *MODELS])}")
    parser.add_argument("--graphs", nargs="+", default=list(GRAPHS), help="graphs that joint models are trained on")
    parser.add_argument("--score", nargs="+", help="graphs to score, all of --graphs by default")
    parser.add_argument("--config", type=Path, default=CONFIG, help="settings of our model")
    parser.add_argument("--steps", type=int, help="a trial: so many steps of everything that is trained")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    try:
        models = choose(args.models)
        graphs = tuple(sorted(set(args.graphs), key=lambda name: (GRAPHS.index(name) if name in GRAPHS else 99, name)))
        score = [name for name in graphs if name in (args.score or graphs)]
        config = load_yaml(args.config, PretrainConfig)
        context = Context(args.data, args.out, graphs, args.steps, args.device, config)
        failed = run_jobs(context, models, jobs_of(models, score, args.seeds))
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on from here") from None
    if failed:
        raise SystemExit(f"{len(failed)} jobs failed:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
