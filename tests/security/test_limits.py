"""Files that are made to use up memory or time, or to write elsewhere, are refused in one line."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmgraph.archives import ArchiveLimits, decompress, extract_zip, safe_name, tar_members, zip_member
from mmgraph.cli import output
from mmgraph.cli.main import main
from mmgraph.cli.output import write_json_line, write_line
from mmgraph.config import read_mapping
from mmgraph.data.arrays import load_npy
from mmgraph.data.image_files import image_size, open_image
from mmgraph.encoders.images import load_rgb
from mmgraph.errors import InputError, visible
from mmgraph.export.base import read_table, write_table
from mmgraph.files import MAX_JSON_BYTES, read_json
from mmgraph.formats.tables import read_tables
from mmgraph.inference.table import EmbeddingTable
from mmgraph.testing.factories import make_graph
from mmgraph.untrusted import check_depth, reading, reads
from mmgraph.yaml_text import MAX_YAML_BYTES, parse_yaml

SMALL = ArchiveLimits(entries=3, total_bytes=10_000, ratio=2, small_bytes=1_000)


# -- YAML

LAUGHS = "\n".join([f"a0: &a0 [{'x, ' * 9}x]", *(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}*a{i - 1}]" for i in range(1, 10))])
MERGED = "\n".join(
    [
        f"a0: &a0 {{{', '.join(f'k{i}: 1' for i in range(9))}}}",
        *(f"a{i}: &a{i} {{<<: [{f'*a{i - 1}, ' * 9}*a{i - 1}]}}" for i in range(1, 10)),
    ]
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, r"at most 100,000 values with aliases replaced, got \d\d,\d{3},\d{3},\d{3}"),
        (MERGED, "at most 100,000 values with aliases replaced"),
        ("a: &a [*a]", "line 1: a value holds itself"),
        ("a: " + "[" * 500_000, "line 1: expected at most 50 levels"),
        ("a: " + "[" * 60 + "]" * 60, "line 1: expected at most 50 levels"),
        ("\n".join(" " * i + "a:" for i in range(500)), "expected at most 50 levels"),
        ("a: " + "1" * 5000, "line 1: expected numbers of at most 400 digits"),
        ("a: 1" + ":1" * 100_000, "line 1: expected numbers of at most 400 digits"),
        ("a: 2001-99-99", "expected YAML, got: month must be in"),
        ("a: !!binary x", "line 1: failed to decode base64 data"),
        ("a: !!timestamp x", "expected YAML, got: "),
        ("a: !!int x", "expected YAML, got: invalid literal"),
        ("a: !!python/object/apply:os.system ['touch was-run']", "line 1: could not determine a constructor"),
        ("a: !!python/name:os.system", "line 1: could not determine a constructor"),
        ("? [a]\n: 1", "line 1: found unhashable key"),
        ("a: \x00", "expected YAML, got: unacceptable character"),
        ("a: 1\n---\nb: 2", "line 2: but found another document"),
        ("#" * (MAX_YAML_BYTES + 1), "expected at most 1,048,576 "),
    ],
)
def test_yaml(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^here: .*{message}") as error:
        parse_yaml(text, where="here")
    assert len(str(error.value).splitlines()) == 1
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode())
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: "):
        read_mapping(path)


def test_yaml_with_ordinary_aliases_is_read() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}", where="here") == {
        "a": {"x": 1},
        "b": {"x": 1},
        "c": {"x": 1, "y": 2},
    }
    deep = "[" * 48 + "]" * 48
    assert parse_yaml(deep, where="here")
    assert parse_yaml("", where="here") is None


@pytest.mark.parametrize("fast", [True, False])
def test_fast_yaml_has_the_same_limits(fast: bool) -> None:
    for text in (LAUGHS, MERGED, "a: &a [*a]", "a: " + "[" * 100_000, "a: !!python/name:os.system"):
        with pytest.raises(InputError, match="^here: "):
            parse_yaml(text, where="here", fast=fast)


# -- JSON


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 101 + "]" * 101, '{"a":' * 101 + "1" + "}" * 101, "1" * 5000])
def test_json(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: expected ") as error:
        read_json(path)
    assert len(str(error.value).splitlines()) == 1


def test_json_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)  # takes no room on the disk
    with pytest.raises(InputError, match="a.json: expected at most 67,108,864 bytes"):
        read_json(path)
    with pytest.raises(InputError, match="expected a file, found a folder"):
        read_json(tmp_path)


def test_depth_counts_containers_only() -> None:
    check_depth([[1, {"a": "text"}]], 3, "here")
    with pytest.raises(InputError, match="here: expected at most 2 levels"):
        check_depth([[1, {"a": "text"}]], 2, "here")
    check_depth("text", 0, "here")


# -- archives


def make_zip(path: Path, entries: dict[str, bytes], *, mode: int = stat.S_IFREG | 0o644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    return path


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/out", "C:\\out", "\\\\host\\out", "a\\..\\..\\out", "a\x1b[2J", "x" * 1025]
)
def test_entries_stay_inside(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="here: expected files inside"):
        safe_name("here", name)
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = make_zip(tmp_path / "a.zip", {"first": b"1", name: b"2"})
    with pytest.raises(InputError, match="a.zip: expected files inside"):
        extract_zip(archive, inside)
    assert list(inside.iterdir()) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(kind: int, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"link": b"/etc/passwd"}, mode=kind | 0o777)
    with pytest.raises(InputError, match="a.zip: expected files only, 'link' is a link or a device"):
        extract_zip(archive, tmp_path)


def test_bombs_are_refused(tmp_path: Path) -> None:
    many = make_zip(tmp_path / "many.zip", {str(i): b"" for i in range(4)})
    with pytest.raises(InputError, match="many.zip: expected at most 3 files"):
        extract_zip(many, tmp_path, SMALL)
    large = make_zip(tmp_path / "large.zip", {"a": b"0" * 5000})
    with pytest.raises(InputError, match="large.zip: expected an archive that unpacks to at most 1,000 bytes"):
        extract_zip(large, tmp_path, SMALL)
    assert not (tmp_path / "a").exists()


def test_an_archive_that_lies_about_sizes_is_stopped(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a": b"0" * 5000})
    data = bytearray(archive.read_bytes())
    for at in (data.find(b"PK\x01\x02") + 24, data.find(b"PK\x03\x04") + 22):  # uncompressed size, in both headers
        data[at : at + 4] = struct.pack("<I", 10)
    archive.write_bytes(data)
    with pytest.raises(InputError, match="a.zip: expected "):
        extract_zip(archive, tmp_path, SMALL)
    assert not (tmp_path / "a").exists() or (tmp_path / "a").stat().st_size <= 10


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", b"1")
        file.filelist[0].filename = "b"
        file.writestr("a", b"2")
        file.filelist[0].filename = "a"
    with pytest.raises(InputError, match="a.zip: expected an archive, got: "):
        extract_zip(path, tmp_path)


def test_an_ordinary_archive_is_unpacked(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a/": b"", "a/b.txt": b"1", "c": b"2" * 50_000})
    inside = tmp_path / "inside"
    inside.mkdir()
    extract_zip(archive, inside)
    assert (inside / "a" / "b.txt").read_bytes() == b"1"
    assert (inside / "c").read_bytes() == b"2" * 50_000
    assert zip_member(archive, "a/b.txt") == b"1"
    with pytest.raises(InputError, match="a.zip, c: expected content of at most 100 bytes"):
        zip_member(archive, "c", max_bytes=100)
    with pytest.raises(InputError, match="expected the file x inside, found none"):
        zip_member(archive, "x")


@pytest.mark.parametrize("cut", [0, 10, 40])
def test_damaged_archives(cut: int, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a": bytes(range(256))})
    archive.write_bytes(archive.read_bytes()[:cut])
    for read in (lambda: extract_zip(archive, tmp_path), lambda: zip_member(archive, "a")):
        with pytest.raises(InputError, match="a.zip: expected an archive, got: "):
            read()


def test_tar(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("./icon.png", b"1"), ("../icon2.png", b"2"), ("large", b"3" * 2000)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    data = buffer.getvalue()
    assert tar_members(data, {"icon.png", "link"}, where="here") == {"icon.png": b"1"}
    with pytest.raises(InputError, match="here: expected at most 1,000 bytes in 'large'"):
        tar_members(data, {"large"}, where="here", max_bytes=1000)
    with pytest.raises(InputError, match="here: expected at most 3 files"):
        tar_members(data, {"large"}, where="here", limits=SMALL)
    with pytest.raises(InputError, match="here: expected a tar archive"):
        tar_members(gzip.compress(data), {"large"}, where="here")
    with pytest.raises(InputError, match="here: expected a tar archive"):
        tar_members(b"x" * 1000, {"large"}, where="here")


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_bombs(ending: str, compress: Any, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(compress(b"0" * 100_000))
    assert len(decompress(path)) == 100_000
    with pytest.raises(InputError, match="expected content of at most 1,000 bytes"):
        decompress(path, max_bytes=1000)
    with pytest.raises(InputError, match="expected content of at most 1,000 bytes"):
        decompress(path, limits=SMALL)


# -- images


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds one line of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 6_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.filterwarnings("ignore:.*decompression bomb.*")
def test_images_with_too_many_pixels(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(*size))
    with pytest.raises(InputError, match="a.png: image too large"):
        load_rgb(path)


def test_webp_is_measured_before_it_is_opened(tmp_path: Path) -> None:
    canvas = (16_000 - 1).to_bytes(3, "little")
    path = tmp_path / "a.webp"
    path.write_bytes(b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + canvas + canvas + b"\0" * 10)
    for read in (load_rgb, image_size):
        with pytest.raises(
            InputError, match="a.webp: image too large: 16,000 x 16,000 pixels, the limit is 100,000,000"
        ):
            read(path)


def test_image_files_that_are_too_large(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with (
        pytest.raises(InputError, match="image too large: .* bytes, the limit is 10"),
        open_image(tmp_path / "a.png", max_bytes=10),
    ):
        pass


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(was-run) (w) file closefile\nshowpage\n"


def test_only_known_formats_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would start Ghostscript for EPS, whatever the file is called."""
    import subprocess

    monkeypatch.setattr(subprocess, "check_call", lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / "a.png").write_bytes(POSTSCRIPT)
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png", "PPM")
    for name in ("a.png", "b.png"):
        for read in (load_rgb, image_size):
            with pytest.raises(InputError, match=f"{name}: not a readable image"):
                read(tmp_path / name)


# -- what the terminal gets


EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\u202egnp.exe\x7f"


def test_nothing_controls_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_line(EVIL)
    output.write_table([EVIL], [[EVIL]], title="t")
    write_json_line({"id": EVIL})
    assert main(["embed", "--graph", str(tmp_path / EVIL), "--run", str(tmp_path / EVIL), "--out", "x"]) == 2
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert not set(shown) & set("\x1b\x07\x9b\u202e\x7f")
    assert r"\x1b[2J\x9b31m\u202egnp.exe\x7f" in shown


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    write_json_line({"id": EVIL, "name": "ü漢😀"})
    line = capsys.readouterr().out
    assert json.loads(line) == {"id": EVIL, "name": "ü漢😀"}
    assert "ü漢😀" in line
    assert "\x9b" not in line


def test_text_in_any_script_stays() -> None:
    text = "Zürich 漢字 العربية עברית 👩‍👩‍👧 naïve\ttab\nline"
    assert visible(text) == text


# -- how damage is told


def test_damage_is_told_in_one_line() -> None:
    @reads("a graph")
    def read(path: str, value: Any) -> Any:
        return {"a": value}["b"]

    with pytest.raises(InputError, match="^x: expected a graph, got: no 'b'$") as error:
        read("x", 1)
    assert isinstance(error.value.__cause__, KeyError)


@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(28, "full"), KeyboardInterrupt()])
def test_what_the_system_says_passes(error: BaseException) -> None:
    with pytest.raises(type(error)), reading("x", "a graph"):
        raise error


def test_an_error_without_a_number_is_damage() -> None:
    with pytest.raises(InputError, match="x: expected a graph, got: Couldn't deserialize"), reading("x", "a graph"):
        raise OSError("Couldn't deserialize")
    with pytest.raises(InputError, match="x: expected a graph, got: MemoryError"), reading("x", "a graph"):
        raise MemoryError
    with pytest.raises(InputError, match="x: expected a graph, got: .*name too long"), reading("x", "a graph"):
        Path("x" * 5000).read_bytes()  # a name that a forged description of files gives


# -- arrays


def npy(header: str, values: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + values


@pytest.mark.parametrize("mmap_mode", [None, "c"])
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}\n",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ((1,),)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': __import__('os')}\n",
        "{'descr': '<f4', 'fortran_order': False,\n",
        "[" * 5000,
        "",
    ],
)
def test_arrays_with_headers_that_lie(header: str, mmap_mode: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy(header, b"\0" * 16))
    with pytest.raises(InputError, match="a.npy: expected ") as error:
        load_npy(path, mmap_mode=mmap_mode)
    assert len(str(error.value).splitlines()) == 1


def test_arrays_that_are_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npy.npz", a=np.ones(2))
    (tmp_path / "empty").touch()
    for name in ("a.npy.npz", "empty", "missing"):
        with pytest.raises(InputError, match=f"{name}: "):
            load_npy(tmp_path / name)
    np.save(tmp_path / "good.npy", np.arange(6.0).reshape(2, 3))
    assert load_npy(tmp_path / "good.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert isinstance(load_npy(tmp_path / "good.npy", mmap_mode="r"), np.memmap)


# -- tables and XML


@pytest.mark.parametrize("line", ["[" * 100_000, '{"id": ' + "1" * 5000 + "}"], ids=["brackets", "digits"])
def test_json_lines_are_rows_that_are_bad(line: str, tmp_path: Path) -> None:
    (tmp_path / "nodes.jsonl").write_text(f'{{"id": "a"}}\n{line}\n{{"id": "b"}}\n')
    (tmp_path / "edges.csv").write_text("source,target\na,b\n")
    with pytest.raises(InputError, match="nodes.jsonl, row 2: expected a JSON object, got: "):
        read_tables(tmp_path)
    assert read_tables(tmp_path, on_defect="quarantine").num_nodes == 2


def test_a_line_that_fills_the_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgraph.formats.tables.jsonl._LINE_BYTES", 1000)
    with gzip.open(tmp_path / "nodes.jsonl.gz", "wb") as file:
        file.write(b'{"id": "' + b"a" * 5000 + b'"}\n')
    (tmp_path / "edges.csv").write_text("source,target\n")
    with pytest.raises(InputError, match="nodes.jsonl.gz: cannot be read: a line has more than 1,000 bytes"):
        read_tables(tmp_path)


def test_entities_of_xml_are_not_expanded(tmp_path: Path) -> None:
    path = tmp_path / "a.graphml"
    graph = make_graph(4, 3)
    write_table(EmbeddingTable.for_graph(graph, torch.ones(4, 2), model="m"), path, format="graphml", graph=graph)
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    text = path.read_text().split("\n", 1)
    path.write_text(f'{text[0]}\n<!DOCTYPE graphml [<!ENTITY a0 "ha">{laughs}]>\n{text[1].replace("Title", "&a9;")}')
    with pytest.raises(InputError, match="a.graphml: expected a graph with embeddings, got: "):
        read_table(path)


def test_errors_are_one_line_whatever_was_found() -> None:
    error = InputError("a.json: expected x, got a\nb\u2028c\x1b[2J\x85")
    assert str(error) == r"a.json: expected x, got a\nb\u2028c\x1b[2J\x85"
    assert len(str(error).splitlines()) == 1
