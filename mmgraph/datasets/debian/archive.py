"""The index files of a release: recognised by name, decompressed, compared with the release file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmgraph.archives import decompress
from mmgraph.datasets.debian.control import stanzas
from mmgraph.errors import InputError

PACKAGES, COMPONENTS, ICONS_LARGE, ICONS_SMALL = "Packages", "Components", "icons-128x128", "icons-64x64"
RELEASE = "Release"

FILES = "Packages.xz, Components-amd64.yml.gz, icons-128x128.tar.gz, icons-64x64.tar.gz"
"""What to look for, as errors name it."""

# Also the names that apt gives to its copies: the address, with underscores.
_NAMES = {
    PACKAGES: r"(.*_)?Packages",
    COMPONENTS: r"(.*_)?Components-[a-z0-9]+\.yml",
    ICONS_LARGE: r"(.*_)?icons-128x128\.tar",
    ICONS_SMALL: r"(.*_)?icons-64x64\.tar",
    RELEASE: r"(.*_)?(In)?Release",
}
_ENDINGS = r"(\.(gz|xz|bz2|lz4|zst))?"
_RELEASE_FIELDS = ("Origin", "Suite", "Codename", "Version", "Date")


@dataclass(frozen=True)
class Archive:
    """Index files in memory.

    Attributes:
        contents: Content of each file, decompressed, by kind (`PACKAGES` and so on); only `PACKAGES` is always there.
        release: Fields of the release file, empty without one.
    """

    contents: Mapping[str, bytes]
    release: Mapping[str, str]

    def digests(self) -> dict[str, str]:
        """SHA-256 by kind, of the decompressed contents: it does not matter how a file was compressed."""
        return {kind: hashlib.sha256(data).hexdigest() for kind, data in self.contents.items()}


def find_files(paths: Sequence[Path]) -> dict[str, Path]:
    """Index files by kind, recognised by their names; of a folder, those directly in it.

    Raises:
        InputError: If a path does not exist, a file has another name, two files are of one kind, or there is no
            `Packages`.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: file not found")
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            kind = _kind(file.name) if file.is_file() else None
            if kind is None:
                if file is path:
                    raise InputError(f"{path}: expected a file named like one of {FILES}, or a folder of them")
                continue
            # InRelease says what Release says, and is signed.
            if kind in found and kind != RELEASE:
                raise InputError(f"{file}: a second file of the kind {kind}, besides {found[kind]}; name one of them")
            found.setdefault(kind, file)
    if PACKAGES not in found:
        where = ", ".join(map(str, paths))
        raise InputError(f"{where}: expected a file named like Packages.xz, found none; others may be: {FILES}")
    return found


def _kind(name: str) -> str | None:
    return next((kind for kind, pattern in _NAMES.items() if re.fullmatch(pattern + _ENDINGS, name)), None)


def read_archive(files: Mapping[str, Path]) -> Archive:
    """Read index files; if the release file is among them, the others must be those that it lists.

    Args:
        files: Paths by kind.

    Raises:
        InputError: If a file cannot be decompressed, or does not belong to the release.
    """
    contents = {kind: decompress(path) for kind, path in files.items() if kind != RELEASE}
    archive = Archive(contents, {})
    if RELEASE not in files:
        return archive
    text = decompress(files[RELEASE]).decode("utf-8", errors="replace")
    for kind, digest in archive.digests().items():
        if digest not in text:
            raise InputError(
                f"{files[kind]}: expected a file of the release in {files[RELEASE]}, which lists no such one"
            )
    return Archive(contents, _release_fields(text, where=str(files[RELEASE])))


def _release_fields(text: str, *, where: str) -> dict[str, str]:
    """Who released what and when; of a signed file, the part that is signed."""
    if text.startswith("-----BEGIN PGP SIGNED MESSAGE-----"):
        text = text.partition("\n\n")[2].partition("-----BEGIN PGP SIGNATURE-----")[0]
    fields = next(stanzas(text, where=where), {})
    return {name.lower(): fields[name.lower()] for name in _RELEASE_FIELDS if name.lower() in fields}
