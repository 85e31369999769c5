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

from arguments import add_arguments, add_scopes, make_context, scored_graphs
from context import Context, claimed
from model import Model
from models import GROUPS, MODELS, choose
from records import run_job

from mmgraph.errors import InputError

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
    add_arguments(parser, seeds=range(5))
    add_scopes(parser)
    parser.add_argument("--models", nargs="+", default=["all"], help=f"of {', '.join([*GROUPS, *MODELS])}")
    args = parser.parse_args()
    try:
        models = choose(args.models)
        context = make_context(args)
        score = scored_graphs(args, context.graphs)
        failed = run_jobs(context, models, jobs_of(models, score, args.seeds))
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on from here") from None
    if failed:
        raise SystemExit(f"{len(failed)} jobs failed:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
