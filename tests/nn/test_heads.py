from __future__ import annotations

import pytest
import torch

from mmgraph.data.features import FeatureSpec
from mmgraph.errors import InputError
from mmgraph.nn.heads import DistanceDecoder, FeatureDecoder

SPECS = [FeatureSpec("text", "fake", 5), FeatureSpec("image", "fake", 7)]


@pytest.mark.parametrize("num_nodes", [0, 1, 9])
def test_feature_decoder_has_one_output_per_modality(num_nodes: int) -> None:
    decoder = FeatureDecoder(8, SPECS)
    x = torch.randn(num_nodes, 8)
    out = decoder(x)
    assert {name: tuple(values.shape) for name, values in out.items()} == {
        "text": (num_nodes, 5),
        "image": (num_nodes, 7),
    }
    for modality in out:
        assert torch.equal(decoder.decode(x, modality), out[modality])
    sum(values.sum() for values in out.values()).backward()
    assert all(parameter.grad is not None for parameter in decoder.parameters())


def test_feature_decoder_errors() -> None:
    with pytest.raises(InputError, match="unknown modality 'txt'; choose from: text, image"):
        FeatureDecoder(8, SPECS).decode(torch.randn(2, 8), "txt")
    with pytest.raises(InputError, match="one feature space per modality"):
        FeatureDecoder(8, [*SPECS, FeatureSpec("text", "other", 5)])


def test_distance_decoder_is_symmetric_to_the_bit_and_equals_its_definition() -> None:
    decoder = DistanceDecoder(8)
    a, b = torch.randn(20, 8), torch.randn(20, 8)
    assert torch.equal(decoder(a, b), decoder(b, a))
    one, other = decoder.psi(torch.cat([a, b], dim=1)), decoder.psi(torch.cat([b, a], dim=1))
    assert not torch.allclose(one, other), "psi itself depends on the order"
    torch.testing.assert_close(decoder(a, b), ((one + other) / 2).flatten())
    assert decoder(a[:0], b[:0]).shape == (0,)
