from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import mmgraph.encoders.efficientnet as module
from mmgraph.encoders.efficientnet import EfficientNetEncoder
from mmgraph.errors import InputError


def test_equals_the_plain_network(efficientnet: EfficientNetEncoder, images: list[Path]) -> None:
    """Reference: no folded batch norms, no channels-last, one image at a time, preprocessing written out."""
    from PIL import Image

    network = module._load_network().eval()
    vectors = efficientnet.encode(images).vectors
    for row, path in enumerate(images[:6]):
        square = Image.open(path).convert("RGB").resize((128, 128), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1).float()
        with torch.no_grad():
            expected = network(((pixels - 127) / 128)[None])[0]
        torch.testing.assert_close(vectors[row], expected, atol=1e-4, rtol=1e-4)


def test_no_vector_depends_on_its_neighbours(efficientnet: EfficientNetEncoder, images: list[Path]) -> None:
    """Bit for bit, whatever the number and the order of the images beside it."""
    together = efficientnet.encode(images).vectors
    for order in ([0], [3, 2, 1], list(range(19, -1, -1)), list(range(5, 20))):
        assert torch.equal(efficientnet.encode([images[i] for i in order]).vectors, together[order])


def test_image_size_is_part_of_the_feature_space(efficientnet: EfficientNetEncoder, images: list[Path]) -> None:
    small = EfficientNetEncoder(image_size=64)
    assert small.spec.encoder == "efficientnet-lite0?image_size=64"
    assert small.fingerprint != efficientnet.fingerprint
    similarity = torch.cosine_similarity(small.encode(images[:4]).vectors, efficientnet.encode(images[:4]).vectors)
    assert (similarity < 0.99).all()


@pytest.mark.parametrize("size", [0, 16, 5000])
def test_image_size_out_of_range(size: int) -> None:
    with pytest.raises(InputError, match=rf"image_size must lie in 32..1024, got {size}"):
        EfficientNetEncoder(image_size=size)


def test_altered_canary_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANARY", (*module.CANARY[:-1], 0.5))
    with pytest.raises(InputError, match="fails its self-check: .* off by 0.5"):
        EfficientNetEncoder()


def test_unknown_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"57934424.pth is not the known file"):
        EfficientNetEncoder()
