from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mmgraph.data.image_files import image_ending, image_size
from mmgraph.errors import InputError
from mmgraph.files import content_digest
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.images import ImageStore
from mmgraph.formats.tables.mapping import NodeTable
from mmgraph.formats.tables.source import open_source
from mmgraph.testing.factories import _draw


def picture(path: Path, size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)
    return path


def find(
    folder: Path, mapping: NodeTable, cells: list[str | bytes | None] | None, ids: list[str], *, limit: float = 1.0
) -> tuple[list[str | None], Defects, ImageStore]:
    (folder / "nodes.jsonl").write_text('{"id": "a"}\n')
    defects = Defects()
    store = ImageStore(folder, defects, check=True, max_megapixels=limit)
    source = open_source(folder / "nodes.jsonl", defects)
    column = None if cells is None else pa.chunked_array([pa.array(cells)])
    with store.open():
        found = store.find(mapping, source, column, pa.chunked_array([pa.array(ids)]), np.arange(1, len(ids) + 1))
    return found.to_pylist(), defects, store


def test_every_broken_image_has_its_reason_and_its_neighbours_stay(tmp_path: Path) -> None:
    good, jpeg = picture(tmp_path / "a.png"), picture(tmp_path / "sub/b.jpg", (20, 10))
    picture(tmp_path / "large.png", (2000, 1000))
    (tmp_path / "zero.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:20])
    cells = [
        "a.png",
        "zero.png",
        "gone.png",
        " ",
        "sub/b.jpg",
        "text.png",
        "large.png",
        None,
        "cut.png",
        "http://x/y.png",
        "n" * 300,
        "a\0.png",
    ]
    ids = [f"n{i}" for i in range(len(cells))]
    found, defects, store = find(tmp_path, NodeTable("nodes.jsonl", image="image"), cells, ids)
    kept: list[str | None] = [None] * len(cells)
    kept[0], kept[4] = str(good), str(jpeg)
    assert found == kept
    assert sorted(store.sizes) == [(8, 6), (20, 10)]
    told = {defect.id: (defect.kind, defect.detail) for defect in defects}
    assert told["n1"] == ("empty-image", f"{tmp_path}/zero.png: zero bytes")
    assert told["n2"] == ("missing-image", f"{tmp_path}/gone.png: file not found")
    assert told["n5"][0] == told["n8"][0] == "broken-image"
    assert told["n5"][1].startswith(f"{tmp_path}/text.png: not a readable image: ")
    assert told["n6"] == ("large-image", f"{tmp_path}/large.png: 2 megapixels, the limit is 1")
    assert told["n9"][1].endswith("expected a file, got an address")
    assert told["n10"][0] == told["n11"][0] == "missing-image"
    assert set(told) == {"n1", "n2", "n5", "n6", "n8", "n9", "n10", "n11"}
    assert {defect.row for defect in defects if defect.id == "n2"} == {3}


def test_a_bomb_is_large_and_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (20000, 10000)).save(tmp_path / "bomb.png")
    _, defects, _ = find(tmp_path, NodeTable("nodes.jsonl", image="image"), ["bomb.png"], ["a"])
    assert defects.by_kind() == {"large-image": 1}


def test_images_named_by_id_never_leave_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    inside = [picture(folder / "images" / name) for name in ("42.jpg", "a.1.png", "a.2.png", "x/y.png", "42.png")]
    picture(tmp_path / "secret.png")
    ids = ["42", "a.1", "a.2", "x/y", "../../secret", "none", "user:42"]
    mapping = NodeTable("nodes.jsonl", image_folder="images")
    found, defects, _ = find(folder, mapping, None, ids)
    assert found == [*map(str, inside[:4]), None, None, None]  # of two endings the first in the alphabet
    assert len(defects) == 0  # nobody said that every node has an image
    prefixed = NodeTable("nodes.jsonl", image_folder="images", prefix="user:")
    assert find(folder, prefixed, None, ["user:42"])[0] == [str(inside[0])]
    with pytest.raises(InputError, match="pictures: expected a folder with images, found nothing"):
        find(folder, NodeTable("nodes.jsonl", image_folder="pictures"), None, ids)


def test_bytes_are_stored_once_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))
    data = picture(tmp_path / "a.png").read_bytes()
    cells: list[str | bytes | None] = [data, None, b"", data, b"no image"]
    found, defects, _ = find(tmp_path, NodeTable("nodes.jsonl", image="image"), cells, list("abcde"))
    path = tmp_path / "cache" / "images" / f"{content_digest(data)}.png"
    assert found == [str(path), None, None, str(path), None]
    assert path.read_bytes() == data
    assert [(d.kind, d.id) for d in defects] == [("empty-image", "c"), ("broken-image", "e")]


def test_endings_and_sizes(tmp_path: Path) -> None:
    for ending in (".png", ".jpg", ".gif", ".bmp", ".tif", ".webp"):
        path = picture(tmp_path / f"a{ending}", (5, 4))
        assert image_ending(path.read_bytes()) == ending
        assert image_size(path) == (5, 4)
    assert image_ending(b"RIFF....WAVE") == ".img"
    with pytest.raises(InputError, match="file not found"):
        image_size(tmp_path / "none.png")
    assert image_size(_draw(tmp_path / "d.png", "red", "circle", transparent=True)) == (32, 32)
