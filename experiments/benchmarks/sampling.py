"""Sampled messages per second of `NeighborSampler`, beside the same in vectorised NumPy, and networkx on small graphs.

Target: at least 2 million messages per second on 1M nodes and 10M edges (both directions counted), one thread.
PyG's compiled sampler needs pyg-lib or torch-sparse, which are not on PyPI as wheels. The reference draws without
replacement as ours does: all messages of a frontier, a random key for each, the smallest keys of each row, and
`np.unique` to number the nodes. networkx walks breadth-first with `random.sample` at each node.

    python experiments/benchmarks/sampling.py [--sizes 100000,1000000 1000000,10000000] [--out sampling.json]
"""

from __future__ import annotations

import random
from typing import Any

import networkx
import numpy as np
import torch
from random_graphs import random_edges
from timing import alternate, row, run_sizes, size_parser

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.data.sampling import NeighborSampler

TARGET = 2e6
LARGEST_NETWORKX = 1_000_000


def graph_of(edge_index: torch.Tensor, num_nodes: int) -> MultimodalGraph:
    """A graph without features whose messages are exactly these edges."""
    once = edge_index[:, edge_index[0] < edge_index[1]]
    relations = {"link": Relation(once, "node", "node", symmetric=True)}
    node_type = torch.zeros(num_nodes, dtype=torch.int64)
    return MultimodalGraph("bench", NodeIds(np.arange(num_nodes)), ("node",), node_type, relations, {})


def numpy_sample(
    indptr: np.ndarray, indices: np.ndarray, seeds: np.ndarray, fanouts: tuple[int, ...], draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, and source and target of the messages as rows; what each node keeps is drawn without replacement."""
    nodes, frontier, sources, targets = seeds, seeds, [], []
    for fanout in fanouts:
        start, degree = indptr[frontier], indptr[frontier + 1] - indptr[frontier]
        first = np.cumsum(degree) - degree
        edge = np.repeat(start - first, degree) + np.arange(degree.sum())
        owner = np.repeat(np.arange(frontier.size), degree)
        order = np.lexsort((draw.random(edge.size), owner))
        kept = order[np.arange(edge.size) - np.repeat(first, degree) < fanout]
        sources.append(indices[edge[kept]])
        targets.append(frontier[owner[kept]])
        frontier = np.setdiff1d(sources[-1], nodes)
        nodes = np.concatenate([nodes, frontier])
    by_node = np.argsort(nodes)
    source, target = np.concatenate(sources), np.concatenate(targets)
    local = [by_node[np.searchsorted(nodes, ends, sorter=by_node)] for ends in (source, target)]
    return nodes, local[0], local[1]


def networkx_sample(graph: networkx.Graph, seeds: list[int], fanouts: tuple[int, ...]) -> int:
    """Number of messages of a breadth-first walk."""
    known, frontier, messages = dict.fromkeys(seeds, 0), seeds, []
    for fanout in fanouts:
        following = []
        for node in frontier:
            neighbours = list(graph.adj[node])
            for other in random.sample(neighbours, min(fanout, len(neighbours))):
                messages.append((other, node))
                if other not in known:
                    known[other] = len(known)
                    following.append(other)
        frontier = following
    return len(messages)


def measure(
    num_nodes: int, num_edges: int, *, batch: int, fanouts: tuple[int, ...], repeats: int
) -> list[dict[str, Any]]:
    """Lines of one graph."""
    edge_index = random_edges(num_nodes, num_edges)
    sampler = NeighborSampler(graph_of(edge_index, num_nodes), fanouts)
    indptr, indices = sampler.csr.indptr.numpy(), sampler.csr.indices.numpy()
    generator, draw = torch.Generator().manual_seed(0), np.random.default_rng(0)
    counts: dict[str, list[int]] = {"ours": [], "numpy": [], "networkx": []}

    def seeds() -> torch.Tensor:
        return torch.from_numpy(draw.choice(num_nodes, batch, replace=False, shuffle=False))

    batches = [seeds() for _ in range(8)]

    def ours() -> None:
        counts["ours"].append(sum(sampler.sample(some, generator).edge_index.size(1) for some in batches))

    def reference() -> None:
        counts["numpy"].append(sum(numpy_sample(indptr, indices, s.numpy(), fanouts, draw)[1].size for s in batches))

    forms = {"ours": ours, "numpy": reference}
    if edge_index.size(1) <= LARGEST_NETWORKX:
        graph = networkx.Graph(edge_index.t().tolist())
        graph.add_nodes_from(range(num_nodes))
        forms["networkx"] = lambda: counts["networkx"].append(
            sum(networkx_sample(graph, s.tolist(), fanouts) for s in batches)
        )
    times = alternate(forms, repeats=repeats)
    mean = {name: float(np.mean(found)) for name, found in counts.items() if found}
    if abs(mean["ours"] / mean["numpy"] - 1) > 0.01:
        raise SystemExit(f"the samplers draw different numbers of messages: {mean}")
    size = {"nodes": num_nodes, "edges": edge_index.size(1)}
    rate = {name: mean[name] / times.median(name) for name in forms}
    rate_cpu = {name: mean[name] / times.median(name, clock="cpu") for name in forms}
    large = num_edges >= 10_000_000
    return [
        row(
            f"neighbour sampling, speed-up over {name}",
            size,
            ours=rate["ours"],
            reference=rate[name],
            unit="messages/s",
            ratio=times.ratio(name, "ours"),
            target=">= 2M messages/s" if large else "",
            met=rate["ours"] >= TARGET if large else None,
            ratio_cpu=times.ratio(name, "ours", clock="cpu"),
            ours_per_cpu_second=rate_cpu["ours"],
            reference_per_cpu_second=rate_cpu[name],
            batch=batch,
            fanouts=list(fanouts),
            seconds_per_batch=times.median("ours") / len(batches),
            cpu_seconds_per_batch=times.median("ours", clock="cpu") / len(batches),
        )
        for name in forms
        if name != "ours"
    ]


def main() -> None:
    parser = size_parser(__doc__, repeats=7)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--fanouts", type=int, nargs="+", default=[10, 5])
    args = parser.parse_args()
    settings = {"batch": args.batch, "fanouts": tuple(args.fanouts), "repeats": args.repeats}
    run_sizes(args, lambda nodes, edges: measure(nodes, edges, **settings))


if __name__ == "__main__":
    main()
