from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from mmgraph.data.relation import Relation
from mmgraph.errors import InputError


@pytest.mark.parametrize(
    ("edge_index", "message"),
    [
        (torch.zeros(3, 2, dtype=torch.int64), "edge_index must have shape [2, num_edges], got [3, 2]"),
        (torch.zeros(2, dtype=torch.int64), "edge_index must have shape [2, num_edges], got [2]"),
        (torch.zeros(2, 2), "edge_index must be int64, got torch.float32"),
    ],
)
def test_bad_edge_index(edge_index: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Relation(edge_index, "a", "a")


def test_attributes_have_one_row_per_edge() -> None:
    with pytest.raises(InputError, match=re.escape("edge attribute 'w' must have 2 rows, got shape [3]")):
        Relation(torch.zeros(2, 2, dtype=torch.int64), "a", "a", attributes={"w": torch.zeros(3)})


@pytest.mark.parametrize("index", [torch.tensor([2, 0]), torch.tensor([True, False, True])])
def test_take_keeps_attributes_with_their_edges(index: Tensor) -> None:
    ends = torch.tensor([[0, 1, 2], [3, 4, 5]])
    part = Relation(ends, "a", "b", symmetric=True, attributes={"w": ends[0].float(), "v": ends.T}).take(index)
    assert part.num_edges == 2
    assert part.symmetric
    assert part.attributes["w"].tolist() == part.edge_index[0].tolist()
    assert part.attributes["v"].tolist() == part.edge_index.T.tolist()


def test_a_symmetric_relation_names_no_reverse() -> None:
    with pytest.raises(InputError, match="a symmetric relation is its own reverse, got reverse 'b'"):
        Relation(torch.zeros(2, 0, dtype=torch.int64), "a", "a", symmetric=True, reverse="b")
