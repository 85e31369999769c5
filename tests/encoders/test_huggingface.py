from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from mmgraph.encoders.huggingface import HuggingFaceImageEncoder, HuggingFaceTextEncoder, Pooling
from mmgraph.errors import InputError

TEXTS = ["red cat", "blue dog sun moon a b c", "", "a b c d e f g h i j", "a b c d e f g h i j red"]


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
def test_poolings_equal_one_text_at_a_time(tiny_bert: Path, pooling: Pooling) -> None:
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(tiny_bert).eval(), AutoTokenizer.from_pretrained(tiny_bert)
    encoder = HuggingFaceTextEncoder(tiny_bert, pooling=pooling)
    vectors = encoder.encode(TEXTS).vectors
    for row, text in enumerate(TEXTS):
        with torch.no_grad():
            output = model(**tokenizer(text, truncation=True, max_length=12, return_tensors="pt"))
        hidden = output.last_hidden_state[0]
        expected = {"mean": hidden.mean(dim=0), "cls": hidden[0], "pooler": output.pooler_output[0]}[pooling]
        torch.testing.assert_close(vectors[row], expected)


def test_truncation_is_counted_exactly(tiny_bert: Path) -> None:
    encoder = HuggingFaceTextEncoder(tiny_bert)
    assert encoder.max_length == 12
    assert encoder.encode(TEXTS).truncated == (4,)  # the fourth has exactly 12 tokens
    assert HuggingFaceTextEncoder(tiny_bert, max_length=5).encode(TEXTS).truncated == (1, 3, 4)


def test_options_change_the_key_and_the_fingerprint(tiny_bert: Path) -> None:
    encoders = [
        HuggingFaceTextEncoder(tiny_bert),
        HuggingFaceTextEncoder(tiny_bert, pooling="cls"),
        HuggingFaceTextEncoder(tiny_bert, max_length=6),
        HuggingFaceTextEncoder(tiny_bert, normalize=True),
    ]
    assert len({encoder.spec.encoder for encoder in encoders}) == 4
    assert len({encoder.fingerprint for encoder in encoders}) == 4
    assert encoders[1].spec.encoder.endswith("?pooling=cls")


def test_other_weights_are_another_feature_space(tiny_bert: Path, tmp_path: Path) -> None:
    """A folder whose model was trained further must not pass for the old one."""
    from transformers import AutoModel

    folder = tmp_path / "model"
    shutil.copytree(tiny_bert, folder)
    before = HuggingFaceTextEncoder(folder)
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        model.embeddings.LayerNorm.bias[0] += 1
    model.save_pretrained(folder)
    after = HuggingFaceTextEncoder(folder)
    assert before.spec != after.spec
    assert before.fingerprint != after.fingerprint


def test_changed_vocabulary_is_another_fingerprint(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_bert, folder)
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace('"moon"', '"mars"'))
    assert HuggingFaceTextEncoder(folder).fingerprint != HuggingFaceTextEncoder(tiny_bert).fingerprint


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
def test_image_poolings(tiny_vit: Path, images: list[Path], pooling: Pooling) -> None:
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel

    model, processor = AutoModel.from_pretrained(tiny_vit).eval(), AutoImageProcessor.from_pretrained(tiny_vit)
    vectors = HuggingFaceImageEncoder(tiny_vit, pooling=pooling).encode(images[:3]).vectors
    for row, path in enumerate(images[:3]):
        with torch.no_grad():
            output = model(**processor(images=Image.open(path).convert("RGB"), return_tensors="pt"))
        hidden = output.last_hidden_state[0]
        expected = {"mean": hidden.mean(dim=0), "cls": hidden[0], "pooler": output.pooler_output[0]}[pooling]
        torch.testing.assert_close(vectors[row], expected)


def test_missing_folder_is_named() -> None:
    with pytest.raises(InputError, match="encoder 'hf:/nowhere/bert': folder not found"):
        HuggingFaceTextEncoder("/nowhere/bert")


def test_missing_file_is_named(tiny_bert: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bert, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"cannot load it: .*model.safetensors") as error:
        HuggingFaceTextEncoder(tmp_path / "model")
    assert "\n" not in str(error.value)


def test_damaged_weights_are_one_line(tiny_bert: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bert, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot load it"):
        HuggingFaceTextEncoder(tmp_path / "model")


def test_unknown_pooling_lists_the_choices(tiny_bert: Path) -> None:
    with pytest.raises(InputError, match="unknown pooling .* 'means'; choose from: mean"):
        HuggingFaceTextEncoder(tiny_bert, pooling="means")  # type: ignore[arg-type]


def test_max_length_beyond_the_model(tiny_bert: Path) -> None:
    with pytest.raises(InputError, match=r"max_length must lie in 3..12, got 13"):
        HuggingFaceTextEncoder(tiny_bert, max_length=13)
