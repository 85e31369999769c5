"""What can be told of an image file without decoding it, and how damaged files show."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmgraph.errors import InputError, require

DAMAGED = (
    *(OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, EOFError),
    *(struct.error, zlib.error, MemoryError, AttributeError),
)
"""What Pillow raises on damaged files; it has no base class for it."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 100_000_000
"""Decoding takes up to 8 bytes per pixel."""
MAX_IMAGE_BYTES = 2**28

_ENDINGS = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
}


def image_size(path: Path | str) -> tuple[int, int]:
    """Width and height in pixels, read from the header only.

    Raises:
        InputError: If the file is missing, empty, or no image that can be read.
        MissingExtraError: If Pillow is not installed.
    """
    with open_image(path, max_pixels=None) as image:
        width, height = image.size
        return int(width), int(height)


@contextmanager
def open_image(
    path: Path | str, *, max_pixels: int | None = MAX_PIXELS, max_bytes: int = MAX_IMAGE_BYTES
) -> Iterator[Any]:
    """Open an image of one of `FORMATS`; what goes wrong inside of the block is told in one line too.

    Sizes are compared before a pixel is decoded. Pillow knows dozens of other formats; for some of them it starts other
    programs, so these are never tried, whatever the name of the file.

    Args:
        path: The file.
        max_pixels: Most pixels, width times height; `None` if only the header is read.
        max_bytes: Most bytes of the file.

    Raises:
        InputError: If the file is missing, empty, too large, or no image that can be read.
        MissingExtraError: If Pillow is not installed.
    """
    require("PIL", extra="encoders")
    import PIL.Image

    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise InputError(f"{path}: image too large: {size:,} bytes, the limit is {max_bytes:,}")
            start = file.read(32)
            file.seek(0)
            if start[:4] == b"RIFF":  # Pillow makes room for all pixels when it opens one
                _check_pixels(path, webp_size(start), MAX_PIXELS if max_pixels is None else max_pixels)
            with PIL.Image.open(file, formats=FORMATS) as image:
                if max_pixels is not None:
                    _check_pixels(path, image.size, max_pixels)
                yield image
    except InputError:
        raise
    except PIL.Image.DecompressionBombError as error:
        raise InputError(f"{path}: image too large: {one_line(error)}") from error
    except FileNotFoundError:
        raise InputError(f"{path}: file not found") from None
    except DAMAGED as error:
        raise InputError(f"{path}: not a readable image: {one_line(error)}") from error


def _check_pixels(path: Path | str, size: tuple[int, int], limit: int) -> None:
    if size[0] * size[1] > limit:
        raise InputError(f"{path}: image too large: {size[0]:,} x {size[1]:,} pixels, the limit is {limit:,}")


def webp_size(start: bytes) -> tuple[int, int]:
    """Size of the canvas of a WebP file [1], from its first 30 bytes.

    Raises:
        InputError: If it is no WebP file.

    References:
        [1] RFC 9649, WebP Image Format.
    """
    kind, wide, high = start[12:16], 0, 0
    if start[8:12] == b"WEBP" and len(start) >= 30:
        if kind == b"VP8X":
            wide, high = (1 + int.from_bytes(start[at : at + 3], "little") for at in (24, 27))
        elif kind == b"VP8L" and start[20] == 0x2F:
            bits = int.from_bytes(start[21:25], "little")
            wide, high = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind == b"VP8 " and start[23:26] == b"\x9d\x01\x2a":
            wide, high = (int.from_bytes(start[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    if not wide or not high:
        raise InputError("not a readable image: no WebP")
    return wide, high


def image_ending(data: bytes) -> str:
    """Ending of the name that fits the first bytes of a file; `.img` if they say nothing."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((ending for start, ending in _ENDINGS.items() if data.startswith(start)), ".img")


def one_line(error: BaseException) -> str:
    """First line of an error's message, or its name."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
