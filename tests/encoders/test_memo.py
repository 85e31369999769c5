from __future__ import annotations

from pathlib import Path

import torch

from mmgraph.encoders.memo import MemoisedEncoder
from mmgraph.testing.encoders import FakeImageEncoder, FakeTextEncoder

TEXTS = ["red circle", "blue", "a long text of many words", "blue", "green bar"]


def test_same_vectors_and_each_text_once(tmp_path: Path) -> None:
    inner = FakeTextEncoder(max_words=3)
    memo = MemoisedEncoder(inner, tmp_path)
    memo.prefetch(TEXTS)
    assert inner.num_encoded == 4
    got = memo.encode(TEXTS)
    assert inner.num_encoded == 4
    assert torch.equal(got.vectors, FakeTextEncoder(max_words=3).encode(TEXTS).vectors)
    assert memo.fingerprint == inner.fingerprint
    assert memo.spec == inner.spec


def test_a_second_process_finds_the_first_ones_vectors(tmp_path: Path) -> None:
    MemoisedEncoder(FakeTextEncoder(), tmp_path).prefetch(TEXTS)
    inner = FakeTextEncoder()
    memo = MemoisedEncoder(inner, tmp_path)
    memo.prefetch(TEXTS)
    assert inner.num_encoded == 0
    assert torch.equal(memo.encode(TEXTS[::-1]).vectors, FakeTextEncoder().encode(TEXTS[::-1]).vectors)


def test_without_prefetch_only_unknown_items_are_encoded(tmp_path: Path) -> None:
    inner = FakeTextEncoder(max_words=3)
    memo = MemoisedEncoder(inner, tmp_path)
    memo.encode(TEXTS[:2])
    got = memo.encode(TEXTS)
    assert inner.num_encoded == 2 + 2
    assert got.truncated == (2,)
    assert torch.equal(got.vectors, FakeTextEncoder(max_words=3).encode(TEXTS).vectors)


def test_no_items(tmp_path: Path) -> None:
    assert MemoisedEncoder(FakeTextEncoder(), tmp_path).encode([]).vectors.shape == (0, 16)


def test_broken_items_are_reported_by_position_and_not_remembered(tmp_path: Path) -> None:
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    from PIL import Image

    Image.new("RGB", (8, 8), "red").save(good)
    broken.write_bytes(b"no picture")
    memo = MemoisedEncoder(FakeImageEncoder(), tmp_path / "cache")
    memo.prefetch([broken, good])
    got = memo.encode([good, broken, good])
    assert [row for row, _ in got.failed] == [1]
    assert torch.equal(got.vectors[1], torch.zeros(24))
    assert torch.equal(got.vectors[0], FakeImageEncoder().encode([good]).vectors[0])
