"""A tiny archive of packages in the format of Debian's index files, for tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

SUBJECTS = {
    "graphics": ("draw", "paint", "sketch", "shade"),
    "sound": ("play", "mix", "sing", "hum"),
    "science": ("weigh", "count", "solve", "plot"),
}
NUM_SOURCES = 6
"""Source packages of each word; each builds a program and its documentation."""


def package_stanzas() -> list[dict[str, str]]:
    """Fields of 150 packages, their documentation, libraries, metapackages, and the odd cases of real archives."""
    stanzas = []
    for section, words in SUBJECTS.items():
        for position, word in enumerate(words):
            other = words[(position + 1) % len(words)]
            for number in range(NUM_SOURCES):
                name = f"{word}-{number}"
                stanzas += [
                    {
                        "Package": name,
                        "Source": f"{name} (1.0-{number})",
                        "Version": f"1.0-{number}",
                        "Maintainer": "Jane Doe <jane.doe@example.org>",
                        "Description": f"{word} things of kind {number}",
                        "Section": section,
                        "Tag": f"use::{word}ing, implemented-in::c,\n interface::{section}, role::program",
                        "Depends": f"lib{section}1 (>= 1.0), no-such-package | {other}-{(number + 1) % NUM_SOURCES}",
                        "Pre-Depends": "init-tool:any",
                        "Recommends": f"{other}-{(number + 2) % NUM_SOURCES}, {name}-doc",
                        "Suggests": f"{word}-{(number + 3) % NUM_SOURCES}, {name}-doc, mail-server",
                    },
                    {
                        "Package": f"{name}-doc",
                        "Source": name,
                        "Version": "1.0",
                        "Description": f"documentation of {word}" if number < 2 else f"how to {word} {number}",
                        "Section": "doc",
                        "Enhances": name,
                    },
                ]
    stanzas += [
        {"Package": f"lib{section}1", "Version": "2:1.0~rc1-1", "Description": section, "Section": "libs"}
        for section in SUBJECTS
    ]
    stanzas += [
        {
            "Package": "init-tool",
            "Version": "1",
            "Section": "admin",
            "Description": "starts",
            "Provides": "starter (= 1)",
        },
        {"Package": "init-tool", "Version": "0.9", "Section": "admin", "Description": "an older one"},
        {"Package": "mail-a", "Version": "1", "Provides": "mail-server", "Depends": "starter", "Section": "mail"},
        {"Package": "mail-b", "Version": "1", "Provides": "mail-server", "Section": "non-free/mail"},
        {"Package": "no-section", "Version": "1", "Description": "ask jane.doe@example.org for more\n Long text."},
    ]
    for section, words in SUBJECTS.items():
        items = [f"{word}-{number}" for word in words for number in range(NUM_SOURCES)]
        common = {"Version": "1", "Source": f"{section}-meta", "Section": "metapackages"}
        stanzas += [
            common
            | {
                "Package": f"{section}-all",
                "Description": f"everything for {section}",
                "Depends": ", ".join(items[:16]),
                "Recommends": ", ".join([*items[16:20], f"{section}-desktop"]),
                "Suggests": items[20],
            },
            common
            | {
                "Package": f"{section}-desktop",
                "Description": f"{section} on a desktop",
                "Depends": ", ".join(items[8:16]),
            },
        ]
    stanzas.append({"Package": "small-meta", "Version": "1", "Section": "metapackages", "Depends": "draw-0"})
    return stanzas


def packages_text(stanzas: Sequence[Mapping[str, str]]) -> str:
    """The content of a `Packages` file."""
    return "\n".join("".join(f"{name}: {value}\n" for name, value in stanza.items()) for stanza in stanzas)


def png(shade: int, size: int = 8) -> bytes:
    """A grey PNG."""
    pixels = zlib.compress((b"\0" + bytes([shade]) * size) * size)
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


COMPONENTS = """\
---
File: DEP-11
Version: '1.0'
Origin: tiny
"""


def component(package: str, name: str, icon: str, *, kind: str = "desktop-application") -> str:
    """One document of a `Components` file."""
    return (
        f"---\nType: {kind}\nID: {name}\nPackage: {package}\nName:\n  C: {name}\n"
        f"Developer:\n  name:\n    C: Jane Doe\nIcon:\n  cached:\n  - name: {icon}\n    width: 64\n    height: 64\n"
    )


def write_archive(folder: Path, stanzas: Sequence[Mapping[str, str]] | None = None) -> Path:
    """Write `Packages.xz`, `Components-amd64.yml.gz`, both archives of icons and `Release` into a folder.

    Six packages name an icon: `draw-0` and `draw-1` have the same one in two sizes, `play-0` only a small one, that of
    `mix-0` is damaged in the large size, that of `sing-0` in both, and that of `hum-0` is in no archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = packages_text(package_stanzas() if stanzas is None else stanzas).encode()
    names = ("draw-0", "draw-1", "play-0", "mix-0", "sing-0", "hum-0", "not-a-package")
    index = COMPONENTS + "".join(component(name, f"org.{name}", f"{name}_icon.png") for name in names)
    broken = png(9)[:-20]
    large = {"draw-0": png(1, 128), "draw-1": png(1, 128), "mix-0": broken, "sing-0": broken}
    small = {"draw-0": png(2, 64), "draw-1": png(3, 64), "play-0": png(4, 64), "mix-0": png(5, 64), "sing-0": b""}
    contents = {
        "Packages": text,
        "Components-amd64.yml": index.encode(),
        "icons-128x128.tar": tar_of({f"{name}_icon.png": data for name, data in large.items()}),
        "icons-64x64.tar": tar_of({f"./{name}_icon.png": data for name, data in small.items()}),
    }
    for name, data in contents.items():
        if name == "Packages":
            (folder / f"{name}.xz").write_bytes(lzma.compress(data))
        else:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data, mtime=0))
    lines = [f" {hashlib.sha256(data).hexdigest()} {len(data)} main/{name}" for name, data in contents.items()]
    release = ["Origin: Debian", "Suite: stable", "Version: 99.1", "Codename: tiny", "Date: today", "SHA256:", *lines]
    (folder / "Release").write_text("\n".join(release) + "\n", encoding="utf-8")
    return folder
