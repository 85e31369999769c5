from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmgraph.nn.decoders import CosineDecoder, LinkDecoder, ProductDecoder, RelationDecoder
from mmgraph.testing.factories import randomise

DECODERS = {
    "cosine": lambda: CosineDecoder(0.1),
    "relation": lambda: RelationDecoder(6, 3, rank=2, temperature=0.1),
    "product": lambda: ProductDecoder(6, 3, hidden=4, temperature=0.1),
}


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(4, 6, generator=random), torch.tensor([0, 2, 1, 0]), torch.randn(4, 6, generator=random)


@pytest.mark.parametrize("name", DECODERS)
def test_all_start_at_the_cosine(name: str, inputs) -> None:
    query, code, found = inputs
    expected = torch.nn.functional.cosine_similarity(query.unsqueeze(1), found.unsqueeze(0), dim=2) / 0.1
    torch.testing.assert_close(DECODERS[name]()(query, code, found), expected)


@pytest.mark.parametrize("name", DECODERS)
def test_pairs_are_the_diagonal(name: str, inputs, monkeypatch) -> None:
    decoder: LinkDecoder = randomise(DECODERS[name]())
    query, code, found = inputs
    whole = decoder(query, code, found)
    torch.testing.assert_close(decoder.pairs(query, code, found), whole.diagonal())
    monkeypatch.setattr("mmgraph.nn.decoders.ROWS_AT_ONCE", 1)
    torch.testing.assert_close(decoder(query, code, found), whole)


@pytest.mark.parametrize("name", ["relation", "product"])
def test_relations_and_directions_differ(name: str, inputs) -> None:
    decoder: LinkDecoder = randomise(DECODERS[name]())
    query, _, found = inputs
    scores = [decoder(query, torch.full((4,), code), found) for code in (0, 1)]
    assert not torch.allclose(scores[0], scores[1])
