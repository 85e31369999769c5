"""What each part of our model is worth: one part off at a time, each graph alone, scored on validation data.

The variants are in `ablation.yaml`. The full model shares its runs with `study.py`. Probes are chosen on the very valid
split that is scored here, which favours none of the variants; test is not looked at.

    python experiments/pretraining/ablation.py --data data --out runs/pretraining
    python experiments/pretraining/ablation.py --data data --out runs/pretraining --graphs debian --seeds 0
    python experiments/pretraining/ablation.py --out runs/pretraining --table
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arguments import add_arguments, make_context
from context import claimed
from measures import Measure
from model import Model
from records import run_job
from results import SHOWN, read_records, summary
from tables import markdown
from trained_models import pretrained

from mmgraph.config import config_digest, from_mapping, read_mapping
from mmgraph.errors import InputError, unknown_choice
from mmgraph.training.config import PretrainConfig

VARIANTS = Path(__file__).with_name("ablation.yaml")
FULL, FOLDER = "full", "ablation"


def overlaid(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, those of `above` first."""
    merged = dict(base)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = overlaid(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def variants(config: Path, overrides: Path = VARIANTS) -> dict[str, PretrainConfig]:
    """Configurations by name, the full one first; those that equal it are left out.

    Raises:
        InputError: If a variant has an unknown key or no valid value.
    """
    base, found = read_mapping(config), {}
    full = from_mapping(PretrainConfig, base, where=str(config))
    for name, values in {FULL: {}, **read_mapping(overrides)}.items():
        one = from_mapping(PretrainConfig, overlaid(base, values), where=f"{overrides}: {name}")
        if name == FULL or config_digest(one) != config_digest(full):
            found[name] = one
    return found


def as_model(name: str, config: PretrainConfig) -> Model:
    """A variant as a model of the study, trained on each graph alone."""
    return pretrained(name, "ours" if name == FULL else name, "single", config=config)


def print_graph(graph: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Variants x tasks: the full model in percent, the others as differences over common seeds."""
    values: dict[str, dict[str, dict[int, float]]] = {}  # variant -> column -> seed -> percent
    for record in records:
        for name, measured in record["measures"].items():
            if measured["metrics"]:
                metric = next((one for one in SHOWN if one in measured["metrics"]), "mrr")
                by_seed = values.setdefault(record["label"], {}).setdefault(f"{name} ({metric})", {})
                by_seed[record["seed"]] = 100 * measured["metrics"][metric]
    columns = list(dict.fromkeys(column for found in values.values() for column in found))
    lines = []
    order = {name: number for number, name in enumerate(read_mapping(VARIANTS))}
    for variant in sorted(values, key=lambda name: order.get(name, len(order))):
        cells = []
        for column in columns:
            mine, full = values[variant].get(column, {}), values.get(FULL, {}).get(column, {})
            if variant == FULL:
                numbers = list(mine.values())
            else:
                numbers = [mine[seed] - full[seed] for seed in mine if seed in full]
            if not numbers:
                cells.append("")
                continue
            found = summary(numbers)
            text = f"{found['mean']:.1f}" if variant == FULL else f"{found['mean']:+.1f}"
            cells.append(text + (f" ± {found['std']:.1f}" if len(numbers) > 1 else ""))
        lines.append([variant, *cells])
    seeds = sorted({record["seed"] for record in records})
    print(f"## {graph}: validation, seeds {', '.join(map(str, seeds))}\n\n{markdown(['', *columns], lines)}\n")


def main() -> None:
    """Run what is missing, print all that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, seeds=range(3), data_needed=False)
    parser.add_argument("--graphs", nargs="+", default=["openmoji", "movielens-100k"])
    parser.add_argument("--variants", nargs="+", help="only these, and the full model")
    parser.add_argument("--table", action="store_true", help="only print what is finished")
    args = parser.parse_args()
    if not args.table:
        if args.data is None:
            parser.error("--data is needed to run")
        try:
            run(args)
        except InputError as error:
            raise SystemExit(f"error: {error}") from None
        except KeyboardInterrupt:
            raise SystemExit("stopped; the same command goes on from here") from None
    for graph, records in read_records(args.out, trial=args.steps is not None, folder=FOLDER).items():
        print_graph(graph, records)


def run(args: argparse.Namespace) -> None:
    """Train and score the variants, seed by seed."""
    configs = variants(args.config)
    for name in args.variants or ():
        if name not in configs:
            raise unknown_choice("variant", name, configs)
    context = make_context(args)
    for seed in args.seeds:
        for name, config in configs.items():
            if args.variants and name not in (FULL, *args.variants):
                continue
            for graph in map(context.load, context.graphs):
                start, model = time.perf_counter(), as_model(name, config)
                # Few-shot episodes and probes on fewer labels say little more here.
                measures = [Measure(one, task) for one, task in graph.tasks.items() if task.num_examples("valid")]
                with claimed(args.out / "locks" / f"{model.claim(context, graph)}-seed{seed}", wait=True):
                    done = run_job(context, name, model, graph, seed, measures=measures, split="valid", folder=FOLDER)
                if done:
                    print(f"{time.perf_counter() - start:7.1f} s  {graph.graph.name}: {name}, seed {seed}", flush=True)


if __name__ == "__main__":
    main()
