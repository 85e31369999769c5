"""Encoded content on disk: keyed by encoder and content, append-only, checked when read."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialise_tensors
from torch import Tensor

from mmgraph.encoders.base import ModalityEncoder
from mmgraph.errors import InputError
from mmgraph.files import atomic_path, cache_folder, remove_leftovers, write_json

logger = logging.getLogger(__name__)

KEY_BYTES = 32


def default_cache_folder() -> Path:
    """`encodings` under the folder in the environment variable `MMGRAPH_CACHE`, or under `~/.cache/mmgraph`."""
    return cache_folder("encodings")


def content_key(content: bytes) -> bytes:
    """Key of a content, 32 bytes."""
    return hashlib.sha256(content).digest()


class EncodingCache:
    """Vectors of one encoder by content key, in small files that are never changed.

    One file per encoded batch, so whatever was encoded before a kill is found again. A file's name is the digest of
    its bytes, which is checked before a vector is used.

    Args:
        folder: Folder of all encoders' caches; this one gets a sub-folder named after encoder and fingerprint.
        encoder: The encoder that makes the vectors.
    """

    def __init__(self, folder: Path | str, encoder: ModalityEncoder) -> None:
        self._encoder = encoder
        name = re.sub(r"[^0-9A-Za-z.-]+", "_", f"{encoder.spec.modality}-{encoder.spec.encoder}")[-80:]
        self.folder = Path(folder) / f"{name}-{encoder.fingerprint[:16]}"

    def lookup(self, keys: Sequence[bytes]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Find keys, one file at a time.

        Args:
            keys: Distinct keys.

        Yields:
            Positions in `keys`, their vectors `[n, dim]` and `[n]` bool: whether the item had been truncated. Each
            position comes at most once.
        """
        wanted = {key: position for position, key in enumerate(keys)}
        remove_leftovers(self.folder)
        for path in sorted(self.folder.glob("[!.]*.safetensors")):
            if not wanted:
                return
            rows = [(row, wanted[key]) for row, key in enumerate(self._keys_of(path)) if key in wanted]
            shard = self._read(path) if rows else None
            if shard is None:
                continue
            index = torch.tensor([row for row, _ in rows])
            positions = [position for _, position in rows]
            for position in positions:
                del wanted[keys[position]]
            yield positions, shard["vectors"][index], shard["truncated"][index].bool()

    def add(self, keys: Sequence[bytes], vectors: Tensor, truncated: Tensor) -> None:
        """Write one file.

        Args:
            keys: Keys of the contents.
            vectors: `[len(keys), dim]`.
            truncated: `[len(keys)]`, bool.

        Raises:
            InputError: If the folder cannot be written.
        """
        if not keys:
            return
        table = torch.from_numpy(np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES).copy())
        data = serialise_tensors(
            {"keys": table, "vectors": vectors.float().cpu().contiguous(), "truncated": truncated.to(torch.uint8)}
        )
        try:
            if not (self.folder / "encoder.json").exists():
                about = {"spec": asdict(self._encoder.spec), "identity": self._encoder.identity}
                write_json(self.folder / "encoder.json", about)
            with atomic_path(self.folder / f"{_name_of(data)}.safetensors", cache=True) as temporary:
                temporary.write_bytes(data)
        except OSError as error:
            raise InputError(
                f"cannot write the encoding cache {self.folder}: {error.strerror}; "
                "set MMGRAPH_CACHE to a folder that has room and can be written"
            ) from error

    def _keys_of(self, path: Path) -> list[bytes]:
        try:
            with safe_open(path, framework="numpy") as file:
                table = file.get_tensor("keys")
        except FileNotFoundError:  # another process found it corrupt
            return []
        except (SafetensorError, OSError) as error:
            self._drop(path, str(error))
            return []
        if table.ndim != 2 or table.shape[1] != KEY_BYTES:
            self._drop(path, f"keys have shape {list(table.shape)}")
            return []
        return [row.tobytes() for row in table]

    def _read(self, path: Path) -> dict[str, Tensor] | None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._drop(path, str(error))
            return None
        if _name_of(data) != path.stem:
            self._drop(path, "its bytes do not match its digest")
            return None
        return parse_tensors(data)

    @staticmethod
    def _drop(path: Path, reason: str) -> None:
        logger.warning("cache file %s is corrupt (%s); its items are encoded again", path, reason)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("cannot remove %s: %s", path, error.strerror)


def _name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
