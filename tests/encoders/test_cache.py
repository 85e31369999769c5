from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmgraph.encoders.cache import EncodingCache, content_key, default_cache_folder
from mmgraph.errors import InputError
from mmgraph.testing.encoders import FakeTextEncoder

KEYS = [content_key(text.encode()) for text in "abcdef"]
VECTORS = torch.arange(24, dtype=torch.float32).view(6, 4)
TRUNCATED = torch.tensor([True, False, False, True, False, False])


def filled(folder: Path, encoder: FakeTextEncoder | None = None) -> EncodingCache:
    """Two files of three items."""
    cache = EncodingCache(folder, encoder or FakeTextEncoder(4))
    for part in (slice(0, 3), slice(3, 6)):
        cache.add(KEYS[part], VECTORS[part], TRUNCATED[part])
    return cache


def found(cache: EncodingCache, keys: list[bytes]) -> dict[bytes, tuple[list[float], bool]]:
    return {
        keys[position]: (vector.tolist(), bool(cut))
        for positions, vectors, truncated in cache.lookup(keys)
        for position, vector, cut in zip(positions, vectors, truncated, strict=True)
    }


def test_round_trip_in_any_order(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    result = found(cache, KEYS[::-1])
    assert result == {key: (VECTORS[i].tolist(), bool(TRUNCATED[i])) for i, key in enumerate(KEYS)}


def test_unknown_keys_are_not_found(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    assert set(found(cache, [content_key(b"z"), KEYS[4]])) == {KEYS[4]}
    assert found(cache, []) == {}
    assert found(EncodingCache(tmp_path / "new", FakeTextEncoder(4)), KEYS) == {}


def test_same_key_in_two_files_is_found_once(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    cache.add(KEYS[2:5], VECTORS[2:5], TRUNCATED[2:5])
    positions = [position for part, _, _ in cache.lookup(KEYS) for position in part]
    assert sorted(positions) == list(range(6))


def test_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    EncodingCache(tmp_path, FakeTextEncoder(4)).add([], torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool))
    assert list(tmp_path.iterdir()) == []


def test_encoders_do_not_share(tmp_path: Path) -> None:
    filled(tmp_path)
    assert found(EncodingCache(tmp_path, FakeTextEncoder(4, version="2")), KEYS) == {}


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # in a value: no format error, only the digest can tell
    path.write_bytes(data)


def _flip_key(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(KEYS[0], b"\0" * 32))


@pytest.mark.parametrize(
    "damage",
    [
        _flip,
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(path.read_bytes()[:20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff" * 500),
    ],
    ids=["bit flipped", "end cut", "header cut", "empty", "garbage"],
)
def test_damaged_file_is_dropped_with_a_warning(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    cache = filled(tmp_path)
    path = sorted(cache.folder.glob("*.safetensors"))[0]
    damage(path)
    with caplog.at_level(logging.WARNING):
        rest = found(cache, KEYS)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{path} is corrupt" in caplog.text
    assert not path.exists()
    assert set(rest) in ({*KEYS[:3]}, {*KEYS[3:]})
    assert all(rest[key] == (VECTORS[KEYS.index(key)].tolist(), bool(TRUNCATED[KEYS.index(key)])) for key in rest)


def test_damaged_keys_never_give_a_wrong_vector(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    for path in cache.folder.glob("*.safetensors"):
        _flip_key(path)
    assert set(found(cache, KEYS)) == {*KEYS[3:]}
    assert found(cache, [b"\0" * 32]) == {}


@pytest.mark.parametrize("blocked", ["file", "parent"])
def test_unwritable_folder_is_one_line(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" if blocked == "file" else tmp_path / "file" / "cache"
    with pytest.raises(InputError, match=r"cannot write the encoding cache .*; set MMGRAPH_CACHE to a folder") as error:
        filled(folder)
    assert "\n" not in str(error.value)


def test_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(self: Path, data: bytes) -> int:
        with open(self, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    cache = EncodingCache(tmp_path, FakeTextEncoder(4))
    cache.add(KEYS[:1], VECTORS[:1], TRUNCATED[:1])
    before = sorted(cache.folder.iterdir())
    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(InputError, match="No space left on device"):
        cache.add(KEYS, VECTORS, TRUNCATED)
    assert sorted(cache.folder.iterdir()) == before


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path))
    assert default_cache_folder() == tmp_path / "encodings"
    monkeypatch.delenv("MMGRAPH_CACHE")
    assert default_cache_folder() == Path.home() / ".cache" / "mmgraph" / "encodings"
