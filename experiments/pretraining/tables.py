"""Merge the records of a study into the committed results, and print them as Markdown.

    python experiments/pretraining/tables.py --out runs/pretraining      # merge, print
    python experiments/pretraining/tables.py                            # print what is committed
    python experiments/pretraining/tables.py --out runs/trial --trial   # of a trial; merged into runs/trial/results

What is committed from other machines or sessions stays, unless there is a newer value for the same model, measure and
seed. Means are over the seeds that share the newest settings; numbers of another graph or task are not shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from models import MODELS
from results import Row, comparable, current, load_rows, merge, read_records, save_rows, shown_metric, values_of
from significance import LEVEL, Comparison, compare

RESULTS = Path(__file__).with_name("results")
FULL_SEEDS = 5
EXTRA = {"links, 100 negatives": "mrr@sampled(100,0)", "links, 1,000 negatives": "mrr@sampled(1000,0)"}
"""Further columns of link prediction: what they are called, and their metric."""


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(row: Row, metric: str, best: float) -> str:
    """Percent, standard deviation, number of seeds if there are few; bold if best."""
    if metric not in row["summary"]:
        return ""
    mean, std, n = (row["summary"][metric][key] for key in ("mean", "std", "n"))
    text = f"{100 * mean:.1f}"
    if MODELS[row["model"]].seeded if row["model"] in MODELS else n > 1:
        text += f" ± {100 * std:.1f}" if n > 1 else ""
        text += f" ({n})" if n < FULL_SEEDS else ""
    return f"**{text}**" if mean == best else text


def scores(rows: Sequence[Row], is_shown: Callable[[Row], bool]) -> str:
    """Models x measures."""
    columns: dict[str, tuple[str, str]] = {}  # title -> measure, metric
    for row in rows:
        if is_shown(row):
            metric = shown_metric(row)
            columns.setdefault(f"{row['measure']} ({metric})", (row["measure"], metric))
    return _table(rows, columns)


def sampled(rows: Sequence[Row]) -> str:
    """Models x sampled link metrics."""
    columns = {
        f"{row['measure']}, {title.split(', ', 1)[1]} (mrr)": (row["measure"], metric)
        for row in rows
        for title, metric in EXTRA.items()
        if metric in row["summary"]
    }
    return _table(rows, columns)


def _table(rows: Sequence[Row], columns: dict[str, tuple[str, str]]) -> str:
    if not columns:
        return ""
    by_key = {(row["model"], row["measure"]): row for row in rows}
    best = {
        title: max(
            row["summary"][metric]["mean"] for row in rows if row["measure"] == measure and metric in row["summary"]
        )
        for title, (measure, metric) in columns.items()
    }
    lines = []
    for model, label in dict.fromkeys((row["model"], row["label"]) for row in rows):
        found = [(by_key.get((model, measure)), metric, best[title]) for title, (measure, metric) in columns.items()]
        cells = ["" if row is None else cell(row, metric, top) for row, metric, top in found]
        if any(cells):
            lines.append([label, *cells])
    return markdown(["", *columns], lines)


def differences(found: Sequence[Comparison]) -> str:
    """Others x measures: points ahead and corrected p-value; what we lose is marked."""
    measures = list(dict.fromkeys(one.measure for one in found))
    lines = []
    for other in dict.fromkeys(one.other for one in found):
        by_measure = {one.measure: one for one in found if one.other == other}
        lines.append([other, *(_difference(by_measure.get(measure)) for measure in measures)])
    return markdown(["against", *measures], lines)


def _difference(one: Comparison | None) -> str:
    if one is None or one.n == 0:
        return ""
    p = "no test" if one.p != one.p else f"p {one.p:.3f}" if one.p >= 0.001 else "p < 0.001"
    text = f"{100 * one.difference:+.1f} ({p})"
    if not one.loses:
        return text
    return f"**loses** {text}" if one.p < LEVEL else f"behind {text}"


def costs(rows: Sequence[Row]) -> str:
    """Seconds of training, mean over seeds, on each device."""
    times: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for value in current(row).values():
            times.setdefault(row["label"], {}).setdefault(value["device"], []).append(value["training_seconds"])
    trained = {label: found for label, found in times.items() if any(map(any, found.values()))}
    devices = sorted({device for found in trained.values() for device in found})
    lines = [
        [label, *(f"{sum(found[device]) / len(found[device]):.1f}" if device in found else "" for device in devices)]
        for label, found in trained.items()
    ]
    return markdown(["seconds of training", *devices], lines) if lines else ""


def _further(row: Row) -> bool:
    return row["kind"] == "few_shot" or str(row["measure"]).endswith("labels)")


def print_graph(graph: str, rows: Sequence[Row], ours: Sequence[str]) -> None:
    """All tables of a graph."""
    kept, notes = comparable(rows)
    print(f"## {graph}\n\n{scores(kept, lambda row: not _further(row))}\n")
    for table in (scores(kept, _further), sampled(kept)):
        if table:
            print(f"{table}\n")
    for model in ours:
        found = [one for one in compare(kept, model) if one.n]
        if not found:
            continue
        print(
            f"### {graph}: {MODELS[model].label} against the others, points and p after Holm\n\n{differences(found)}\n"
        )
        lost = [one for one in found if one.loses]
        certain = sum(one.p < LEVEL for one in lost)
        print(f"Behind in {len(lost)} of {len(found)} comparisons, in {certain} of them beyond chance (p < {LEVEL}).\n")
    if seconds := costs(kept):
        print(f"### {graph}: cost\n\n{seconds}\n")
    for note in notes:
        print(f"- {note}")
    seeds = {seed for row in kept for values in values_of(row).values() for seed in values}
    print(f"{len(kept)} rows, seeds {', '.join(sorted(seeds))}.\n")


def main() -> None:
    """Merge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of a study; nothing is merged without")
    parser.add_argument("--trial", action="store_true", help="show a trial (--steps), apart from the committed results")
    parser.add_argument("--results", type=Path, help="folder of the merged results")
    parser.add_argument("--graphs", nargs="+", help="only these")
    parser.add_argument("--ours", nargs="+", default=["single", "joint"], help="models to test against all others")
    args = parser.parse_args()
    if args.trial and args.out is None:
        parser.error("--trial needs --out")
    results = args.results or (args.out / "results" if args.trial else RESULTS)
    if args.out:
        for graph, records in read_records(args.out, trial=args.trial).items():
            path = results / f"{graph}.json"
            save_rows(path, graph, merge(load_rows(path), records))
    for path in sorted(results.glob("[!.]*.json")):
        if args.graphs is None or path.stem in args.graphs:
            print_graph(path.stem, load_rows(path), args.ours)


if __name__ == "__main__":
    main()
