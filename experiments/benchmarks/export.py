"""Time and memory of exporting vectors to parquet, as a process of its own, next to a bare write of the same bytes.

The reference writes ids, types and vectors with pyarrow alone, in the same groups of rows with the same compression. What
the vectors themselves and the imports take is measured by a process that makes the table and writes nothing.

    python experiments/benchmarks/export.py                     # 1M vectors of 256 dimensions
    python experiments/benchmarks/export.py --nodes 100000 --dim 128 --format npy
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmgraph.inference.table import EmbeddingTable

ROWS_PER_GROUP = 65_536
MODES = ("nothing", "bare", "ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", default="parquet")
    parser.add_argument("--mode", choices=MODES, help="write in this process (used by this script)")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.mode:
        write(arguments)
        return
    print(f"{arguments.nodes:,} vectors of {arguments.dim} dimensions, string ids, to {arguments.format}")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for mode in MODES:
            out = Path(folder, mode)
            command = [sys.executable, *sys.argv, "--mode", mode, "--out", str(out)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            seconds = float(process.stdout.read() or 0) if process.stdout else 0.0
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"failed: {' '.join(command)}")
            found[mode] = seconds, usage.ru_maxrss / 2**10
            files = [out] if out.is_file() else list(out.rglob("*"))
            size = sum(path.stat().st_size for path in files if path.is_file()) / 2**20
            print(f"{mode:8} {seconds:6.1f} s   peak {found[mode][1]:7.0f} MiB   written {size:7.0f} MiB")
    print(f"ratio of times {found['ours'][0] / found['bare'][0]:.2f}")
    for mode in ("bare", "ours"):
        print(f"memory of {mode} above the table: {found[mode][1] - found['nothing'][1]:.0f} MiB")


def write(arguments: argparse.Namespace) -> None:
    """Make the table, write it, and print the seconds that writing took."""
    from mmgraph.export.base import write_table

    table = make_table(arguments.nodes, arguments.dim, arguments.seed)
    start = time.perf_counter()
    if arguments.mode == "bare":
        bare(table, arguments.out)
    elif arguments.mode == "ours":
        write_table(table, arguments.out, format=arguments.format)
    print(time.perf_counter() - start)


def make_table(num_nodes: int, dim: int, seed: int) -> EmbeddingTable:
    """Random vectors with string ids."""
    import torch

    from mmgraph.data.ids import NodeIds
    from mmgraph.inference.table import EmbeddingTable

    random = torch.Generator().manual_seed(seed)
    return EmbeddingTable(
        node_ids=NodeIds([f"sku-{number}" for number in range(num_nodes)]),
        vectors=torch.randn(num_nodes, dim, generator=random),
        node_types=("item",),
        node_type=torch.zeros(num_nodes, dtype=torch.int64),
        graph="benchmark",
        model="random",
    )


def bare(table: EmbeddingTable, path: Path) -> None:
    """Write the same columns with pyarrow and nothing else: no checks, no digest, no manifest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    array = table.vectors.numpy()
    field = pa.field("vector", pa.list_(pa.float32(), table.dim))
    schema = pa.schema([("id", pa.string()), ("type", pa.string()), field])
    options = {"compression": "zstd", "use_dictionary": ["id", "type"], "write_page_checksum": True}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for start in range(0, len(table), ROWS_PER_GROUP):
            rows = array[start : start + ROWS_PER_GROUP]
            ids = pa.array(table.node_ids.values[start : start + ROWS_PER_GROUP], pa.string())
            types = pa.array(["item"] * len(rows))
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), table.dim)
            writer.write_table(pa.table([ids, types, vectors], schema=schema))


if __name__ == "__main__":
    main()
