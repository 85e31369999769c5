"""Run benchmarks one after the other, keep their figures and print one table.

    python experiments/benchmarks/run.py [--quick] [--only sampling ppr] [--results DIR] [--plot scaling.png]

At full size it takes about a quarter of an hour on two free cores, with `--quick` a few minutes; what takes longer is run by name
(`--only scale synthetic distributed epochs`). The plot shows figures against size, with the exponent of a fitted power.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from mmgraph.planning.costs import CostCurve

HERE = Path(__file__).parent
SCRIPTS = {
    "encoding": ["--texts", "64", "--images", "32", "--repeats", "1", "--threads", "1"],
    "csr": ["--sizes", "10000,100000"],
    "sampling": ["--sizes", "10000,100000"],
    "ppr": ["--sizes", "10000,100000", "--seeds", "128"],
    "moe": ["--num-nodes", "2048", "--dim", "64", "--repeats", "3"],
    "gnn": ["--sizes", "2000,16000", "4000,32000", "--dim", "64"],
    "step": ["--rows", "512", "--dim", "64", "--repeats", "2"],
    "inference": ["--sizes", "2000,20000", "4000,40000", "--dim", "64"],
    "ranking": ["--users", "500", "--items", "10000", "--repeats", "1"],
    "export": ["--nodes", "20000", "--dim", "64", "--repeats", "1"],
    "tables": ["--sizes", "10000,100000"],
    "pretraining": ["--sizes", "1000", "2000", "--dim", "64", "--steps", "2", "--epochs", "1"],
    "serving": ["--nodes", "2000", "--dim", "64", "--requests", "20", "--rate", "20", "--seconds", "2"],
    "filters": ["--nodes", "4000", "--dim", "64", "--queries", "5", "--formats", "faiss,parquet"],
    "planning": ["--small", "500", "1000", "--sizes", "2000", "--dim", "32"],
}
"""Scripts of the table (they write lines of `timing.row`), and their small sizes."""
FULL = {
    "encoding": ["--repeats", "3"],
    "filters": ["--queries", "30", "--formats", "faiss,parquet"],
    "inference": ["--repeats", "2"],
    "planning": ["--sizes", "10000", "40000"],
    "ppr": ["--repeats", "3"],
    "pretraining": ["--sizes", "16000", "32000", "64000", "--steps", "8"],
    "serving": ["--seconds", "10"],
    "step": ["--repeats", "5"],
}
"""Arguments at full size, where the defaults of a script take long."""
LARGE = {
    "distributed": [],
    "epochs": [],
    "synthetic": ["--sizes", "1000000,10000000"],
    "scale": ["--sizes", "1000000,10000000", "--folder", "runs/bench/scale"],
}
"""Only on request, as they take long."""


def size_of(line: dict[str, Any]) -> tuple[str, int]:
    """What a line is drawn against: its edges, or the first number that it depends on."""
    size: dict[str, int] = line["size"]
    key = "edges" if "edges" in size else next(iter(size))
    return key, size[key]


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Figures of ours and of the reference against size, one panel per benchmark that has several sizes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    named: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        named.setdefault(row["name"], []).append(row)
    several = {name: lines for name, lines in named.items() if len({size_of(line) for line in lines}) > 1}
    if not several:
        return
    columns = min(4, len(several))
    count = -(-len(several) // columns)
    figure, axes = pyplot.subplots(count, columns, figsize=(4.2 * columns, 3.4 * count), squeeze=False)
    for axis in axes.flat[len(several) :]:
        axis.axis("off")
    for axis, (name, lines) in zip(axes.flat, several.items(), strict=False):
        for key, label in (("ours", "ours"), ("reference", "reference")):
            points = sorted((size_of(line)[1], line[key]) for line in lines)
            axis.loglog(
                *zip(*points, strict=True), marker="o", label=f"{label}, exponent {CostCurve.of(points).exponent:.2f}"
            )
        axis.set(title=textwrap.fill(name, 48), xlabel=size_of(lines[0])[0], ylabel=lines[0]["unit"])
        sizes = sorted({size_of(line)[1] for line in lines})
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7)
        axis.xaxis.set_minor_locator(pyplot.NullLocator())
        axis.title.set_fontsize(8)
        axis.legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=[*SCRIPTS, *LARGE], help="scripts to run, all but the large by default"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--no-run", action="store_true", help="only show what is in the results")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--plot", type=Path, help="also draw figures against sizes")
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    # Scripts set threads by their flags; what they start has them from here, unless the caller chose.
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    for name in [] if args.no_run else args.only or SCRIPTS:
        print(f"== {name}", flush=True)
        words = (SCRIPTS[name] if args.quick else FULL.get(name, [])) if name in SCRIPTS else LARGE[name]
        out = ["--out", str(args.results / f"{name}.json")]
        command = [sys.executable, "-W", "ignore", str(HERE / f"{name}.py"), *words, *out]
        start = time.perf_counter()
        if subprocess.run(command, check=False, env=environment).returncode:
            failed.append(name)
        print(f"   {name}: {time.perf_counter() - start:.0f} s", flush=True)
    rows = []
    for name in (*SCRIPTS, "distributed", "epochs"):  # the other large ones have no reference, hence no lines
        path = args.results / f"{name}.json"
        if path.exists():
            rows += json.loads(path.read_text(encoding="utf-8"))["rows"]
    print(f"\n{'name':66}{'size':>32}{'ours':>12}{'reference':>12}  {'unit':12}{'ratio':>7}{'CPU':>7}  target")
    for row in rows:
        size = ", ".join(f"{value:,} {key}" for key, value in row["size"].items())
        verdict = "" if row["met"] is None else f"{row['target']} {'met' if row['met'] else 'MISSED'}"
        numbers = f"{row['ours']:12.4g}{row['reference']:12.4g}  {row['unit']:12}{row['ratio']:7.2f}"
        cpu = f"{row['ratio_cpu']:7.2f}" if "ratio_cpu" in row else " " * 7
        print(f"{row['name']:66}{size:>32}{numbers}{cpu}  {verdict}")
    if args.plot:
        plot(rows, args.plot)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
