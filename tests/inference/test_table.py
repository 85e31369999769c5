from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.inference import table as table_module
from mmgraph.inference.search import first_identical, top_k
from mmgraph.inference.table import EmbeddingTable
from mmgraph.testing.factories import make_graph


def make_table(vectors: torch.Tensor, ids: list[object] | None = None) -> EmbeddingTable:
    """Every third node is a `b`, the others are `a`."""
    count = len(vectors)
    return EmbeddingTable(
        node_ids=NodeIds(ids if ids is not None else [f"n{i}" for i in range(count)]),
        vectors=vectors,
        node_types=("a", "b"),
        node_type=(torch.arange(count) % 3 == 2).long(),
        graph="toy",
        model="test",
        columns=pa.table({"title": [f"title {i}" for i in range(count)]}),
    )


def brute_force(
    vectors: np.ndarray, query: np.ndarray, k: int, allowed: list[int]
) -> list[tuple[list[int], list[float]]]:
    """Literal cosine of every pair in float64; Python's sort is stable, so ties stay in order of position."""
    out = []
    for q in query.astype(np.float64):
        scores = {}
        for i in allowed:
            v = vectors[i].astype(np.float64)
            norm = np.sqrt((v * v).sum())
            scores[i] = 0.0 if norm == 0 else float((q * v).sum() / norm / np.sqrt((q * q).sum()))
        best = sorted(allowed, key=lambda i: -round(scores[i], 9))[:k]
        out.append((best, [scores[i] for i in best]))
    return out


# Few distinct values, exact in float32: many ties, among them between vectors that are not equal.
ternary = st.integers(1, 24).flatmap(
    lambda n: st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=4), min_size=n, max_size=n)
)
signs = st.lists(st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4), min_size=1, max_size=4)


@given(
    rows=st.lists(st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4), min_size=1, max_size=24),
    query=signs,
    k=st.integers(1, 30),
    filtered=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_search_equals_brute_force_with_ties(
    rows: list[list[int]], query: list[list[int]], k: int, filtered: bool
) -> None:
    # Entries of one size and width 4: norms are 2, so cosines and their ties are exact in float32.
    table = make_table(torch.tensor(rows, dtype=torch.float32))
    asked = torch.tensor(query, dtype=torch.float32)
    allowed = [i for i in range(len(rows)) if not filtered or i % 3 != 2]
    result = table.search(asked, k, node_type="a" if filtered else None)
    for row, (best, scores) in enumerate(brute_force(table.vectors.numpy(), asked.numpy(), k, allowed)):
        assert result.positions[row].tolist() == best
        np.testing.assert_allclose(result.scores[row], scores, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 200, 2**23])
@pytest.mark.parametrize("k", [1, 10, 500])
def test_search_equals_brute_force_on_real_numbers(monkeypatch: pytest.MonkeyPatch, k: int, chunk: int) -> None:
    monkeypatch.setattr(table_module, "SCORES_PER_CHUNK", chunk)
    table = make_table(torch.randn(60, 8, dtype=torch.float64).float())
    query = torch.randn(7, 8)
    result = table.search(query, k)
    assert result.positions.shape == (7, min(k, 60))
    for row, (best, scores) in enumerate(brute_force(table.vectors.numpy(), query.numpy(), k, list(range(60)))):
        assert result.positions[row].tolist() == best
        np.testing.assert_allclose(result.scores[row], scores, atol=1e-6)


@pytest.mark.parametrize("num_queries", [1, 3, 50])
@pytest.mark.parametrize("node_type", [None, "a"])
def test_identical_vectors_tie_exactly(num_queries: int, node_type: str | None) -> None:
    # A matrix product alone gives equal rows unequal scores here (edge of a block); 1003 x 33 is such a shape.
    vectors = torch.randn(1, 33).repeat(1003, 1)
    vectors[700] = torch.randn(33)
    table = make_table(vectors)
    result = table.search(torch.randn(num_queries, 33), 1003, node_type=node_type)
    for row in result.positions.tolist():
        same = [position for position in row if position != 700]
        assert same == sorted(same)
    assert (result.scores.diff(dim=1) != 0).sum() <= 2 * num_queries


def test_one_query_is_a_vector() -> None:
    table = make_table(torch.eye(4))
    result = table.search(torch.tensor([0.0, 0.0, 2.0, 1.0]), 2)
    assert result.ids() == [["n2", "n3"]]
    torch.testing.assert_close(result.scores, torch.tensor([[2.0, 1.0]]) / 5**0.5)


def test_exclude_per_query() -> None:
    table = make_table(torch.eye(4) + 0.1)
    nodes = torch.arange(4)
    own = table.search(table.vectors, 4, exclude=nodes)
    for i, row in enumerate(own.positions.tolist()):
        assert sorted(row[:3]) == [j for j in range(4) if j != i]
        assert row[3] == -1
    assert own.scores[:, 3].eq(-torch.inf).all()
    assert [len(ids) for ids in own.ids()] == [3] * 4
    assert len(own.to_pandas()) == 12
    several = table.search(table.vectors[:2], 4, exclude=torch.tensor([[0, 1], [-1, -1]]))
    assert sorted(several.ids()[0]) == ["n2", "n3"]
    assert several.ids()[1][0] == "n1"
    assert len(several.ids()[1]) == 4


def test_exclude_with_node_type() -> None:
    table = make_table(torch.eye(6) + 0.1)  # nodes 2 and 5 are of type b
    result = table.search(table.vectors[[2, 0]], 5, node_type="b", exclude=torch.tensor([2, 0]))
    assert result.ids() == [["n5"], ["n2", "n5"]]
    assert result.positions.tolist() == [[5, -1], [2, 5]]


@given(
    scores=st.integers(1, 12).flatmap(
        lambda n: st.lists(
            st.lists(st.sampled_from([0.0, 0.5, 1.0, -np.inf]), min_size=n, max_size=n), min_size=0, max_size=4
        ).filter(lambda rows: len(rows) > 0)
    ),
    k=st.integers(1, 12),
)
@settings(max_examples=50, deadline=None)
def test_top_k_equals_stable_sort(scores: list[list[float]], k: int) -> None:
    matrix = torch.tensor(scores)
    k = min(k, matrix.size(1))
    values, columns = top_k(matrix, k)
    expected, order = matrix.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, expected[:, :k])
    assert torch.equal(columns, order[:, :k])


@given(rows=ternary)
@settings(max_examples=50, deadline=None)
def test_first_identical(rows: list[list[int]]) -> None:
    vectors = torch.tensor(rows, dtype=torch.float32)
    vectors = torch.where(vectors == 0, torch.tensor([-0.0, 0.0, -0.0, 0.0]), vectors)
    assert first_identical(vectors).tolist() == [rows.index(row) for row in rows]


def test_first_identical_survives_collisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randint", lambda *args, **kwargs: torch.zeros(2, dtype=torch.int64))
    # With all weights equal, (1, 2) and (2, 1) have the same hash.
    vectors = torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])
    assert first_identical(vectors).tolist() == [0, 1, 0]


def test_zero_vectors_score_zero() -> None:
    table = make_table(torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]))
    result = table.search(torch.tensor([1.0, 0.0]), 3)
    assert result.positions.tolist() == [[1, 0, 2]]
    assert result.scores.tolist() == [[1.0, 0.0, -1.0]]


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        (torch.ones(3), {"k": 0}, "k must be at least 1, got 0"),
        (torch.ones(2), {}, r"query must have shape \[num_queries, 3\] or \[3\], got \[1, 2\]"),
        (torch.ones(1, 1, 3), {}, r"got \[1, 1, 3\]"),
        (torch.stack([torch.ones(3), torch.zeros(3)]), {}, "query 1 must be .*, got a zero vector"),
        (torch.tensor([1.0, torch.nan, 0.0]), {}, "query 0 must be .*, got NaN or infinity"),
        (torch.tensor([1.0, torch.inf, 0.0]), {}, "query 0 must be .*, got NaN or infinity"),
        (torch.ones(3), {"node_type": "c"}, "unknown node type 'c'; choose from: a, b"),
        (torch.ones(3), {"exclude": torch.tensor([0, 1])}, r"exclude must be int64 \[1\]"),
        (torch.ones(3), {"exclude": torch.tensor([5])}, r"exclude must lie in -1\.\.4, got 5\.\.5"),
    ],
)
def test_search_refuses(query: torch.Tensor, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_table(torch.randn(5, 3)).search(query, **options)  # type: ignore[arg-type]


def test_search_refuses_nan_in_the_table_by_id() -> None:
    vectors = torch.ones(5, 3)
    vectors[3, 1] = torch.nan
    with pytest.raises(InputError, match="vectors of 1 nodes hold NaN or infinity: 'n3'"):
        make_table(vectors).search(torch.ones(3))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [slice(0, 1), slice(1, 3), slice(0, 4)])
def test_not_finite_is_found_wherever_it_stands(bad: float, place: slice) -> None:
    vectors = torch.randn(5, 4)
    vectors[3, place] = bad
    with pytest.raises(InputError, match="vectors of 1 nodes hold NaN or infinity: 'n3'"):
        make_table(vectors).check_finite()
    make_table(vectors[:3] * 1e38).check_finite()


def test_vectors_of_joins_by_id() -> None:
    table = make_table(torch.arange(8.0).view(4, 2), ids=[7, 5, 3, 1])
    assert table.vectors_of([1, 7]).tolist() == [[6.0, 7.0], [0.0, 1.0]]
    assert table.positions([3]).tolist() == [2]
    with pytest.raises(InputError, match="unknown ids: 2"):
        table.vectors_of([1, 2])


def test_take_keeps_rows_together() -> None:
    table = make_table(torch.randn(5, 3)).take(torch.tensor([4, 2]))
    assert table.node_ids.values.tolist() == ["n4", "n2"]
    assert table.types == ["a", "b"]
    assert table.columns is not None
    assert table.columns["title"].to_pylist() == ["title 4", "title 2"]


def test_to_pandas() -> None:
    table = make_table(torch.randn(4, 3))
    frame = table.to_pandas()
    assert frame.columns.tolist() == ["id", "type", "title", "vector"]
    assert frame["type"].tolist() == ["a", "a", "b", "a"]
    np.testing.assert_array_equal(np.stack(frame["vector"].tolist()), table.vectors.numpy())
    hits = table.search(table.vectors[2], 2).to_pandas()
    assert hits.columns.tolist() == ["query", "rank", "id", "type", "score", "title"]
    assert hits.iloc[0].drop("score").to_dict() == {"query": 0, "rank": 1, "id": "n2", "type": "b", "title": "title 2"}
    assert hits["score"][0] == pytest.approx(1.0)


def test_for_graph_len_and_repr() -> None:
    graph = make_graph(8, 4)
    table = EmbeddingTable.for_graph(graph, torch.randn(8, 5), model="abcdef0123456789")
    assert len(table) == 8
    assert table.dim == 5
    assert repr(table) == "EmbeddingTable('toy': 8 x 5, model 'abcdef012345')"
    assert repr(table.search(torch.ones(5), 3)) == "SearchResult(1 queries, 3 each)"
    assert len(table.search(torch.ones(2, 5), 3)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": torch.ones(3, 2)}, r"vectors must have shape \[4, dim\], got \[3, 2\]"),
        ({"vectors": torch.ones(4)}, r"got \[4\]"),
        ({"vectors": torch.ones(4, 0)}, r"got \[4, 0\]"),
        ({"vectors": torch.ones(4, 2).double()}, "vectors must be float32, got torch.float64"),
        ({"node_type": torch.zeros(3, dtype=torch.int64)}, "node_type must be int64"),
        ({"node_types": ("a",)}, "node_type codes must lie in"),
        ({"columns": pa.table({"x": [1]})}, "columns must have 4 rows, got 1"),
        ({"node_ids": NodeIds(np.empty(0, dtype=np.int64)), "vectors": torch.ones(0, 2)}, "expected at least one node"),
    ],
)
def test_constructor_refuses(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(make_table(torch.ones(4, 2)), **change)  # type: ignore[arg-type]
