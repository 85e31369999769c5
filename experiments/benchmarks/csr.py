"""Time of building the CSR of a graph, beside scipy (`coo_matrix.tocsr` and `sort_indices`).

Both get edges in random order and give rows in ascending order; results must be equal. Ours also carries a type along
with each edge, as scipy carries a value.

    python experiments/benchmarks/csr.py [--sizes 100000,1000000 1000000,10000000] [--repeats 5] [--out csr.json]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
import torch
from random_graphs import random_edges
from timing import alternate, row, run_sizes, size_parser

from mmgraph.data.csr import CSR


def measure(num_nodes: int, num_edges: int, repeats: int) -> dict[str, Any]:
    """The line of one graph."""
    edge_index = random_edges(num_nodes, num_edges)
    edge_type = torch.arange(edge_index.size(1)) % 3
    source, target, kind = edge_index[0].numpy(), edge_index[1].numpy(), edge_type.numpy()

    def scipy_csr() -> scipy.sparse.csr_matrix:
        matrix = scipy.sparse.coo_matrix((kind, (target, source)), shape=(num_nodes, num_nodes)).tocsr()
        matrix.sort_indices()
        return matrix

    ours, theirs = CSR.from_edges(edge_index, num_nodes, edge_type), scipy_csr()
    for mine, other in ((ours.indptr, theirs.indptr), (ours.indices, theirs.indices), (ours.edge_type, theirs.data)):
        if not np.array_equal(mine.numpy(), other):
            raise SystemExit("results differ")
    del ours, theirs
    forms = {"ours": lambda: CSR.from_edges(edge_index, num_nodes, edge_type), "scipy": scipy_csr}
    times = alternate(forms, repeats=repeats)
    size = {"nodes": num_nodes, "edges": edge_index.size(1)}
    return row(
        "CSR build, speed-up over scipy",
        size,
        ours=times.median("ours"),
        reference=times.median("scipy"),
        unit="s",
        ratio=times.ratio("scipy", "ours"),
        ratio_cpu=times.ratio("scipy", "ours", clock="cpu"),
        ours_cpu=times.median("ours", clock="cpu"),
        reference_cpu=times.median("scipy", clock="cpu"),
    )


def main() -> None:
    args = size_parser(__doc__, repeats=5).parse_args()
    run_sizes(args, lambda nodes, edges: [measure(nodes, edges, args.repeats)])


if __name__ == "__main__":
    main()
