from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.csr import CSR
from mmgraph.errors import InputError
from mmgraph.seeding import generator


def random_edges(num_nodes: int, num_edges: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = generator(seed)
    return torch.randint(num_nodes, (2, num_edges), generator=g), torch.randint(3, (num_edges,), generator=g)


@settings(max_examples=25, deadline=None)
@given(num_nodes=st.integers(1, 8), num_edges=st.integers(0, 30), seed=st.integers(0, 1000))
def test_rows_hold_exactly_the_sources_of_each_node_in_order(num_nodes: int, num_edges: int, seed: int) -> None:
    edge_index, edge_type = random_edges(num_nodes, num_edges, seed)
    csr = CSR.from_edges(edge_index, num_nodes, edge_type)
    assert (csr.num_nodes, csr.num_edges) == (num_nodes, num_edges)
    for node in range(num_nodes):
        row = slice(int(csr.indptr[node]), int(csr.indptr[node + 1]))
        edges = zip(edge_index[0].tolist(), edge_index[1].tolist(), edge_type.tolist(), strict=True)
        expected = sorted((source, kind) for source, target, kind in edges if target == node)
        assert list(zip(csr.indices[row].tolist(), csr.edge_type[row].tolist(), strict=True)) == expected
        assert int(csr.degrees[node]) == len(expected)


def test_order_of_edges_changes_nothing_and_types_default_to_zero() -> None:
    edge_index, edge_type = random_edges(20, 100, 0)
    shuffled = torch.randperm(100, generator=generator(1))
    one, other = (
        CSR.from_edges(edge_index, 20, edge_type),
        CSR.from_edges(edge_index[:, shuffled], 20, edge_type[shuffled]),
    )
    assert one.indices.equal(other.indices)
    assert one.edge_type.equal(other.edge_type)
    assert one.digest() == other.digest()
    untyped = CSR.from_edges(edge_index, 20)
    assert untyped.edge_type.equal(torch.zeros(100, dtype=torch.int64))
    assert untyped.digest() == one.digest()


@pytest.mark.parametrize("num_types", [1, 3])
def test_rows_filled_by_counting_are_those_of_sorting(num_types: int, monkeypatch: pytest.MonkeyPatch) -> None:
    edge_index, _ = random_edges(40, 3000, 5)  # rows above and below 32 entries are sorted in two ways
    edge_index = torch.cat([edge_index, torch.tensor([[3], [39]]).expand(2, 50)], dim=1)
    edge_type = 7 * torch.randint(num_types, (3050,), generator=generator(6))
    one = CSR.from_edges(edge_index, 41, edge_type)
    monkeypatch.setattr("mmgraph.data.csr.COUNTED_FROM", 0)
    other = CSR.from_edges(edge_index, 41, edge_type)
    for name in ("indptr", "indices", "edge_type"):
        assert getattr(one, name).equal(getattr(other, name))
    assert CSR.from_edges(torch.empty(2, 0, dtype=torch.int64), 3).indptr.tolist() == [0, 0, 0, 0]


def test_digest_follows_edges_and_number_of_nodes() -> None:
    edge_index, _ = random_edges(20, 100, 0)
    digest = CSR.from_edges(edge_index, 20).digest()
    assert CSR.from_edges(edge_index[:, :-1], 20).digest() != digest
    assert CSR.from_edges(edge_index, 21).digest() != digest
    assert CSR.from_edges(edge_index.flip(0), 20).digest() != digest


@pytest.mark.parametrize(
    ("edge_index", "edge_type", "message"),
    [
        (torch.zeros(3, 2, dtype=torch.int64), None, r"shape \[2, num_edges\], got \[3, 2\]"),
        (torch.tensor([[0], [5]]), None, r"nodes 0\.\.4, got 0\.\.5"),
        (torch.tensor([[-1], [0]]), None, r"nodes 0\.\.4, got -1\.\.0"),
        (torch.tensor([[0], [1]]), torch.zeros(2, dtype=torch.int64), r"edge_type must have shape \[1\], got \[2\]"),
    ],
)
def test_bad_edges_are_refused(edge_index: torch.Tensor, edge_type: torch.Tensor | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CSR.from_edges(edge_index, 5, edge_type)
