"""Latency and throughput of `mmgraph serve`: search by node id among 64,000 x 384 vectors in a faiss store.

Latency: one request at a time, next to a direct call of the index with the same query in this process; both alternate.
Goal: p50 at most 1.5 x of the call plus 3 ms. Throughput: requests begin at a fixed rate, whether or not earlier ones
are answered, so that waiting counts. Goal: 200 per second on two cores, client included. Once with embeddings alone,
and once with a graph, when every hit is compared with the query by modality and by its neighbours.

    python experiments/benchmarks/serving.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import torch
from timing import row, write_rows

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.data.store import save_graph
from mmgraph.export.base import write_table
from mmgraph.inference.table import EmbeddingTable

EDGES_PER_NODE = 3
JUDGED_FROM = 64_000
"""Nodes from which the targets hold."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=64_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--format", default="faiss")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--requests", type=int, default=300, help="of the latency")
    parser.add_argument("--rate", type=float, default=200, help="requests per second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        store, graph = make_data(Path(folder), arguments)
        print(f"{arguments.nodes:,} x {arguments.dim}, {arguments.format}, k = {arguments.k}")
        for name, words in (("embeddings", []), ("with graph", ["--graph", str(graph)])):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            command = [sys.executable, "-m", "mmgraph.cli.main", "serve", "--embeddings", str(store), *words]
            server = subprocess.Popen([*command, "--port", str(port)])
            try:
                lines += asyncio.run(measure(name, port, server.pid, store, arguments))
            finally:
                server.terminate()
                server.wait()
    write_rows(arguments.out, lines)


def make_data(folder: Path, arguments: argparse.Namespace) -> tuple[Path, Path]:
    random = torch.Generator().manual_seed(0)
    count, dim = arguments.nodes, arguments.dim
    ids, kinds = NodeIds([f"node:{i}" for i in range(count)]), torch.zeros(count, dtype=torch.int64)
    columns = pa.table({"text": [f"Node number {i}" for i in range(count)], "year": list(range(count))})
    vectors = torch.nn.functional.normalize(torch.randn(count, dim, generator=random), dim=1)
    table = EmbeddingTable(ids, vectors, ("node",), kinds, "benchmark", "random", columns)
    write_table(table, folder / "store", format=arguments.format)
    edges = torch.randint(count, (2, EDGES_PER_NODE * count), generator=random)
    features = ModalityFeatures(
        FeatureSpec("text", "random", dim), vectors.clone(), torch.ones(count, dtype=torch.bool)
    )
    relations = {"linked": Relation(edges, "node", "node")}
    graph = MultimodalGraph("benchmark", ids, ("node",), kinds, relations, {"text": features}, columns)
    return folder / "store", save_graph(graph, folder / "graph")


class Connection:
    """One connection that is kept open."""

    async def open(self, port: int) -> Connection:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of an answer."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        return int(head.split(b" ", 2)[1]), await self.reader.readexactly(length)


async def measure(name: str, port: int, pid: int, store: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Print latency and throughput of a server; its lines."""
    await until_up(port)
    index = faiss.read_index(str(store / "index.faiss"))
    faiss.omp_set_num_threads(1)
    random = np.random.default_rng(0)
    connection = await Connection().open(port)
    await connection.get("/map?limit=1")  # until the map is computed, which happens once
    http, direct = [], []
    direct_cpu, server_cpu = 0.0, cpu_seconds(pid)
    for node in random.integers(arguments.nodes, size=arguments.requests).tolist():
        began = time.perf_counter()
        status, body = await connection.get(f"/similar?id=node:{node}&k={arguments.k}")
        middle, cpu = time.perf_counter(), time.process_time()
        _, found = index.search(index.reconstruct(node)[None], arguments.k + 1)
        direct.append(time.perf_counter() - middle)
        direct_cpu += time.process_time() - cpu
        http.append(middle - began)
        hits = [hit["id"] for hit in json.loads(body)["hits"]]
        expected = [f"node:{other}" for other in found[0].tolist() if other != node]
        if status != 200 or hits != expected:
            raise SystemExit(f"node:{node}: expected {expected}, got {status} {hits}")
    each = 1e3 / arguments.requests
    server_cpu, direct_cpu = each * (cpu_seconds(pid) - server_cpu), each * direct_cpu
    ours, theirs = 1e3 * float(np.median(http)), 1e3 * float(np.median(direct))
    over = 1e3 * float(np.median(np.asarray(http) - np.asarray(direct)))
    limit = 1.5 * theirs + 3
    print(
        f"{name:<12} latency: p50 {ours:.1f} ms, p95 {1e3 * np.percentile(http, 95):.1f} ms; direct call p50 {theirs:.1f} ms; "
        f"goal {limit:.1f} ms; p50 of the difference {over:.1f} ms; CPU of the server {server_cpu:.1f} ms per request, "
        f"of the direct call {direct_cpu:.1f} ms"
    )
    server_before = cpu_seconds(pid)
    waits, failed, seconds = await load(port, arguments, random)
    loaded_cpu = cpu_seconds(pid) - server_before
    print(
        f"{name:<12} load: {arguments.rate:.0f}/s asked for {arguments.seconds:.0f} s, {len(waits) / seconds:.0f}/s answered, "
        f"{failed} failed; p50 {1e3 * np.percentile(waits, 50):.0f} ms, p95 {1e3 * np.percentile(waits, 95):.0f} ms, "
        f"p99 {1e3 * np.percentile(waits, 99):.0f} ms; CPU of the server {1e3 * loaded_cpu / len(waits):.1f} ms per request"
    )
    size, judged = {"nodes": arguments.nodes}, arguments.nodes >= JUDGED_FROM
    rate = len(waits) / seconds
    return [
        row(
            f"serve, {name}, p50 of a request over a direct call",
            size,
            ours=ours,
            reference=theirs,
            unit="ms",
            ratio=ours / theirs,
            target=f"<= {limit:.1f} ms",
            met=ours <= limit,
            judged=judged,
            ratio_cpu=server_cpu / direct_cpu,
            p50_of_difference=over,
            p95=1e3 * float(np.percentile(http, 95)),
        ),
        row(
            f"serve, {name}, requests answered of those asked for",
            size,
            ours=rate,
            reference=arguments.rate,
            unit="requests/s",
            ratio=rate / arguments.rate,
            target=">= 0.95",
            met=rate >= 0.95 * arguments.rate and not failed,
            judged=judged,
            failed=failed,
            **{f"p{share}_ms": 1e3 * float(np.percentile(waits, share)) for share in (50, 95, 99)},
        ),
    ]


async def load(port: int, arguments: argparse.Namespace, random: np.random.Generator) -> tuple[list[float], int, float]:
    """Seconds of each answered request, from when it was due; number of failed ones; seconds in all."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(64):
        free.put_nowait(await Connection().open(port))
    waits: list[float] = []
    failed = 0

    async def one(due: float, row: int) -> None:
        nonlocal failed
        connection = await free.get()
        status, _ = await connection.get(f"/similar?id=node:{row}&k={arguments.k}")
        free.put_nowait(connection)
        if status == 200:
            waits.append(time.perf_counter() - due)
        else:
            failed += 1

    began, tasks = time.perf_counter(), []
    for number in range(int(arguments.rate * arguments.seconds)):
        due = began + number / arguments.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(due, int(random.integers(arguments.nodes)))))
    await asyncio.gather(*tasks)
    return waits, failed, time.perf_counter() - began


def cpu_seconds(pid: int) -> float:
    """Seconds of processor that a process has used (Linux); unlike the clock, other processes do not change it much."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def until_up(port: int) -> None:
    is_up: Callable[[], bool] = lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0  # noqa: E731
    while not is_up():
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    main()
