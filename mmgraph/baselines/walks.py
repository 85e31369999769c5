"""Random walks of second order, compiled. Import inside functions: Numba takes half a second to import."""

from __future__ import annotations

import numpy as np

from mmgraph.compiled import compiled
from mmgraph.data.kernels import Array, mix


@compiled
def random_walks(
    indptr: Array, indices: Array, starts: Array, length: int, p: float, q: float, key: np.uint64
) -> Array:
    """Walk from each start; the next node after `t, v` is a neighbour `x` of `v`, drawn in proportion to its weight.

    The weight is `1 / p` if `x` is `t`, 1 if `x` is a neighbour of `t`, else `1 / q` (node2vec, section 3.2.2). It is
    drawn by rejection: uniformly, then accepted with its weight over the greatest one (Yang et al., 2019, KnightKing,
    SOSP), so that nothing is stored per edge.

    Args:
        indptr: `[num_nodes + 1]`.
        indices: `[num_edges]`, ascending within a row, edges in both directions.
        starts: `[num_walks]`: nodes that have a neighbour.
        length: Nodes per walk.
        p: Return parameter.
        q: In-out parameter.
        key: Random key of this call.

    Returns:
        `[num_walks, length]`, int64.
    """
    walks = np.empty((starts.size, length), np.int64)
    greatest = max(1.0, 1.0 / p, 1.0 / q)
    for row in range(starts.size):
        state = mix(key ^ mix(np.uint64(row)))
        walks[row, 0] = starts[row]
        for at in range(1, length):
            here = walks[row, at - 1]
            first, last = indptr[here], indptr[here + 1]
            before = walks[row, at - 2] if at > 1 else -1
            while True:
                state = mix(state)
                other = indices[first + int((state >> np.uint64(11)) * (1.0 / 9007199254740992.0) * (last - first))]
                if before < 0:
                    break
                weight = 1.0 / q
                if other == before:
                    weight = 1.0 / p
                else:
                    start, end = indptr[before], indptr[before + 1]
                    place = start + np.searchsorted(indices[start:end], other)
                    if place < end and indices[place] == other:
                        weight = 1.0
                state = mix(state)
                if (state >> np.uint64(11)) * (1.0 / 9007199254740992.0) * greatest < weight:
                    break
            walks[row, at] = other
    return walks
