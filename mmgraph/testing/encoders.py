"""Small fake encoders: fast, deterministic, countable, and able to fail on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.features import FeatureSpec
from mmgraph.encoders.base import EncodedItems, ModalityEncoder
from mmgraph.encoders.images import ImageEncoder, load_rgb
from mmgraph.errors import InputError
from mmgraph.seeding import generator


class FakeTextEncoder(ModalityEncoder):
    """Sum of one fixed random vector per word, so texts that share words are close.

    Args:
        dim: Width of the vectors.
        max_words: Words beyond this are dropped and the text counts as truncated.
        fail_after: Raise `RuntimeError` in place of batch number `fail_after`, as a killed run would end.
        version: Part of the fingerprint.

    Attributes:
        num_encoded: Texts encoded so far.
        batches: The batches seen so far.
    """

    def __init__(
        self, dim: int = 16, *, max_words: int | None = None, fail_after: int | None = None, version: str = "1"
    ) -> None:
        super().__init__(
            FeatureSpec("text", "fake-text", dim),
            {"version": version, "max_length": str(max_words), "dtype": "float32"},
        )
        self.max_words, self.fail_after = max_words, fail_after
        self.num_encoded = 0
        self.batches: list[list[str]] = []
        self._words: dict[str, Tensor] = {}

    def content(self, item: Any) -> bytes:
        """The text in UTF-8."""
        if not isinstance(item, str):
            raise InputError(f"expected a text, got {type(item).__name__}")
        return item.encode()

    def sort_key(self, item: str) -> int:
        """Number of words that are read."""
        return len(item.split()[: self.max_words])

    def encode(self, items: Sequence[str]) -> EncodedItems:
        """Encode texts."""
        if self.fail_after is not None and len(self.batches) >= self.fail_after:
            raise RuntimeError(f"stopped on purpose after {self.fail_after} batches")
        self.batches.append(list(items))
        self.num_encoded += len(items)
        vectors = torch.zeros(len(items), self.spec.dim)
        truncated = []
        for row, text in enumerate(items):
            words = text.lower().split()
            if self.max_words is not None and len(words) > self.max_words:
                truncated.append(row)
            for word in words[: self.max_words]:
                vectors[row] += self._vector(word)
        return EncodedItems(torch.nn.functional.normalize(vectors, dim=1), truncated=tuple(truncated))

    def _vector(self, word: str) -> Tensor:
        if word not in self._words:
            self._words[word] = torch.randn(self.spec.dim, generator=generator(0, "fake-text", word))
        return self._words[word]


class FakeImageEncoder(ImageEncoder):
    """A fixed random projection of the image shrunk to 4 x 4 pixels, so images of similar colours are close.

    Args:
        dim: Width of the vectors.
        version: Part of the fingerprint.

    Attributes:
        num_encoded: Images encoded so far, broken ones included.
    """

    def __init__(self, dim: int = 24, *, version: str = "1") -> None:
        super().__init__(FeatureSpec("image", "fake-image", dim), {"version": version, "dtype": "float32"})
        self.device = torch.device("cpu")
        self.num_encoded = 0
        self._projection = torch.randn(48, dim, generator=generator(0, "fake-image"))

    def encode(self, items: Sequence[Path | str]) -> EncodedItems:
        """Encode image files."""
        self.num_encoded += len(items)
        return super().encode(items)

    def prepare(self, path: Path | str) -> Tensor:
        """Read an image as 48 values between -0.5 and 0.5."""
        pixels = np.array(load_rgb(path).resize((4, 4)), dtype=np.float32)
        return torch.from_numpy(pixels).flatten() / 255 - 0.5

    def forward_pixels(self, pixels: Tensor) -> Tensor:
        """Project `[n, 48]` to `[n, dim]`; an inner sum per image, so no vector depends on its neighbours."""
        return (pixels[:, :, None] * self._projection).sum(dim=1)
