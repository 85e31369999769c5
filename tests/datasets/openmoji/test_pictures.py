from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from mmgraph.datasets.openmoji import pictures as pictures_module
from mmgraph.datasets.openmoji.pictures import picture_folder, rasterise
from mmgraph.errors import InputError

SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72"><path fill="#f00" d="M18 18h36v36H18z"/></svg>'


def write_svgs(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{i:04X}.svg" for i in range(count)]
    for path in paths:
        path.write_text(SQUARE)
    return paths


@pytest.mark.parametrize("num_workers", [1, 3])
def test_pictures_are_drawn_in_order(tmp_path: Path, num_workers: int) -> None:
    svgs = write_svgs(tmp_path / "svg", 5)
    pictures = rasterise(svgs, tmp_path / "png", size=32, num_workers=num_workers)
    assert [path.name for path in pictures] == [f"{i:04X}.png" for i in range(5)]
    assert sorted(path.name for path in (tmp_path / "png").iterdir()) == [path.name for path in pictures]
    with Image.open(pictures[3]) as image:
        assert image.size == (32, 32)
        assert image.convert("RGBA").getpixel((16, 16)) == (255, 0, 0, 255)
        assert image.convert("RGBA").getpixel((1, 1))[3] == 0  # type: ignore[index]


def test_what_is_there_is_not_drawn_again(tmp_path: Path) -> None:
    svgs = write_svgs(tmp_path / "svg", 3)
    (tmp_path / "png").mkdir()
    (tmp_path / "png" / "0001.png").write_bytes(b"drawn before")
    pictures = rasterise(svgs, tmp_path / "png", size=16)
    assert pictures[1].read_bytes() == b"drawn before"
    times = [path.stat().st_mtime_ns for path in pictures]
    rasterise(svgs, tmp_path / "png", size=16)
    assert [path.stat().st_mtime_ns for path in pictures] == times


def test_a_broken_picture_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    svgs = write_svgs(tmp_path / "svg", 2)
    svgs[1].write_text("<svg")
    with pytest.raises(InputError, match=r"0001\.svg could not be drawn") as caught:
        rasterise(svgs, tmp_path / "png", size=16, num_workers=1)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "png").iterdir()] == ["0000.png"]


def test_a_renderer_that_does_not_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("raise SystemExit('no renderer here')")
    monkeypatch.setattr(pictures_module, "_WORKER", worker)
    with pytest.raises(InputError, match="2 pictures were not drawn: no renderer here"):
        rasterise(write_svgs(tmp_path / "svg", 2), tmp_path / "png", size=16)


def test_ctrl_c_stops_the_workers_and_keeps_whole_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def interrupt(lines: object, total: int, num_workers: int) -> None:
        started.append(lines.get(timeout=30))  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures_module, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        rasterise(write_svgs(tmp_path / "svg", 300), tmp_path / "png", size=64, num_workers=1)
    assert started == ["0000"]
    drawn = list((tmp_path / "png").iterdir())
    assert 1 <= len(drawn) <= 300
    assert all(path.suffix == ".png" and path.read_bytes().endswith(b"IEND\xaeB`\x82") for path in drawn)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "png").mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"0000\.svg could not be drawn"):
        rasterise(write_svgs(tmp_path / "svg", 1), tmp_path / "png", size=16)


def test_the_folder_depends_on_the_size(tmp_path: Path) -> None:
    assert picture_folder(tmp_path, 64) != picture_folder(tmp_path, 128)
