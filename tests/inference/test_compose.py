from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mmgraph as mg
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.inference.compose import compose_query
from mmgraph.inference.table import EmbeddingTable

TABLE = EmbeddingTable(
    NodeIds(["car", "bike", "user", "zero"]),
    torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 5.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
    ("item", "user"),
    torch.tensor([0, 0, 1, 0]),
    "shop",
    "m",
)

WORDS = {"red": [0.0, 4.0, 0.0], "car": [2.0, 0.0, 0.0], "away": [-7.0, 0.0, 0.0], "void": [0.0, 0.0, 0.0]}


class Fake:
    """A `QueryEncoder` of three words; no vector has unit length."""

    def __init__(self, dim: int = 3) -> None:
        self.dim, self.asked = dim, []

    def encode(self, text: Sequence[Any] | None = None, image: Sequence[Any] | None = None) -> Tensor:
        self.asked.append((text, image))
        found = torch.zeros(1, self.dim)
        if text is not None:
            found[0, :3] = torch.tensor(WORDS[text[0]])[: self.dim]
        if image is not None:
            found[0, 2] += 1.0
        return found


def compose(**parts: Any) -> list[float]:
    return compose_query(TABLE, encoder=Fake(), **parts).vector[0].tolist()


def unit(*values: float) -> Any:
    norm = math.sqrt(sum(value * value for value in values))
    return pytest.approx([value / norm for value in values])


def test_parts_by_hand() -> None:
    assert compose(like="car") == unit(1, 0, 0)
    assert compose(text="red") == unit(0, 1, 0)
    assert compose(text="red", weight=9.0) == unit(0, 1, 0)  # beside nothing a weight says nothing
    assert compose(like="car", text="red") == unit(1, 1, 0)
    assert compose(like="car", text="red", weight=0.5) == unit(1, 0.5, 0)
    assert compose(like="car", text="red", without="away", without_weight=2.0) == unit(3, 1, 0)
    assert compose(text="red", without="car") == unit(-0.5, 1, 0)
    assert compose(like="user", without="red") == unit(1 / math.sqrt(2), 1 / math.sqrt(2) - 0.5, 0)
    # Several nodes: the mean of their directions, whatever their lengths.
    assert compose(like=["car", "bike", "car"]) == unit(1, 0, 1)
    # A text and an image are one item.
    assert compose(text="red", image=Path("a.png")) == unit(0, 4, 1)


def test_the_nodes_of_the_query_are_excluded_and_other_types_are_found() -> None:
    query = compose_query(TABLE, like=["bike", "car"])
    assert query.exclude.tolist() == [[1, 0]]
    found = TABLE.search(query.vector, 9, exclude=query.exclude)
    assert set(found.ids()[0]) == {"user", "zero"}
    assert compose_query(TABLE, text="red", encoder=Fake()).exclude.shape == (1, 0)
    query = compose_query(TABLE, like="car")
    assert TABLE.search(query.vector, 1, node_type="user", exclude=query.exclude).ids() == [["user"]]
    free = compose_query(TABLE, text="red", encoder=Fake())
    assert TABLE.search(free.vector, 1, exclude=free.exclude).ids() == [["user"]]


def test_nodes_alone_are_the_search_of_their_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    table = EmbeddingTable(
        NodeIds(list(range(50))), torch.randn(50, 8, generator=generator), ("n",), torch.zeros(50).long(), "g", "m"
    )
    query = compose_query(table, like=7)
    expected = table.search(table.vectors_of([7]), 10, exclude=table.positions([7]))
    assert table.search(query.vector, 10, exclude=query.exclude).ids() == expected.ids()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "expected a node, a text or an image, got nothing"),
        ({"without": "red"}, "nothing to take 'red' away from"),
        ({"text": "  "}, "expected a text, got '  '"),
        ({"text": "red", "without": ""}, "expected a text to stay away from, got ''"),
        ({"text": "red", "without": " RED "}, "'red' is asked for and excluded"),
        ({"like": []}, "got an empty list"),
        ({"like": "plane"}, "'plane'"),
        ({"like": "zero"}, "the vector of node 'zero' is zero"),
        ({"like": "car", "text": "away"}, "its parts cancel out"),
        ({"like": "car", "without": "car", "without_weight": 1.0}, "its parts cancel out"),
        ({"text": "void"}, "'void' has a zero vector"),
        ({"like": "car", "text": "red", "weight": 0.0}, "weight must be above 0, got 0.0"),
        ({"like": "car", "without": "red", "without_weight": math.nan}, "without_weight must be above 0, got nan"),
    ],
)
def test_bad_queries(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        compose(**parts)
    assert "\n" not in str(caught.value)


def test_content_needs_the_encoder_of_the_table() -> None:
    with pytest.raises(InputError, match="an encoder is needed for 'red', got none"):
        compose_query(TABLE, like="car", text="red")
    with pytest.raises(InputError, match="width 4, but those of 'shop' have 3"):
        compose_query(TABLE, text="red", encoder=Fake(4))


def test_it_is_public() -> None:
    assert mg.compose_query is compose_query
