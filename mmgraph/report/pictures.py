"""Small pictures inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmgraph.errors import InputError, require

if TYPE_CHECKING:
    from PIL.Image import Image


def open_picture(path: Path, size: int) -> Image:
    """Read a picture as RGBA that fits into a square of `size` pixels.

    Raises:
        InputError: If it is missing or no picture.
    """
    image_module = require("PIL.Image", extra="demo")
    try:
        with image_module.open(path) as source:
            image: Image = source.convert("RGBA")
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for some broken PNGs
        raise InputError(f"{path}: expected a picture, got: {error}") from None
    image.thumbnail((size, size))
    return image


def data_uri(image: Image, *, quality: int = 80) -> str:
    """Encode a picture as WebP inside a `data:` address."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


@lru_cache(maxsize=4096)
def thumbnail(path: Path, size: int = 72) -> str:
    """A file as a small inline picture."""
    return data_uri(open_picture(path, size))


def mosaic(paths: Sequence[Path], cells: np.ndarray, *, cell: int = 24) -> str:
    """Draw many pictures into one, each in its own cell.

    Args:
        paths: One file per picture.
        cells: Column and row of each picture, `[num_pictures, 2]`.
        cell: Pixels per cell.
    """
    image_module = require("PIL.Image", extra="demo")
    columns, rows = (int(x) + 1 for x in cells.max(axis=0))
    canvas: Image = image_module.new("RGBA", (columns * cell, rows * cell), (0, 0, 0, 0))
    for path, (column, row) in zip(paths, cells.tolist(), strict=True):
        picture = open_picture(path, cell)
        # alpha_composite keeps soft edges; paste would need the mask twice
        canvas.alpha_composite(picture, (column * cell, row * cell))
    return data_uri(canvas, quality=75)
