"""What every modality encoder must do. A new encoder must be added to `CASES`, or the last test fails."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmgraph.encoders
import mmgraph.testing.encoders
from mmgraph.data.features import FeatureSpec
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.encoders.base import ModalityEncoder
from mmgraph.encoders.cache import EncodingCache, content_key
from mmgraph.encoders.efficientnet import EfficientNetEncoder
from mmgraph.encoders.function import FunctionEncoder
from mmgraph.encoders.huggingface import HuggingFaceImageEncoder, HuggingFaceTextEncoder
from mmgraph.encoders.memo import MemoisedEncoder
from mmgraph.encoders.minilm import MiniLMEncoder
from mmgraph.encoders.openclip import OpenClipImageEncoder, OpenClipTextEncoder
from mmgraph.encoders.pipeline import encode_graph
from mmgraph.errors import InputError
from mmgraph.testing.encoders import FakeImageEncoder, FakeTextEncoder
from mmgraph.testing.tiny_models import make_tiny_bert, make_tiny_clip, make_tiny_vit

TEXTS = ["red cat", "blue dog sun", "moon", "a b c d e f", "sun sun", "dog cat red blue moon", "b a"]


def _letters(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[text.count(letter) for letter in "abcdmnsu"] for text in texts])


CASES: dict[type[ModalityEncoder], Callable[[Path], ModalityEncoder]] = {
    MiniLMEncoder: lambda _: MiniLMEncoder(),
    EfficientNetEncoder: lambda _: EfficientNetEncoder(),
    OpenClipTextEncoder: lambda folder: OpenClipTextEncoder("tiny-clip", str(make_tiny_clip(folder))),
    OpenClipImageEncoder: lambda folder: OpenClipImageEncoder("tiny-clip", str(make_tiny_clip(folder))),
    HuggingFaceTextEncoder: lambda folder: HuggingFaceTextEncoder(make_tiny_bert(folder)),
    HuggingFaceImageEncoder: lambda folder: HuggingFaceImageEncoder(make_tiny_vit(folder)),
    FunctionEncoder: lambda _: FunctionEncoder(_letters, FeatureSpec("text", "letters", 8), version="1"),
    MemoisedEncoder: lambda folder: MemoisedEncoder(FakeTextEncoder(max_words=50), folder),
    FakeTextEncoder: lambda _: FakeTextEncoder(max_words=50),
    FakeImageEncoder: lambda _: FakeImageEncoder(),
}


@pytest.fixture(scope="module", params=list(CASES), ids=lambda case: case.__name__)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModalityEncoder:
    return CASES[request.param](tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for i in range(7):
        coarse = random.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((30 + 5 * i, 48)).save(folder / f"{i}.png")
    return sorted(folder.glob("*.png"))


@pytest.fixture
def items(encoder: ModalityEncoder, images: list[Path]) -> list[Any]:
    """Seven different items."""
    return list(TEXTS) if encoder.spec.modality == "text" else list(images)


def test_shape_type_and_device(encoder: ModalityEncoder, items: list[Any]) -> None:
    encoded = encoder.encode(items)
    assert encoded.vectors.shape == (len(items), encoder.spec.dim)
    assert encoded.vectors.dtype == torch.float32
    assert torch.isfinite(encoded.vectors).all()
    assert (encoded.failed, encoded.truncated, encoded.num_truncated) == ((), (), 0)


@pytest.mark.parametrize("count", [0, 1])
def test_few_items(encoder: ModalityEncoder, items: list[Any], count: int) -> None:
    assert encoder.encode(items[:count]).vectors.shape == (count, encoder.spec.dim)


def test_same_call_gives_the_same_bits(encoder: ModalityEncoder, items: list[Any]) -> None:
    assert torch.equal(encoder.encode(items).vectors, encoder.encode(items).vectors)


def test_different_items_differ(encoder: ModalityEncoder, items: list[Any]) -> None:
    vectors = encoder.encode(items).vectors
    assert (torch.cdist(vectors, vectors) + torch.eye(len(items))).min() > 1e-5


def test_batch_composition_does_not_matter(encoder: ModalityEncoder, items: list[Any]) -> None:
    together = encoder.encode(items).vectors
    scale = together.abs().max()
    for row, item in enumerate(items):
        assert (encoder.encode([item]).vectors[0] - together[row]).abs().max() < 1e-5 * scale
    assert (encoder.encode(items[::-1]).vectors.flip(0) - together).abs().max() < 1e-5 * scale


def _modules_of(encoder: ModalityEncoder) -> Iterator[torch.nn.Module]:
    return (value for value in vars(encoder).values() if isinstance(value, torch.nn.Module))


def test_frozen(encoder: ModalityEncoder, items: list[Any]) -> None:
    vectors = encoder.encode(items).vectors
    assert not vectors.requires_grad
    assert not vectors.is_inference()  # or nobody could train on them
    for module in _modules_of(encoder):
        assert not any(part.training for part in module.modules())
        assert not any(parameter.requires_grad for parameter in module.parameters())


def test_the_global_random_state_is_left_alone(encoder: ModalityEncoder, items: list[Any]) -> None:
    before = torch.get_rng_state()
    encoder.encode(items)
    assert torch.equal(torch.get_rng_state(), before)


def test_items_are_not_changed(encoder: ModalityEncoder, items: list[Any]) -> None:
    before = list(items)
    encoder.encode(items)
    assert items == before


def test_sort_key_is_a_length(encoder: ModalityEncoder, items: list[Any]) -> None:
    keys = [encoder.sort_key(item) for item in items]
    assert all(type(key) is int and key >= 0 for key in keys)
    assert keys == [encoder.sort_key(item) for item in items]


def test_content_decides(encoder: ModalityEncoder, items: list[Any]) -> None:
    contents = [encoder.content(item) for item in items]
    assert len(set(contents)) == len(items)
    with pytest.raises(InputError, match=r"expected .*, got float"):
        encoder.content(1.5)


def test_broken_file_fails_alone(encoder: ModalityEncoder, items: list[Any], tmp_path: Path) -> None:
    if encoder.spec.modality != "image":
        pytest.skip("items are no files")
    broken = tmp_path / "broken.png"
    broken.write_bytes(items[0].read_bytes()[:60])
    encoded = encoder.encode([*items[:3], broken, *items[3:]])
    [(position, reason)] = encoded.failed
    assert position == 3
    assert str(broken) in reason
    assert not encoded.vectors[3].any()
    rest = encoded.vectors[[0, 1, 2, 4, 5, 6, 7]]
    assert torch.equal(rest, encoder.encode(items).vectors)


def test_all_broken(encoder: ModalityEncoder, tmp_path: Path) -> None:
    if encoder.spec.modality != "image":
        pytest.skip("items are no files")
    encoded = encoder.encode([tmp_path / "gone.png"] * 2)
    assert [position for position, _ in encoded.failed] == [0, 1]


def test_long_text_is_counted(encoder: ModalityEncoder) -> None:
    if encoder.spec.modality != "text" or isinstance(encoder, FunctionEncoder):
        pytest.skip("reads everything")
    encoded = encoder.encode(["red cat", "dog " * 1000, "moon"])
    assert (encoded.truncated, encoded.num_truncated) == ((1,), 1)
    assert encoder.sort_key("dog " * 1000) < 1000


def test_identity_names_what_decides_the_values(encoder: ModalityEncoder) -> None:
    json.dumps(encoder.identity)
    assert all(isinstance(value, str) and value for value in encoder.identity.values())
    assert encoder.identity["dtype"] == "float32"
    if not isinstance(encoder, (FunctionEncoder, MemoisedEncoder, FakeTextEncoder, FakeImageEncoder)):
        decisive = {"text": {"tokenizer", "max_length"}, "image": {"preprocessing"}}[encoder.spec.modality]
        assert {"weights", "pooling", "version of torch"} | decisive <= set(encoder.identity)


def test_any_changed_part_misses_the_cache(encoder: ModalityEncoder, items: list[Any], tmp_path: Path) -> None:
    """Pain 17: flip any part of the key."""
    node_type = torch.zeros(2, dtype=torch.int64)
    modality = encoder.spec.modality
    raw = RawGraph("toy", NodeIds(["a", "b"]), ("node",), node_type, content={modality: items[:2]})
    encode_graph(raw, {modality: encoder}, cache=tmp_path)
    keys = [content_key(encoder.content(item)) for item in items[:2]]

    def num_cached() -> int:
        return sum(len(positions) for positions, _, _ in EncodingCache(tmp_path, encoder).lookup(keys))

    fingerprints = {encoder.fingerprint}
    assert num_cached() == 2
    for part, value in list(encoder.identity.items()):
        encoder.identity[part] = value + "'"
        try:
            assert encoder.fingerprint not in fingerprints
            fingerprints.add(encoder.fingerprint)
            assert num_cached() == 0
        finally:
            encoder.identity[part] = value
    assert num_cached() == 2


def test_repr_names_the_encoder(encoder: ModalityEncoder) -> None:
    assert encoder.spec.encoder in repr(encoder)


def test_every_encoder_is_in_this_suite() -> None:
    for package in (mmgraph.encoders, mmgraph.testing):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)

    def below(cls: type[ModalityEncoder]) -> Iterator[type[ModalityEncoder]]:
        for child in cls.__subclasses__():
            yield child
            yield from below(child)

    concrete = {c for c in below(ModalityEncoder) if not inspect.isabstract(c) and c.__module__.startswith("mmgraph.")}
    assert concrete == set(CASES)
