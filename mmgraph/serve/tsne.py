"""t-SNE in a process of its own.

It can be stopped, takes no time from the threads that answer, and if the library crashes, as it does on tables with many
equal vectors, the server does not.

python -m mmgraph.serve.tsne vectors.npy points.npy
"""

from __future__ import annotations

import os
import sys

import numpy as np

from mmgraph.report.map import project


def main(source: str, target: str) -> None:
    """Place vectors `[n, dim]` of a file on a plane, `[n, 2]`; equal vectors in the same point."""
    os.nice(5)
    vectors = np.load(source)
    distinct, first, copies = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    if len(distinct) == len(vectors):
        points = project(vectors, seed=0)
    else:
        points = project(vectors[first], seed=0)[copies.ravel()]
    np.save(target, points.astype(np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
