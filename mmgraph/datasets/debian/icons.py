"""Icons of applications: which icon a package shows (AppStream, also called DEP-11), and its picture.

References:
    AppStream specification, section "Debian AppStream distro XML/YAML (DEP-11)".
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mmgraph.archives import tar_members
from mmgraph.errors import InputError
from mmgraph.yaml_text import parse_yaml

SIZES = (128, 64)
"""Widths of the icons that are used, best first."""

_FIELDS = ("Type", "ID", "Package", "Icon")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_components(data: bytes, *, where: str = "Components") -> dict[str, tuple[str, ...]]:
    """Names of icon files by package, the one to show first.

    A package with several applications shows the one with the shortest id (`calibre-gui` before `calibre-ebook-edit`,
    then by alphabet); fonts, plugins and other components come after applications.

    Args:
        data: Content of a `Components-*.yml`: one document per component, after one on the file.
        where: Named in errors.

    Raises:
        InputError: If it is not UTF-8, not YAML, or lacks what an index of components has.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: expected UTF-8, got: {error}") from None
    if not re.match(r"(---\s*)?File: *DEP-11", text):
        raise InputError(f"{where}: expected an index of components (File: DEP-11), got {text[:40]!r}")
    found: dict[str, list[tuple[bool, int, str, str]]] = {}
    # Names and descriptions in dozens of languages are most of the file, and most of the time of a YAML parser.
    for document in ("\n" + text).split("\n---"):
        kept = _reduced(document)
        if "Icon:" not in kept:
            continue
        component = _parse(kept, where)
        name, package = str(component.get("ID", "")), component.get("Package")
        if not isinstance(package, str):
            continue  # a component of a web page, or an entry that removes another
        for icon in _cached(component):
            order = (component.get("Type") != "desktop-application", len(name), name, icon)
            found.setdefault(package, []).append(order)
    return {
        package: tuple(dict.fromkeys(icon for *_, icon in sorted(orders))) for package, orders in sorted(found.items())
    }


def _reduced(document: str) -> str:
    """The document without the fields that are not read."""
    lines, keep = [], False
    for line in document.split("\n"):
        if line and line[0] not in " -\t":
            keep = line.partition(":")[0] in _FIELDS
        if keep:
            lines.append(line)
    return "\n".join(lines)


def _parse(document: str, where: str) -> dict[str, Any]:
    component = parse_yaml(document, where=where, fast=True)
    if not isinstance(component, dict):
        raise InputError(f"{where}: expected the fields of a component, got {document[:40]!r}")
    return component


def _cached(component: Mapping[str, Any]) -> list[str]:
    """Names of the files in the archives of icons; the same name in each size."""
    icons = component.get("Icon")
    cached = icons.get("cached") if isinstance(icons, dict) else None
    return [str(icon["name"]) for icon in cached or () if isinstance(icon, dict) and "name" in icon]


def read_icons(data: bytes, wanted: Collection[str], *, where: str = "icons") -> dict[str, bytes]:
    """Contents of the wanted files of an archive of icons, by name.

    Args:
        data: Content of an `icons-*.tar`.
        wanted: Names as `read_components` gives them.
        where: Named in errors.

    Raises:
        InputError: If it is no tar archive, or has too many or too large files.
    """
    return tar_members(data, wanted, where=where)


def choose_icons(
    components: Mapping[str, Iterable[str]], icons: Iterable[Mapping[str, bytes]]
) -> tuple[dict[str, bytes], list[str]]:
    """The picture of each package: the first usable one in the order of components, the largest of its sizes.

    Args:
        components: Names of icon files by package, best first.
        icons: Contents by name, one table for each size, best first.

    Returns:
        Contents by package, and the names of the files that were set aside because they are no whole PNG.
    """
    tables = list(icons)
    chosen, quarantined = {}, set()
    for package, names in components.items():
        for name, table in ((name, table) for name in names for table in tables):
            if name not in table:
                continue
            if is_png(table[name]):
                chosen[package] = table[name]
                break
            quarantined.add(name)
    return chosen, sorted(quarantined)


def is_png(data: bytes) -> bool:
    """Whether this is a whole PNG: signature, chunks with the right check sums, at least one pixel, and an end."""
    if not data.startswith(_SIGNATURE + b"\0\0\0\rIHDR") or len(data) < 33:
        return False
    width, height = struct.unpack(">II", data[16:24])
    position, kind, pixels = len(_SIGNATURE), b"", False
    while kind != b"IEND":
        if position + 12 > len(data):
            return False
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind, end = data[position + 4 : position + 8], position + 8 + length
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[position + 4 : end])):
            return False
        pixels = pixels or (kind == b"IDAT" and length > 0)
        position = end + 4
    return pixels and width > 0 and height > 0
