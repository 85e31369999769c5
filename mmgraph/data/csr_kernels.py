"""Compiled inner loops that build compressed sparse rows in pieces; see `mmgraph.data.csr_file`.

Import this module inside functions: Numba takes half a second to import.
"""

from __future__ import annotations

import numpy as np

from mmgraph.compiled import compiled

Array = np.ndarray


@compiled
def count_targets(target: Array, counts: Array) -> None:
    """Add the number of messages into each node.

    Args:
        target: `[num_messages]`.
        counts: `[num_nodes]`, int64, is added to.
    """
    for edge in range(target.size):
        counts[target[edge]] += 1


@compiled
def fill_rows(
    source: Array, target: Array, kind: int, first: int, last: int, place: Array, indices: Array, edge_type: Array
) -> None:
    """Put the messages into nodes `first .. last - 1` where their rows have room, in the order given.

    Args:
        source: `[num_messages]`.
        target: `[num_messages]`.
        kind: Type of all these messages.
        first: First node of the range.
        last: One more than the last node.
        place: `[last - first]`, int64: where the next message of each node goes; is moved on.
        indices: `[room]`: sources, is filled.
        edge_type: `[room]`: types, is filled.
    """
    for edge in range(target.size):
        node = target[edge]
        if first <= node < last:
            at = place[node - first]
            indices[at] = source[edge]
            edge_type[at] = kind
            place[node - first] = at + 1


@compiled
def sort_rows(starts: Array, indices: Array, edge_type: Array, num_types: int) -> None:
    """Sort every row by source and then by type, in place.

    Args:
        starts: `[num_rows + 1]`: where the rows start, and where the last one ends.
        indices: `[room]`, sources.
        edge_type: `[room]`, all below `num_types`.
        num_types: One more than the largest type.
    """
    longest = 0
    for row in range(starts.size - 1):
        longest = max(longest, starts[row + 1] - starts[row])
    keys = np.empty(longest, np.int64)
    for row in range(starts.size - 1):
        start, size = starts[row], starts[row + 1] - starts[row]
        if size < 2:
            continue
        for at in range(size):
            keys[at] = np.int64(indices[start + at]) * num_types + edge_type[start + at]
        if size <= 32:
            for at in range(1, size):
                key, slot = keys[at], at
                while slot > 0 and keys[slot - 1] > key:
                    keys[slot] = keys[slot - 1]
                    slot -= 1
                keys[slot] = key
        else:
            keys[:size].sort()
        for at in range(size):
            indices[start + at] = keys[at] // num_types
            edge_type[start + at] = keys[at] % num_types
