"""Time, memory and disk of `mmgraph synthetic`, as a whole process, and of opening what it wrote.

Peak memory has two parts. What a process allocates is `own`. Pages of mapped files, such as the libraries and an opened
graph, are in memory as long as nothing else needs the room; `peak` counts them as well, as `/usr/bin/time -v` does.

    python experiments/benchmarks/synthetic.py                       # 1M nodes, 10M edges; 10M nodes, 100M edges
    python experiments/benchmarks/synthetic.py --sizes 100000,1000000
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from processes import run_process

SIZES = ["1000000,10000000", "10000000,100000000"]
OPEN = "import sys; from mmgraph.data.store import load_graph; load_graph(sys.argv[1], verify=False)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="NODES,EDGES of each graph")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    results = [measure("import mmgraph", [sys.executable, "-c", "import mmgraph.data.graph"])]
    for size in args.sizes:
        nodes, edges = (int(number) for number in size.split(","))
        name = f"{nodes:,} nodes, {edges:,} edges"
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "graph")
            words = ["synthetic", "--nodes", str(nodes), "--edges", str(edges), "--seed", str(args.seed)]
            command = [sys.executable, "-m", "mmgraph.cli.main", *words, "--out", str(folder)]
            results.append(measure(f"{name}: write", command))
            results[-1]["disk_gib"] = disk = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 2**30
            print(f"{name}: on disk".ljust(48), f"{disk:7.2f} GiB")
            results.append(measure(f"{name}: open", [sys.executable, "-c", OPEN, str(folder)]))
    if args.out:
        args.out.write_text(json.dumps(results, indent=2) + "\n")


def measure(what: str, command: list[str]) -> dict[str, str | float]:
    """Seconds, peak memory and peak own memory in GiB of a process of its own; printed, too."""
    used = run_process(command)
    print(f"{what:48} {used.seconds:7.1f} s   peak {used.peak_gib:5.2f} GiB   own {used.own_gib:5.2f} GiB", flush=True)
    return {"what": what, "seconds": used.seconds, "peak_gib": used.peak_gib, "own_gib": used.own_gib}


if __name__ == "__main__":
    main()
