"""Reading image files: RGB on white, upright, broken files told apart."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.image_files import open_image
from mmgraph.encoders.base import EncodedItems, ModalityEncoder
from mmgraph.errors import InputError, require

if TYPE_CHECKING:
    from PIL.Image import Image


def load_rgb(path: Path | str, *, size: int | None = None) -> Image:
    """Read an image file as upright RGB; transparent parts become white, an animation gives its first frame.

    Args:
        path: The file.
        size: If given, a large JPEG is decoded at a lower resolution of at least twice this many pixels, which
            saves time and memory.

    Raises:
        InputError: If the file is missing, truncated or no image; the message says which.
    """
    require("PIL", extra="encoders")
    import PIL.ImageOps

    with open_image(path) as image:
        if size is not None:
            image.draft(None, (2 * size, 2 * size))
        return _on_white(_eight_bit(PIL.ImageOps.exif_transpose(image)))


def _eight_bit(image: Image) -> Image:
    """Scale 16-bit grey to 8 bits; Pillow's own conversion clips nearly all of it to white."""
    import PIL.Image

    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    return PIL.Image.fromarray((values >> 8).clip(0, 255).astype(np.uint8)) if values.max() > 255 else image


def _on_white(image: Image) -> Image:
    import PIL.Image

    if image.mode not in ("RGBA", "RGBa", "LA", "La", "PA") and "transparency" not in image.info:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image).convert("RGB")


class ImageEncoder(ModalityEncoder):
    """Base of encoders of image files. A sub-class prepares one image and runs the network on a batch of them.

    Items are paths (`Path` or `str`). A file that cannot be read is reported as failed and leaves its neighbours'
    vectors as they are.
    """

    chunk_size: ClassVar[int] = 16
    """Images per run of the network on CPU, where small chunks stay in the processor's cache."""

    pad_chunks: ClassVar[bool] = False
    """Fill the last chunk up with blank images, so that no vector depends on the number of images beside it."""

    device: torch.device

    @abstractmethod
    def prepare(self, path: Path | str) -> Tensor:
        """Read one image into a tensor for `forward_pixels`; raises `InputError` on a broken file."""

    @abstractmethod
    def forward_pixels(self, pixels: Tensor) -> Tensor:
        """Run the network: stacked results of `prepare` `[n, ...]` to `[n, dim]`."""

    def content(self, item: Any) -> bytes:
        """Bytes of the file."""
        if not isinstance(item, (str, Path)):
            raise InputError(f"expected the path of an image, got {type(item).__name__}")
        return Path(item).read_bytes()

    def encode(self, items: Sequence[Path | str]) -> EncodedItems:
        """Encode image files; decoding runs in threads."""
        pixels: list[Tensor] = []
        good: list[int] = []
        failed: list[tuple[int, str]] = []
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for position, result in enumerate(pool.map(self._try_prepare, items)):
                if isinstance(result, str):
                    failed.append((position, result))
                else:
                    pixels.append(result)
                    good.append(position)
        vectors = torch.zeros(len(items), self.spec.dim, device=self.device)
        if good:
            vectors[torch.tensor(good, device=self.device)] = self._run(torch.stack(pixels))
        return EncodedItems(vectors, failed=tuple(failed))

    def _try_prepare(self, path: Path | str) -> Tensor | str:
        try:
            return self.prepare(path)
        except InputError as error:
            return str(error)

    def _run(self, pixels: Tensor) -> Tensor:
        count = pixels.size(0)
        chunk = self.chunk_size if self.device.type == "cpu" else count
        if self.pad_chunks and count % chunk:
            pixels = torch.cat([pixels, pixels.new_zeros(chunk - count % chunk, *pixels.shape[1:])])
        with torch.inference_mode():
            parts = [self.forward_pixels(part.to(self.device)).float() for part in torch.split(pixels, chunk)]
            vectors = torch.cat(parts)[:count]
        return vectors.clone()  # outside of inference mode, so that autograd may use it
