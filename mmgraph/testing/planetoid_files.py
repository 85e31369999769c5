"""Tiny datasets in the layout of Planetoid, for tests."""

from __future__ import annotations

import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import scipy.sparse

NUM_TRAIN, NUM_ALL, NUM_TEST, NUM_WORDS, NUM_TOPICS = 6, 520, 10, 4, 3
"""Papers in `x`, in `allx` and in `tx`; columns of words and of topics. 500 papers after the first 6 are validation."""


def write_planetoid(folder: Path, name: str = "cora", *, skip: int | None = None) -> Path:
    """Write the eight files `ind.<name>.*`: pickles of the second version, as those of the time.

    Paper `i` has topic `i % 3` and the word vector `[i, 1, 0, i % 3]`; papers `i` and `i + 1` cite each other, at both
    ends; paper 0 is listed as its own neighbour and paper 1 twice, as it happens in the real files. The rows of `tx` are
    in the order of `test.index`, which is not ascending.

    Args:
        folder: Folder to create.
        name: Name of the dataset.
        skip: Position that the test index leaves out (in CiteSeer some are); its paper has no words and no topic.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = NUM_ALL + NUM_TEST + (skip is not None)
    test = [i for i in range(NUM_ALL, count) if i != skip][::-1]
    test = [*test[3:], *test[:3]]
    graph: defaultdict[int, list[int]] = defaultdict(list)
    for i in range(count - 1):
        graph[i].append(i + 1)
        graph[i + 1].append(i)
    graph[0] += [0, 1]
    rows = {"x": list(range(NUM_TRAIN)), "allx": list(range(NUM_ALL)), "tx": test}
    items: dict[str, object] = {part: scipy.sparse.csr_matrix(words(chosen)) for part, chosen in rows.items()}
    items |= {part.replace("x", "y"): topics(chosen) for part, chosen in rows.items()}
    items["graph"] = graph
    for part, item in items.items():
        (folder / f"ind.{name}.{part}").write_bytes(pickle.dumps(item, protocol=2))
    (folder / f"ind.{name}.test.index").write_text("".join(f"{i}\n" for i in test), encoding="utf-8")
    return folder


def words(papers: list[int]) -> np.ndarray:
    """Word vectors of papers, `[len(papers), 4]`, float32."""
    number = np.array(papers, dtype=np.float32)
    return np.stack([number, np.ones_like(number), np.zeros_like(number), number % NUM_TOPICS], axis=1)


def topics(papers: list[int]) -> np.ndarray:
    """Topics of papers, one-hot, `[len(papers), 3]`, int32."""
    one_hot: np.ndarray = np.eye(NUM_TOPICS, dtype=np.int32)[np.array(papers) % NUM_TOPICS]
    return one_hot
