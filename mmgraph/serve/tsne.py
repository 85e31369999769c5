"""t-SNE in a process of its own.

It can be stopped, takes no time from the threads that answer, and if the library crashes the server does not.

python -m mmgraph.serve.tsne vectors.npy points.npy
"""

from __future__ import annotations

import os
import sys

import numpy as np

from mmgraph.report.map import project


def main(source: str, target: str) -> None:
    """Place vectors `[n, dim]` of a file on a plane, `[n, 2]`."""
    os.nice(5)
    np.save(target, project(np.load(source, allow_pickle=False), seed=0).astype(np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
