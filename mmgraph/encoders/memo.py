"""A frozen encoder that remembers: queries are asked of several models, and encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgraph.encoders.base import EncodedItems, ModalityEncoder
from mmgraph.encoders.cache import EncodingCache, content_key, default_cache_folder
from mmgraph.progress import track

BATCH_SIZE = 64


class MemoisedEncoder(ModalityEncoder):
    """Looks vectors up in memory and on disk before it asks the encoder it wraps; same space, same fingerprint.

    Args:
        encoder: The encoder.
        cache: Folder of the encoding cache; the user's by default.
    """

    def __init__(self, encoder: ModalityEncoder, cache: Path | None = None) -> None:
        super().__init__(encoder.spec, encoder.identity)
        self.encoder = encoder
        self._cache = EncodingCache(default_cache_folder() if cache is None else cache, encoder)
        self._known: dict[bytes, Tensor] = {}

    def content(self, item: Any) -> bytes:
        """As the wrapped encoder."""
        return self.encoder.content(item)

    def sort_key(self, item: Any) -> int:
        """As the wrapped encoder."""
        return self.encoder.sort_key(item)

    def prefetch(self, items: Sequence[Any]) -> None:
        """Encode whatever is not known yet, in batches of equal length; broken items are left for `encode`."""
        contents = {content_key(self.content(item)): item for item in items}
        missing = sorted(key for key in contents if key not in self._known)
        for positions, vectors, _ in self._cache.lookup(missing):
            self._known.update(zip((missing[p] for p in positions), vectors, strict=True))
        left = [key for key in missing if key not in self._known]
        left.sort(key=lambda key: (-self.sort_key(contents[key]), key))
        starts = range(0, len(left), BATCH_SIZE)
        for start in track(starts, f"encoding {self.spec.modality} queries"):
            keys = left[start : start + BATCH_SIZE]
            encoded = self.encoder.encode([contents[key] for key in keys])
            broken = {row for row, _ in encoded.failed}
            good = [row for row in range(len(keys)) if row not in broken]
            vectors, truncated = encoded.vectors.float().cpu(), torch.zeros(len(keys), dtype=torch.bool)
            truncated[list(encoded.truncated)] = True
            self._cache.add([keys[row] for row in good], vectors[good], truncated[good])
            self._known.update((keys[row], vectors[row]) for row in good)

    def encode(self, items: Sequence[Any]) -> EncodedItems:
        """Encode items; only unknown ones cost anything."""
        keys = [content_key(self.content(item)) for item in items]
        unknown = [row for row, key in enumerate(keys) if key not in self._known]
        if not unknown:
            return EncodedItems(
                torch.stack([self._known[key] for key in keys]) if keys else torch.empty(0, self.spec.dim)
            )
        encoded = self.encoder.encode([items[row] for row in unknown])
        vectors = torch.zeros(len(items), self.spec.dim)
        broken = {row for row, _ in encoded.failed}
        for number, row in enumerate(unknown):
            if number not in broken:
                self._known[keys[row]] = encoded.vectors[number].float().cpu()
        for row, key in enumerate(keys):
            if key in self._known:
                vectors[row] = self._known[key]
        truncated = tuple(unknown[number] for number in encoded.truncated)
        return EncodedItems(vectors, truncated, tuple((unknown[number], reason) for number, reason in encoded.failed))
