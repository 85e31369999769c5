"""Time and memory of `mmgraph import` on parquet tables, as a whole process, next to a bare pass over the same files.

The reference reads both tables with pyarrow, batch by batch, finds the rows of both ends of every edge with
`pyarrow.compute.index_in` and keeps nothing: what joining by string ids costs at the least. Ours does that, checks the
cells, sorts edges, writes the graph folder and the report.

    python experiments/benchmarks/tables.py                     # 1M nodes, 10M edges
    python experiments/benchmarks/tables.py --nodes 100000 --edges 1000000
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BATCH = 1 << 19
ROW_GROUP = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--edges", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bare", type=Path, help="run the reference on a folder (used by this script)")
    arguments = parser.parse_args()
    if arguments.bare:
        bare(arguments.bare)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "tables")
        write(folder, arguments.nodes, arguments.edges, arguments.seed)
        print(f"{arguments.nodes:,} nodes, {arguments.edges:,} edges with weight and time, string ids")
        floor = measure([sys.executable, "-c", "import torch, pyarrow"])
        reference = measure([sys.executable, __file__, "--bare", str(folder)])
        command = [
            sys.executable,
            "-m",
            "mmgraph.cli.main",
            "import",
            str(folder),
            "--out",
            str(Path(temporary, "out")),
        ]
        ours = measure(command)
        for name, (seconds, memory) in (("import torch", floor), ("bare pass", reference), ("mmgraph import", ours)):
            print(f"{name:16} {seconds:6.1f} s   peak {memory:5.2f} GiB")
        print(f"ratio of times {ours[0] / reference[0]:.2f}")


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


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in GiB of a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


if __name__ == "__main__":
    main()
