from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.synthetic.blocks import EdgeBlock, block_rows, keyed, num_blocks, shuffled_ids


@given(num_nodes=st.integers(1, 5000), seed=st.integers(0, 2**32), strings=st.booleans())
def test_ids_are_distinct_and_those_of_some_rows_are_those_of_all(num_nodes: int, seed: int, strings: bool) -> None:
    ids = shuffled_ids(np.arange(num_nodes), num_nodes, seed, strings=strings)
    assert ids.type == (pa.string() if strings else pa.int64())
    assert len(set(ids.to_pylist())) == num_nodes
    some = np.arange(num_nodes)[::-3]
    assert shuffled_ids(some, num_nodes, seed, strings=strings).equals(ids.take(pa.array(some)))


@pytest.mark.parametrize("num_nodes", [2**30, 2**40])
def test_ids_stay_distinct_in_very_large_graphs(num_nodes: int) -> None:
    rows = np.concatenate([np.arange(20_000), np.arange(num_nodes - 20_000, num_nodes)])
    ids = shuffled_ids(rows, num_nodes, 3, strings=False).to_numpy()
    assert len(np.unique(ids)) == len(rows)
    assert ids.min() >= 0
    assert abs(np.corrcoef(rows, ids)[0, 1]) < 0.05


@given(length=st.integers(0, 100), size=st.integers(1, 30))
def test_blocks_cover_all_rows_once(length: int, size: int) -> None:
    rows = [np.arange(length)[block_rows(length, block, size)] for block in range(num_blocks(length, size))]
    assert np.concatenate([[], *rows]).tolist() == list(range(length))
    assert all(len(block) for block in rows)


def test_every_purpose_has_random_numbers_of_its_own() -> None:
    drawn = [keyed(*key).random(3).tolist() for key in ((0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1))]
    assert len({tuple(values) for values in drawn}) == 4
    assert keyed(0, "a", 1).random(3).tolist() == drawn[0]


def edges(part: list[int] | None) -> EdgeBlock:
    index = np.array([[0, 1, 2, 3], [4, 5, 6, 7]])
    return EdgeBlock(index, {"time": index[0] * 10}, None if part is None else np.array(part, dtype=np.int8))


def test_split_and_join() -> None:
    kept, out = edges([0, 2, 0, 1]).split()
    assert kept.edge_index.tolist() == [[0, 2], [4, 6]]
    assert out.edge_index.tolist() == [[1, 3], [5, 7]]
    assert out.attributes["time"].tolist() == [10, 30]
    assert out.part is not None
    assert out.part.tolist() == [2, 1]
    both = EdgeBlock.join([kept, out])
    assert both.edge_index.tolist() == [[0, 2, 1, 3], [4, 6, 5, 7]]
    assert both.attributes["time"].tolist() == [0, 20, 10, 30]
    assert both.part is not None
    assert both.part.tolist() == [0, 0, 2, 1]
    whole, nothing = edges(None).split()
    assert (len(whole), len(nothing)) == (4, 0)
    assert EdgeBlock.join([edges(None)]).part is None
