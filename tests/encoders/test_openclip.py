from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmgraph.encoders.openclip import OpenClipImageEncoder, OpenClipTextEncoder
from mmgraph.errors import InputError

LONG = "a photo of " + "very " * 30 + "red shoes"


def test_text_equals_open_clip(tiny_clip: tuple[str, Path]) -> None:
    import open_clip

    architecture, checkpoint = tiny_clip
    encoder = OpenClipTextEncoder(architecture, str(checkpoint))
    model = open_clip.create_model(architecture, pretrained=str(checkpoint)).eval()
    texts = ["red shoes", "a dog", LONG]
    with torch.no_grad():
        expected = model.encode_text(open_clip.get_tokenizer(architecture)(texts))
    expected = torch.nn.functional.normalize(expected, dim=1)
    torch.testing.assert_close(encoder.encode(texts).vectors, expected)
    assert encoder.spec.dim == 16


def test_image_equals_open_clip(tiny_clip: tuple[str, Path], images: list[Path]) -> None:
    import open_clip
    from PIL import Image

    architecture, checkpoint = tiny_clip
    encoder = OpenClipImageEncoder(architecture, str(checkpoint))
    model, _, preprocess = open_clip.create_model_and_transforms(architecture, pretrained=str(checkpoint))
    paths = [path for path in images if path.suffix == ".png"]
    with torch.no_grad():
        expected = model.eval().encode_image(torch.stack([preprocess(Image.open(path)) for path in paths]))
    expected = torch.nn.functional.normalize(expected, dim=1)
    torch.testing.assert_close(encoder.encode(paths).vectors, expected)


@pytest.mark.parametrize(("num_words", "cut"), [(1, False), (14, False), (15, True), (16, True), (40, True)])
def test_truncation_is_counted_exactly(tiny_clip: tuple[str, Path], num_words: int, cut: bool) -> None:
    encoder = OpenClipTextEncoder(tiny_clip[0], str(tiny_clip[1]))  # 16 tokens, two of them mark start and end
    encoded = encoder.encode(["cat", " ".join(["dog"] * num_words)])
    assert encoded.truncated == ((1,) if cut else ())


def test_local_folder_gives_the_same_vectors(tiny_clip: tuple[str, Path]) -> None:
    by_checkpoint = OpenClipTextEncoder(tiny_clip[0], str(tiny_clip[1]))
    by_folder = OpenClipTextEncoder(f"local-dir:{tiny_clip[1].parent}")
    assert torch.equal(by_checkpoint.encode(["a cat"]).vectors, by_folder.encode(["a cat"]).vectors)
    assert by_checkpoint.identity["weights"] == by_folder.identity["weights"]


def test_weights_must_be_named(tiny_clip: tuple[str, Path]) -> None:
    with pytest.raises(InputError, match="name its weights: openclip:tiny-clip@<path"):
        OpenClipTextEncoder(tiny_clip[0])


def test_unknown_weights_list_the_tags() -> None:
    with pytest.raises(InputError, match="neither a file nor a pretrained tag; tags: .*openai"):
        OpenClipTextEncoder("RN50", "/nowhere/model.pt")


def test_unknown_architecture_names_close_ones() -> None:
    with pytest.raises(InputError, match="choose from: ViT-B-32"):
        OpenClipTextEncoder("ViT-B32", "x")


@pytest.mark.parametrize(("architecture", "tag"), [("ViT-B-32", "openai"), ("RN50", "yfcc15m")])
def test_missing_quick_gelu_is_refused(architecture: str, tag: str) -> None:
    """Pain 17: open_clip issue 771."""
    with pytest.raises(InputError, match=f"with QuickGELU; use openclip:{architecture}-quickgelu@{tag}"):
        OpenClipTextEncoder(architecture, tag)


def test_unwanted_quick_gelu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: {"url": "somewhere"})
    with pytest.raises(InputError, match="without QuickGELU; use openclip:ViT-B-32@any"):
        OpenClipTextEncoder("ViT-B-32-quickgelu", "any")


def test_wrong_checkpoint_is_one_line(tiny_clip: tuple[str, Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(tiny_clip[1].read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot load it") as error:
        OpenClipTextEncoder(tiny_clip[0], str(bad))
    assert "\n" not in str(error.value)


def test_weights_of_another_architecture_are_refused(tiny_clip: tuple[str, Path]) -> None:
    with pytest.raises(InputError, match="cannot load it"):
        OpenClipTextEncoder("ViT-S-32-alt", str(tiny_clip[1]))
