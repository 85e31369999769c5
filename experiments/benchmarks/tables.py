"""Time and memory of `mmgraph import` on parquet tables, as a whole process, next to a bare pass over the same files.

The reference reads both tables with pyarrow, batch by batch, finds the rows of both ends of every edge with
`pyarrow.compute.index_in` and keeps nothing: what joining by string ids costs at the least. Ours does that, checks the
cells, sorts edges, writes the graph folder and the report.

    python experiments/benchmarks/tables.py                     # up to 1M nodes, 10M edges
    python experiments/benchmarks/tables.py --sizes 100000,1000000
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SIZES = ["100000,1000000", "1000000,10000000"]
BATCH = 1 << 19
ROW_GROUP = 1_000_000


SECONDS, GIB, LARGE = 60, 2, 10_000_000
"""Targets, and the edges for which they hold."""


def main() -> None:
    if sys.argv[1:2] == ["bare"]:
        bare(Path(sys.argv[2]))
        return
    # Here, as the bare pass has no use for torch.
    from timing import run_sizes, size_parser

    parser = size_parser(__doc__, repeats=1)
    parser.set_defaults(sizes=SIZES)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run_sizes(arguments, lambda nodes, edges: measure(nodes, edges, arguments))


def measure(nodes: int, edges: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Time and memory of one size, imports of both processes included."""
    from processes import run_process
    from timing import row

    ours, reference = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "tables")
        write(folder, nodes, edges, arguments.seed)
        command = [sys.executable, "-m", "mmgraph.cli.main", "import", str(folder)]
        for number in range(arguments.repeats):
            reference.append(run_process([sys.executable, __file__, "bare", str(folder)]))
            ours.append(run_process([*command, "--out", str(Path(temporary, f"out-{number}"))]))
    size = {"nodes": nodes, "edges": edges}
    seconds = statistics.median(used.seconds for used in ours)
    peak = max(used.peak_gib for used in ours)
    large = edges >= LARGE
    pairs = list(zip(ours, reference, strict=True))
    return [
        row(
            "mmgraph import, time over a bare pyarrow pass",
            size,
            ours=seconds,
            reference=statistics.median(used.seconds for used in reference),
            unit="s",
            ratio=statistics.median(one.seconds / other.seconds for one, other in pairs),
            target=f"< {SECONDS} s",
            met=seconds < SECONDS,
            judged=large,
            ratio_cpu=statistics.median(one.cpu / other.cpu for one, other in pairs),
        ),
        row(
            "mmgraph import, peak memory over a bare pyarrow pass",
            size,
            ours=peak,
            reference=max(used.peak_gib for used in reference),
            unit="GiB",
            ratio=peak / max(used.peak_gib for used in reference),
            target=f"< {GIB} GiB",
            met=peak < GIB,
            judged=large,
        ),
    ]


def write(folder: Path, num_nodes: int, num_edges: int, seed: int) -> None:
    """Write nodes with texts and edges in random order, ids as strings."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    ids = pa.array(np.char.add("sku-", random.permutation(num_nodes).astype(str)))
    texts = pa.array([f"product number {number} with a short text" for number in range(num_nodes)])
    pq.write_table(pa.table({"id": ids, "text": texts, "price": random.random(num_nodes)}), folder / "nodes.parquet")
    names = pa.array(["also_bought", "similar"])
    writer: pq.ParquetWriter | None = None
    for start in range(0, num_edges, ROW_GROUP):
        size = min(ROW_GROUP, num_edges - start)
        source, target = (ids.take(pa.array(random.integers(0, num_nodes, size))) for _ in range(2))
        table = pa.table(
            {
                "source": source,
                "target": target,
                "relation": names.take(pa.array(random.integers(0, 2, size))),
                "weight": random.random(size, dtype=np.float32),
                "time": random.integers(0, 10**9, size),
            }
        )
        writer = writer or pq.ParquetWriter(folder / "edges.parquet", table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def bare(folder: Path) -> None:
    """Find both ends of every edge and forget them."""
    ids = pq.read_table(folder / "nodes.parquet", columns=["id"])["id"].combine_chunks()
    for batch in pq.ParquetFile(folder / "edges.parquet").iter_batches(batch_size=BATCH):
        for side in ("source", "target"):
            pc.index_in(batch[side], value_set=ids)


if __name__ == "__main__":
    main()
