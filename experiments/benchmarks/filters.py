"""Filtered search: recall@10 and latency of single queries over the share of nodes that fit, ours beside others.

Two filters: `share < s` has nothing to do with the vectors; `side < s` leaves those at one end of the first principal axis, so
that most of the nearest nodes of most queries do not fit. Ours is `Store.search(query, 10, where=...)`, which parses and
evaluates the filter each time. Beside it: a product in numpy with the vectors that fit, and the filters of the libraries
themselves with their own settings. Recall counts nodes that are as near as the tenth of the brute force.

    python experiments/benchmarks/filters.py [--embeddings debian.parquet] [--queries 100] [--stores FOLDER] [--out F.json]

Without `--embeddings`: random unit vectors (`--nodes 63436 --dim 384`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from timing import row, write_rows

from mmgraph.data.ids import NodeIds
from mmgraph.export.base import open_store, read_table, write_table
from mmgraph.export.faiss import unit_vectors
from mmgraph.export.store import Store
from mmgraph.inference.table import EmbeddingTable

Search = Callable[[np.ndarray, str, float], np.ndarray]
SHARES = (0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 0.5, 1.0)
IN_ROWS = (0.01, 0.3)
"""Shares that stand in the common table."""
SLOW = ("qdrant", "lancedb", "duckdb", "Qdrant", "LanceDB", "DuckDB")
K = 10


def make_table(args: argparse.Namespace) -> EmbeddingTable:
    """Vectors with the two columns of the filters."""
    random = np.random.default_rng(0)
    if args.embeddings is not None:
        table = read_table(args.embeddings)
        vectors = table.vectors[torch.linalg.vector_norm(table.vectors, dim=1) > 0]
    else:
        vectors = torch.from_numpy(random.standard_normal((args.nodes, args.dim), dtype=np.float32))
    count = len(vectors)
    centred = vectors - vectors.mean(dim=0)
    axis = torch.linalg.svd(centred[random.choice(count, min(count, 5000), replace=False)], full_matrices=False)[2][0]
    side = torch.argsort(torch.argsort(centred @ axis)).numpy() / count
    columns = pa.table({"share": random.permutation(count) / count, "side": side})
    ids, types = NodeIds([f"n{i}" for i in range(count)]), torch.zeros(count, dtype=torch.int64)
    table = EmbeddingTable(ids, torch.nn.functional.normalize(vectors), ("node",), types, "benchmark", "none")
    return replace(table, columns=columns)


def ours(store: Store) -> Search:
    def search(query: np.ndarray, column: str, share: float) -> np.ndarray:
        found = store.search(torch.from_numpy(query), K, where=f"{column} < {share}").positions[0].numpy()
        return found[found >= 0]

    return search


def product(vectors: np.ndarray, columns: dict[str, np.ndarray]) -> Search:
    def search(query: np.ndarray, column: str, share: float) -> np.ndarray:
        among = np.flatnonzero(columns[column] < share)
        scores = vectors[among] @ query
        best = np.argpartition(-scores, min(K, len(among)) - 1)[:K]
        return among[best[np.argsort(-scores[best], kind="stable")]]

    return search


def faiss_selector(index: Any, columns: dict[str, np.ndarray], params: Callable[[Any], Any]) -> Search:
    import faiss

    def search(query: np.ndarray, column: str, share: float) -> np.ndarray:
        bits = np.packbits(columns[column] < share, bitorder="little")
        found = index.search(query[None], K, params=params(faiss.IDSelectorBitmap(bits)))[1][0]
        return found[found >= 0]

    return search


def lancedb_where(nodes: Any) -> Search:
    def search(query: np.ndarray, column: str, share: float) -> np.ndarray:
        question = nodes.search(query, vector_column_name="vector").distance_type("cosine").limit(K)
        found = question.where(f"{column} < {share}", prefilter=True).select(["id", "_distance"]).to_arrow()
        return np.array([int(node[1:]) for node in found["id"].to_pylist()])

    return search


def duckdb_where(connection: Any, dim: int) -> Search:
    def search(query: np.ndarray, column: str, share: float) -> np.ndarray:
        question = (
            f"SELECT id FROM nodes WHERE {column} < {share} "
            f"ORDER BY array_cosine_similarity(vector, ?::FLOAT[{dim}]) DESC LIMIT {K}"
        )
        return np.array([int(node[1:]) for (node,) in connection.execute(question, [query.tolist()]).fetchall()])

    return search


def qdrant_filter(client: Any) -> Search:
    from qdrant_client import models

    def search(query: np.ndarray, column: str, share: float) -> np.ndarray:
        condition = models.FieldCondition(key=column, range=models.Range(lt=share))
        chosen = models.Filter(must=[condition])
        found = client.query_points("nodes", query=query.tolist(), query_filter=chosen, limit=K, with_payload=["id"])
        return np.array([int(point.payload["id"][1:]) for point in found.points])

    return search


def searches(table: EmbeddingTable, formats: list[str], folder: Path) -> dict[str, Search]:
    """All that is compared, by name; our stores are in backticks."""
    import faiss

    vectors = unit_vectors(table)
    assert table.columns is not None
    columns = {name: table.columns[name].to_numpy() for name in ("share", "side")}
    found = {"numpy product": product(vectors, columns)}
    for format in formats:
        path, start = folder / format, time.perf_counter()
        if not path.exists():
            write_table(table, path, format=format)
            print(f"{format}: written in {time.perf_counter() - start:.1f} s", flush=True)
        store: Any = open_store(path)
        found[f"`{format}`"] = ours(store)
        if format == "faiss":
            found["Faiss flat, IDSelector"] = faiss_selector(
                store.index, columns, lambda chosen: faiss.SearchParameters(sel=chosen)
            )
        elif format == "faiss-hnsw":
            found["Faiss HNSW, IDSelector"] = faiss_selector(
                store.index, columns, lambda chosen: faiss.SearchParametersHNSW(efSearch=128, sel=chosen)
            )
        elif format == "lancedb":
            found["LanceDB, where"] = lancedb_where(store.nodes)
        elif format == "duckdb":
            found["DuckDB, WHERE"] = duckdb_where(store.connection, table.dim)
        elif format == "qdrant":
            found["Qdrant folder, filter"] = qdrant_filter(store.client)
    return found


def measure(
    search: Search, vectors: np.ndarray, queries: np.ndarray, column: str, values: np.ndarray, share: float
) -> Any:
    """Recall@10, and milliseconds at the median and the 95th percentile, of the clock and of all threads together."""
    fits = values < share
    seconds, recalls = {"wall": [], "cpu": []}, []
    search(vectors[queries[0]], column, share)
    for query in vectors[queries]:
        start = time.perf_counter(), time.process_time()
        found = search(query, column, share)
        seconds["wall"].append(time.perf_counter() - start[0])
        seconds["cpu"].append(time.process_time() - start[1])
        assert fits[found].all()
        best = np.sort(vectors[fits] @ query)[::-1][:K]
        recalls.append(float((vectors[found] @ query >= best[-1] - 1e-6).sum() / len(best)))
    result = {"recall": float(np.mean(recalls))}
    for clock, times in seconds.items():
        result |= dict(
            zip((f"{clock}_p50", f"{clock}_p95"), (np.quantile(times, (0.5, 0.95)) * 1e3).tolist(), strict=True)
        )
    return result


def shown(value: float) -> str:
    """Two digits."""
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--nodes", type=int, default=63_436)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--slow-queries", type=int, default=5, help="Of stores that take a tenth of a second.")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="What is printed; --out has both.")
    parser.add_argument("--formats", type=str, default="faiss,faiss-hnsw,parquet,lancedb,duckdb,qdrant")
    parser.add_argument("--stores", type=Path, help="Keep the stores here, and use those that are there.")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = make_table(args)
    vectors = unit_vectors(table)
    drawn = np.random.default_rng(1).choice(len(table), args.queries, replace=False)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.stores or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        methods = searches(table, args.formats.split(","), folder)
        for column in ("share", "side"):
            assert table.columns is not None
            values = table.columns[column].to_numpy()
            print(f"\n| {column} | " + " | ".join(f"{share:.2%}" for share in SHARES) + " |")
            print("|---|" + len(SHARES) * "---|")
            for name, search in methods.items():
                few = any(slow in name for slow in SLOW)
                cells = []
                for share in SHARES:
                    queries = drawn[: args.slow_queries] if few else drawn
                    found = measure(search, vectors, queries, column, values, share)
                    results.append({"method": name, "column": column, "share": share, **found})
                    recall = "" if found["recall"] > 0.9995 else f" ({found['recall']:.2f})"
                    cells.append(f"{shown(found[f'{args.clock}_p50'])} / {shown(found[f'{args.clock}_p95'])}{recall}")
                print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    write_rows(args.out, rows_of(results, len(table), args.clock))


def rows_of(results: list[dict[str, Any]], num_nodes: int, clock: str) -> list[dict[str, Any]]:
    """Each of our stores beside the numpy product at two shares; all other figures as they are, in the first line."""
    found = {(item["method"], item["column"], item["share"]): item for item in results}
    lines = []
    for (method, column, share), item in found.items():
        if not method.startswith("`") or share not in IN_ROWS:
            continue
        other = found["numpy product", column, share]
        ours, reference = item[f"{clock}_p50"], other[f"{clock}_p50"]
        more = {"recall": item["recall"], "p95": item[f"{clock}_p95"]} | ({} if lines else {"all": results})
        name = f"filtered search, {method} over numpy, {column} {share:.2%}"
        size = {"nodes": num_nodes}
        lines.append(row(name, size, ours=ours, reference=reference, unit="ms", ratio=ours / reference, **more))
    return lines


if __name__ == "__main__":
    main()
