"""What can be told of an image file without decoding it, and how damaged files show."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from mmgraph.errors import InputError, require

DAMAGED = (
    *(OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, EOFError),
    *(struct.error, zlib.error, MemoryError, AttributeError),
)
"""What Pillow raises on damaged files; it has no base class for it."""

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
    require("PIL", extra="encoders")
    import PIL.Image

    try:
        with PIL.Image.open(path) as image:
            width, height = image.size
            return int(width), int(height)
    except PIL.Image.DecompressionBombError as error:
        raise InputError(f"{path}: image too large: {one_line(error)}") from error
    except FileNotFoundError:
        raise InputError(f"{path}: file not found") from None
    except DAMAGED as error:
        raise InputError(f"{path}: not a readable image: {one_line(error)}") from error


def image_ending(data: bytes) -> str:
    """Ending of the name that fits the first bytes of a file; `.img` if they say nothing."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((ending for start, ending in _ENDINGS.items() if data.startswith(start)), ".img")


def one_line(error: BaseException) -> str:
    """First line of an error's message, or its name."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
