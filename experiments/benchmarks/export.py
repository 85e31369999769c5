"""Time and memory of exporting vectors to parquet, as a process of its own, next to a bare write of the same bytes.

The reference writes ids, types and vectors with pyarrow alone, in the same groups of rows with the same compression. What
the vectors themselves and the imports take is measured by a process that makes the table and writes nothing. Targets: at most
1.3 x the time of the bare write, at most 600 MiB above the table.

    python experiments/benchmarks/export.py                     # 100,000 and 1M vectors of 256 dimensions
    python experiments/benchmarks/export.py --nodes 100000 --dim 128 --format npy
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import Usage, run_process
from timing import row, show, write_rows

if TYPE_CHECKING:
    from mmgraph.inference.table import EmbeddingTable

ROWS_PER_GROUP = 65_536
MODES = ("nothing", "bare", "ours")
TARGET, MEMORY, JUDGED_FROM = 1.3, 600, 1_000_000
"""Of the ratio of times, MiB above the table, and the vectors from which both hold."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", default="parquet")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--mode", choices=MODES, help="write to --out in this process (used by this script)")
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    if arguments.mode:
        write(arguments)
        return
    lines = []
    for nodes in arguments.nodes:
        lines += measure(nodes, arguments)
        for line in lines[-2:]:
            show(line)
    write_rows(arguments.out, lines)


def measure(nodes: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Time and memory of one size; the writes alternate."""
    found: dict[str, list[tuple[Usage, dict[str, float]]]] = {mode: [] for mode in MODES}
    settings = ["--dim", arguments.dim, "--seed", arguments.seed, "--format", arguments.format]
    for number in range(arguments.repeats):
        for mode in MODES if number % 2 == 0 else MODES[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                words = ["--nodes", nodes, *settings, "--mode", mode, "--out", Path(folder, "table")]
                used = run_process([sys.executable, __file__, *map(str, words)])
            found[mode].append((used, json.loads(used.output)))
    ours, bare = ([time["seconds"] for _, time in found[mode]] for mode in ("ours", "bare"))
    peak = {mode: statistics.median(used.peak_gib for used, _ in found[mode]) * 2**10 for mode in MODES}
    above, above_bare = (max(peak[mode] - peak["nothing"], 1.0) for mode in ("ours", "bare"))
    ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
    cpu = [[time["cpu"] for _, time in found[mode]] for mode in ("ours", "bare")]
    size, judged = {"nodes": nodes}, nodes >= JUDGED_FROM
    title = f"export to {arguments.format}"
    return [
        row(
            f"{title}, time over a bare pyarrow write",
            size,
            ours=statistics.median(ours),
            reference=statistics.median(bare),
            unit="s",
            ratio=ratio,
            target=f"<= {TARGET}",
            met=ratio <= TARGET,
            judged=judged,
            ratio_cpu=statistics.median(one / other for one, other in zip(*cpu, strict=True)),
            dim=arguments.dim,
        ),
        row(
            f"{title}, memory above the table",
            size,
            ours=above,
            reference=above_bare,
            unit="MiB",
            ratio=above / above_bare,
            target=f"< {MEMORY} MiB",
            met=above < MEMORY,
            judged=judged,
            dim=arguments.dim,
        ),
    ]


def write(arguments: argparse.Namespace) -> None:
    """Make the table, write it, and print what writing took."""
    from mmgraph.export.base import write_table

    table = make_table(arguments.nodes[0], arguments.dim, arguments.seed)
    start, start_cpu = time.perf_counter(), time.process_time()
    if arguments.mode == "bare":
        bare(table, arguments.out)
    elif arguments.mode == "ours":
        write_table(table, arguments.out, format=arguments.format)
    print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - start_cpu}))


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
