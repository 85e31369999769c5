from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.errors import InputError
from mmgraph.tasks.alignment import (
    SCORES_AT_ONCE,
    AlignedGraph,
    CosineScores,
    PairSet,
    chunk_size,
    refuse_leaks,
    scores_at_once,
)


def test_shuffled_graphs_align_to_the_same_order(setting: Any) -> None:
    graph = setting.graph
    shuffled = graph.subgraph(torch.randperm(graph.num_nodes))
    one, two = AlignedGraph(graph), AlignedGraph(shuffled)
    assert one.ids == two.ids
    assert torch.equal(one.node_type, two.node_type)
    table = setting.table.take(torch.randperm(len(setting.table)))
    assert torch.equal(one.unit_vectors(setting.table), two.unit_vectors(table))
    keys = [set(map(tuple, aligned.edges().T.tolist())) for aligned in (one, two)]
    assert keys[0] == keys[1]
    assert (one.ids.values[one.position.numpy()] == graph.node_ids.values).all()


def test_zero_vectors_stay_zero(setting: Any) -> None:
    vectors = setting.table.vectors.clone()
    vectors[0] = 0
    unit = AlignedGraph(setting.graph).unit_vectors(replace(setting.table, vectors=vectors))
    norms = torch.linalg.vector_norm(unit, dim=1)
    assert int((norms == 0).sum()) == 1
    assert torch.allclose(norms[norms > 0], torch.ones(239))


@pytest.mark.parametrize("count", [17, 151, 1001])
def test_equal_candidates_tie_exactly(count: int) -> None:
    distinct = torch.nn.functional.normalize(torch.randn(5, 64), dim=1)
    which = torch.randint(5, (count,))
    scores = CosineScores(distinct[which])(torch.randn(9, 64))
    assert scores.shape == (9, count)
    for group in range(5):
        same = scores[:, which == group]
        assert (same == same[:, :1]).all()
    assert torch.allclose(CosineScores(distinct)(distinct), distinct @ distinct.T, atol=1e-6)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_pair_set(pairs: list[tuple[int, int]]) -> None:
    known = PairSet(torch.tensor(pairs).T, 7)
    everything = [(a, b) for a in range(7) for b in range(7)]
    assert known.contains(torch.tensor(everything).T).tolist() == [pair in set(pairs) for pair in everything]
    first = torch.tensor([6, 0, 3])
    row, partner = known.of(first)
    found = sorted(zip(first[row].tolist(), partner.tolist(), strict=True))
    assert found == sorted(pair for pair in set(pairs) if pair[0] in (6, 0, 3))


def test_a_planted_leak_is_found(setting: Any) -> None:
    aligned = AlignedGraph(setting.graph)
    refuse_leaks("here", aligned, torch.empty(2, 0, dtype=torch.int64))
    edge = aligned.edges()[:, 5:6]
    for held_out in (edge, edge.flip(0)):
        with pytest.raises(InputError, match="here: 1 held-out pairs are edges of graph 'toy'"):
            refuse_leaks("here", aligned, held_out)


def test_scores_at_once_bound_a_chunk() -> None:
    assert chunk_size(10) == SCORES_AT_ONCE // 10
    with scores_at_once(25):
        assert chunk_size(10) == 2
        assert chunk_size(100) == 1
    assert chunk_size(10) == SCORES_AT_ONCE // 10
    with pytest.raises(InputError, match="at least 1, got 0"), scores_at_once(0):
        pass
