"""Run benchmarks one after the other, keep their figures and print one table.

    python experiments/benchmarks/run.py [--quick] [--only sampling ppr] [--results DIR] [--plot scaling.png]

Scripts that write lines of the common form (`timing.row`) are in the table; the others only print their own. `--quick` runs the
smallest sizes. The plot shows figures against the number of edges, with the exponent of a fitted power.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from mmgraph.planning.costs import CostCurve

HERE = Path(__file__).parent
TABLE = {
    "csr": ["--sizes", "10000,100000"],
    "sampling": ["--sizes", "10000,100000"],
    "ppr": ["--sizes", "10000,100000", "--seeds", "128"],
    "planning": ["--small", "500", "1000", "--sizes", "2000", "--dim", "32"],
}
"""Scripts of the common form, and their small sizes."""
OTHERS = {
    "moe": [],
    "gnn": [],
    "encoding": [],
    "tables": [],
    "export": [],
    "synthetic": ["--sizes", "1000000,10000000"],
    "ranking": [],
    "pretraining": [],
    "distributed": [],
    "scale": ["--sizes", "1000000,10000000", "--folder", "runs/bench/scale"],
    "filters": [],
    "serving": [],
}
"""Scripts with a form of their own, and their arguments; not part of `--quick`."""


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Figures of ours and of the reference against edges, one panel per benchmark that has several sizes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    named: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        named.setdefault(row["name"], []).append(row)
    several = {name: lines for name, lines in named.items() if len({line["size"]["edges"] for line in lines}) > 1}
    if not several:
        return
    columns = min(4, len(several))
    count = -(-len(several) // columns)
    figure, axes = pyplot.subplots(count, columns, figsize=(4.2 * columns, 3.4 * count), squeeze=False)
    for axis in axes.flat[len(several) :]:
        axis.axis("off")
    for axis, (name, lines) in zip(axes.flat, several.items(), strict=False):
        for key, label in (("ours", "ours"), ("reference", "reference")):
            points = sorted((line["size"]["edges"], line[key]) for line in lines)
            axis.loglog(
                *zip(*points, strict=True), marker="o", label=f"{label}, exponent {CostCurve.of(points).exponent:.2f}"
            )
        axis.set(title=name, xlabel="edges, both directions", ylabel=lines[0]["unit"])
        sizes = sorted({line["size"]["edges"] for line in lines})
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7)
        axis.xaxis.set_minor_locator(pyplot.NullLocator())
        axis.title.set_fontsize(8)
        axis.legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*TABLE, *OTHERS], help="scripts to run, all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes of the scripts of the table")
    parser.add_argument("--no-run", action="store_true", help="only show what is in the results")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--plot", type=Path, help="also draw figures against sizes")
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    chosen = args.only or ([*TABLE] if args.quick else [*TABLE, *OTHERS])
    failed = []
    for name in [] if args.no_run else chosen:
        print(f"== {name}", flush=True)
        words = (TABLE[name] if args.quick else []) if name in TABLE else OTHERS[name]
        out = ["--out", str(args.results / f"{name}.json")] if name in TABLE else []
        command = [sys.executable, "-W", "ignore", str(HERE / f"{name}.py"), *words, *out]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    rows = []
    for name in TABLE:
        path = args.results / f"{name}.json"
        if path.exists():
            rows += json.loads(path.read_text(encoding="utf-8"))["rows"]
    print(f"\n{'name':46}{'size':>36}{'ours':>12}{'reference':>12}  {'unit':12}{'ratio':>7}  target")
    for row in rows:
        size = ", ".join(f"{value:,} {key}" for key, value in row["size"].items())
        verdict = "" if row["met"] is None else f"{row['target']} {'met' if row['met'] else 'MISSED'}"
        numbers = f"{row['ours']:12.4g}{row['reference']:12.4g}  {row['unit']:12}{row['ratio']:7.2f}"
        print(f"{row['name']:46}{size:>36}{numbers}  {verdict}")
    if args.plot:
        plot(rows, args.plot)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
