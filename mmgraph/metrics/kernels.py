"""Compiled inner loops of rankings on a CPU: one pass over a row for each value that is ranked in it."""

from __future__ import annotations

import numpy as np

from mmgraph.compiled import compiled


@compiled
def count_in_rows(scores: np.ndarray, value: np.ndarray, row: np.ndarray, above: np.ndarray, equal: np.ndarray) -> None:
    """How many scores of its row lie above each value, and how many are equal to it.

    Comparing is cheaper than sorting as long as a row has few values.

    Args:
        scores: `[num_rows, num_columns]`, float32.
        value: `[num_values]`, float32.
        row: `[num_values]`.
        above: `[num_values]`, int64; written.
        equal: `[num_values]`, int64; written.
    """
    for i in range(value.size):
        line, wanted = scores[row[i]], value[i]
        # Counters as wide as the scores, so that the loop becomes vector instructions.
        more, same = np.int32(0), np.int32(0)
        for j in range(line.size):
            more += np.int32(line[j] > wanted)
            same += np.int32(line[j] == wanted)
        above[i], equal[i] = more, same


@compiled
def count_listed(scores: np.ndarray, listed: np.ndarray) -> None:
    """How many scores of each row are not minus infinity; `listed` `[num_rows]`, int64, is written."""
    for i in range(scores.shape[0]):
        line = scores[i]
        count = np.int32(0)
        for j in range(line.size):
            count += np.int32(line[j] > -np.inf)
        listed[i] = count
