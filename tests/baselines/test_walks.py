from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from mmgraph.baselines.node2vec import Node2VecConfig, skip_gram_loss
from mmgraph.baselines.walks import random_walks
from mmgraph.data.csr import CSR

# 0 - 1, 0 - 2, 1 - 2 is a triangle; 3 hangs on 1.
PAIRS = [(0, 1), (0, 2), (1, 2), (1, 3)]


def walk(p: float, q: float, *, start: int = 0, count: int = 20_000, length: int = 3, key: int = 7) -> np.ndarray:
    edges = torch.tensor(PAIRS + [(b, a) for a, b in PAIRS]).t()
    csr = CSR.from_edges(edges, 4)
    starts = np.full(count, start, dtype=np.int64)
    return random_walks(csr.indptr.numpy(), csr.indices.numpy(), starts, length, p, q, np.uint64(key))


def test_walks_follow_edges() -> None:
    edges = {*PAIRS, *((b, a) for a, b in PAIRS)}
    walks = walk(0.5, 2.0, count=200, length=8)
    assert walks.shape == (200, 8)
    assert {(a, b) for row in walks.tolist() for a, b in pairwise(row)} <= edges


@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (0.25, 4.0), (4.0, 0.5)])
def test_second_steps_have_the_published_probabilities(p: float, q: float) -> None:
    walks = walk(p, q)
    third = Counter(row[2] for row in walks.tolist() if row[1] == 1)  # came from 0, stands at 1
    weights = {0: 1 / p, 2: 1.0, 3: 1 / q}  # back; a neighbour of 0; none
    total, seen = sum(weights.values()), sum(third.values())
    for node, weight in weights.items():
        assert third[node] / seen == pytest.approx(weight / total, abs=0.02)


def test_walks_repeat_by_key() -> None:
    assert np.array_equal(walk(1.0, 1.0, count=50), walk(1.0, 1.0, count=50))
    assert not np.array_equal(walk(1.0, 1.0, count=50), walk(1.0, 1.0, count=50, key=8))


def test_skip_gram_loss_against_a_literal_sum() -> None:
    random = torch.Generator().manual_seed(0)
    centre, context = torch.randn(2, 4, 3, generator=random)
    walks, negatives = torch.tensor([[0, 1, 0, 2]]), torch.tensor([3, 3, 1])
    config = Node2VecConfig(window=2, num_negatives=5)
    row = walks[0].tolist()
    pairs = [(row[i], row[j]) for i in range(4) for j in range(4) if abs(i - j) <= 2 and row[i] != row[j]]
    found = torch.stack([-torch.nn.functional.logsigmoid(centre[a] @ context[b]) for a, b in pairs]).mean()
    noise = torch.stack(
        [-torch.nn.functional.logsigmoid(-centre[a] @ context[b]) for a in row for b in negatives.tolist()]
    ).mean()
    assert torch.allclose(skip_gram_loss(centre, context, walks, negatives, config), found + 5 * noise)
