"""Images from outside: the format by content, the size by header, before anything is decoded."""

from __future__ import annotations

import io
from contextlib import nullcontext
from pathlib import Path
from typing import IO

from mmgraph.data.image_files import DAMAGED, webp_size
from mmgraph.errors import InputError, require
from mmgraph.serve.failures import Refusal

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
"""What is accepted, whatever a file is called; of animations the first frame."""
MAX_PIXELS = 40_000_000


def header_size(source: Path | IO[bytes]) -> tuple[int, int]:
    """Width and height of an image in one of `FORMATS`, without decoding it.

    Raises:
        InputError: If it is none of them.
    """
    require("PIL", extra="serve")
    import PIL.Image

    with open(source, "rb") if isinstance(source, Path) else nullcontext(source) as file:
        start = file.read(32)
        file.seek(0)
        if start[:4] == b"RIFF":
            return webp_size(start)
        try:
            with PIL.Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                return int(width), int(height)
        except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
            raise InputError("too many pixels") from None
        except DAMAGED:
            raise InputError("no PNG, JPEG, WebP or GIF") from None


def check_image(data: bytes, *, max_pixels: int) -> None:
    """Refuse what is not an image that can be decoded safely.

    Raises:
        Refusal: 415 if the content is no PNG, JPEG, WebP or GIF; 413 if it has too many pixels.
    """
    try:
        width, height = header_size(io.BytesIO(data))
    except InputError as error:
        if "pixels" in str(error):
            raise Refusal(413, f"image: expected at most {max_pixels:,} pixels") from None
        raise Refusal(415, "image: expected the content of a PNG, JPEG, WebP or GIF file") from None
    if width < 1 or height < 1:
        raise Refusal(415, "image: it has no pixels")
    if width * height > max_pixels:
        raise Refusal(413, f"image: expected at most {max_pixels:,} pixels, got {width} x {height}")
