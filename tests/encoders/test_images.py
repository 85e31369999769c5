from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest

from mmgraph.encoders.images import load_rgb
from mmgraph.errors import InputError
from mmgraph.testing.encoders import FakeImageEncoder


def test_transparent_becomes_white(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(tmp_path / "half.png")
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / "palette.png", transparency=0)
    assert load_rgb(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    assert load_rgb(tmp_path / "half.png").getpixel((0, 0)) == (255, 127, 127)
    assert load_rgb(tmp_path / "palette.png").getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("I;16", (4, 4), 40000).save(tmp_path / "deep.png")
    assert load_rgb(tmp_path / "deep.png").getpixel((0, 0)) == (156, 156, 156)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "LA", "I;16", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    from PIL import Image

    path = tmp_path / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.png")
    Image.new(mode, (5, 3)).save(path)
    image = load_rgb(path)
    assert (image.mode, image.size) == ("RGB", (5, 3))


def test_orientation_is_applied(tmp_path: Path) -> None:
    from PIL import Image

    picture = Image.fromarray(np.zeros((20, 40, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture.save(tmp_path / "phone.jpg", exif=exif)
    assert load_rgb(tmp_path / "phone.jpg").size == (20, 40)


def test_large_jpeg_is_decoded_small(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (1600, 1600), "blue").save(tmp_path / "large.jpg")
    assert load_rgb(tmp_path / "large.jpg").size == (1600, 1600)
    small = load_rgb(tmp_path / "large.jpg", size=100)
    assert small.size == (200, 200)
    assert small.getpixel((0, 0))[2] > 250  # type: ignore[index]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.png: file not found"):
        load_rgb(tmp_path / "gone.png")


def test_folder_and_text_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    for path in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(InputError, match="not a readable image"):
            load_rgb(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_damaged_files_raise_input_errors_only(tmp_path: Path, kind: str) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    whole = buffer.getvalue()
    draw = random.Random(0)
    path = tmp_path / "damaged"
    messages = []
    for trial in range(60):
        data = bytearray(whole)
        if trial % 2:
            del data[draw.randrange(len(data)) :]
        else:
            for _ in range(5):
                data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data)
        try:
            load_rgb(path)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) >= 15
    assert not any("\n" in message for message in messages)


def test_images_are_decoded_per_batch_only(images: list[Path]) -> None:
    """What one call gets is what is in memory; nothing is kept after it."""
    encoder = FakeImageEncoder()
    before = set(vars(encoder))
    encoder.encode(images)
    assert set(vars(encoder)) == before
