"""Kill, corrupt and fill the disk: `python experiments/faults/run.py`, or `make faults`. See docs/faults.md.

Parts can be run one at a time into the same file: rows of other parts, phases and kinds that are in `--out` stay.

    python experiments/faults/run.py --parts files --out experiments/faults/results.json
    python experiments/faults/run.py --parts kills --only pretrain --kills 20 --out experiments/faults/results.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from children import preload
from corruption import corrupt_all, count_verdicts
from disk import SHARES, disk_faults
from kills import kill_all
from phases import prepare

PARTS = {"kills": ("phase",), "files": ("kind",), "disk": ("phase", "fault")}
"""What identifies a row of each part."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument(
        "--shares", type=float, nargs="+", default=SHARES, help="of what a phase writes, so much finds room on the disk"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is done; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="phases that are killed, kinds of files that are changed")
    parser.add_argument("--work", type=Path, help="folder to work in; a temporary one by default")
    parser.add_argument("--out", type=Path, help="json with the results; is merged with what is there")
    args = parser.parse_args()
    started = time.perf_counter()
    preload()
    work = args.work or Path(tempfile.mkdtemp(prefix="mmgraph-faults-"))
    work.mkdir(parents=True, exist_ok=True)
    work.chmod(0o755)  # one of the faults is met as another user
    if not (work / "base").exists():
        prepare(work / "base")
    print(f"ready after {time.perf_counter() - started:.0f} s", flush=True)
    found: dict[str, list[Any]] = {}
    bad = 0
    for part in args.parts:
        started = time.perf_counter()
        if part == "kills":
            rows = kill_all(work / "base", work / "kills", kills=args.kills, seed=args.seed, only=args.only)
            print_kills(rows)
        elif part == "files":
            rows = corrupt_all(work / "base", work / "files", files=args.files, seed=args.seed, only=args.only)
            print_changed(rows)
        else:
            rows = disk_faults(work / "base", work / "disks", only=args.only, shares=tuple(args.shares))
            print_faults(rows)
        print(f"{part}: {time.perf_counter() - started:.0f} s", flush=True)
        found[part] = [asdict(row) for row in rows]
        bad += sum(len(row.wrong) if isinstance(row.wrong, list) else bool(row.wrong) for row in rows)
        if args.out is not None:
            merge_results(args.out, found)
    if args.work is None and not bad:
        shutil.rmtree(work)
    return 1 if bad else 0


def merge_results(path: Path, found: dict[str, list[dict[str, Any]]]) -> None:
    """Put rows into a file of results, in the place of rows about the same thing; all others stay."""
    there: dict[str, list[dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    merged = {}
    for part, keys in PARTS.items():
        rows = {tuple(row[key] for key in keys): row for row in (*there.get(part, []), *found.get(part, []))}
        if rows:
            merged[part] = list(rows.values())
    path.write_text(json.dumps(merged, indent=2) + "\n", encoding="utf-8")


def print_kills(results: list[Any]) -> None:
    print(f"{'phase':<16} {'kills':>6} {'restarts':>9} {'runs':>5} {'equal':>6} {'seconds':>8}")
    for result in results:
        print(
            f"{result.phase:<16} {result.kills:>6} {result.restarts:>9} {result.runs:>5} {result.equal:>6} "
            f"{result.seconds:>8.2f}"
        )
        for line in result.wrong:
            print(f"  {line}")


def print_faults(results: list[Any]) -> None:
    for result in results:
        print(f"{result.phase:<16} {result.fault:<34} {result.wrong or 'ok: ' + result.line}")


def print_changed(results: list[Any]) -> None:
    print(f"{'kind of file':<30} {'files':>6} {'refused':>8} {'again':>6} {'harmless':>9} {'wrong':>6}")
    for result in results:
        print(
            f"{result.kind:<30} {result.files:>6} {result.refused:>8} {result.again:>6} {result.harmless:>9} "
            f"{len(result.wrong):>6}"
        )
        for line in (*result.wrong, *(f"harmless: {line}" for line in result.unnoticed)):
            print(f"  {line}")
    print(dict(count_verdicts(results)))


if __name__ == "__main__":
    sys.exit(main())
