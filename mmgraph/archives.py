"""Archives and compressed files, unpacked with limits: nothing outside of the folder, no links, no bombs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

import pyarrow as pa

from mmgraph.errors import InputError, visible
from mmgraph.untrusted import damaged, reason

_COPY_BYTES = 1 << 20
_DAMAGED = damaged(tarfile.TarError, OSError)


@dataclass(frozen=True)
class ArchiveLimits:
    """How much may come out of an archive.

    Attributes:
        entries: Number of files and folders.
        total_bytes: Sum of the sizes of all files.
        ratio: How many times larger than the archive the sum may be, where it is above `small_bytes`. Text and tables
            of numbers shrink 3 to 20 times; deflate cannot do better than 1032.
        small_bytes: Sums up to this are not compared with the size of the archive.
    """

    entries: int = 100_000
    total_bytes: int = 2**36
    ratio: int = 200
    small_bytes: int = 2**28

    def check(self, where: object, entries: int, total: int, packed: int) -> None:
        """Compare what an archive says it holds, or what has come out of it so far.

        Raises:
            InputError: Names the limit.
        """
        if entries > self.entries:
            raise InputError(f"{where}: expected at most {self.entries:,} files in the archive")
        if total > self.most(packed):
            raise InputError(
                f"{where}: expected an archive that unpacks to at most {self.most(packed):,} bytes, this one has more"
            )

    def most(self, packed: int) -> int:
        """Most bytes that may come out of `packed` bytes."""
        return min(self.total_bytes, max(self.small_bytes, self.ratio * packed))


LIMITS = ArchiveLimits()


def safe_name(where: object, name: str) -> PurePosixPath:
    """Path of an entry, relative to wherever the archive is unpacked.

    Raises:
        InputError: If it is absolute, has a drive, goes up with `..`, or has characters that no file should have.
    """
    path = PurePosixPath(name)
    windows = PureWindowsPath(name)
    bad = path.is_absolute() or windows.drive or windows.root or ".." in path.parts or ".." in windows.parts
    if bad or not path.parts or "\\" in name or visible(name) != name or len(name) > 1024:
        raise InputError(f"{where}: expected files inside of the archive's own folder, got {name[:100]!r}")
    return path


def extract_zip(archive: Path, folder: Path, limits: ArchiveLimits = LIMITS) -> None:
    """Unpack a zip file into a folder that exists.

    Names, links, numbers and sizes are checked before anything is written; sizes once more while it is written, because
    an archive may lie about them.

    Args:
        archive: The zip file.
        folder: Where its files go.
        limits: How much may come out.

    Raises:
        InputError: If it is damaged, encrypted, too large, or an entry is a link or lies outside of the folder.
    """
    packed = archive.stat().st_size
    try:
        with zipfile.ZipFile(archive) as file:
            entries = file.infolist()
            limits.check(archive, len(entries), sum(entry.file_size for entry in entries), packed)
            paths = [safe_name(archive, entry.filename) for entry in entries]
            for entry in entries:
                if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise InputError(f"{archive}: expected files only, {entry.filename!r} is a link or a device")
            written = 0
            for entry, path in zip(entries, paths, strict=True):
                target = folder / path
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(entry) as source, open(target, "xb") as out:
                    written += _copy(source, out, archive, limits.most(packed) - written)
    except InputError:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileExistsError):
            raise
        raise InputError(f"{archive}: expected an archive, got: {reason(error)}") from None


def zip_member(archive: Path, member: str, *, max_bytes: int = 2**28) -> bytes:
    """Content of one file inside a zip file, such as a wheel.

    Raises:
        InputError: If there is no such file, it is damaged, or larger than `max_bytes`.
    """
    try:
        with zipfile.ZipFile(archive) as file, file.open(member) as source:
            out = io.BytesIO()
            _copy(source, out, f"{archive}, {member}", max_bytes)
            return out.getvalue()
    except InputError:
        raise
    except KeyError:
        raise InputError(f"{archive}: expected the file {member} inside, found none") from None
    except _DAMAGED as error:
        raise InputError(f"{archive}: expected an archive, got: {reason(error)}") from None


def tar_members(
    data: bytes, wanted: Collection[str], *, where: object, max_bytes: int = 2**24, limits: ArchiveLimits = LIMITS
) -> dict[str, bytes]:
    """Contents of some files of a tar archive in memory, by name without a leading `./`. Links are not followed.

    Args:
        data: The archive, not compressed.
        wanted: Names of the files.
        where: Named in errors.
        max_bytes: Most bytes of one file.
        limits: `entries` counts; sizes cannot exceed that of `data`.

    Raises:
        InputError: If it is damaged, or has too many entries or too large ones.
    """
    found: dict[str, bytes] = {}
    try:
        # Mode "r:" and not "r": what is inside of `data` is not decompressed once more.
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for number, member in enumerate(archive, start=1):
                limits.check(where, number, 0, len(data))
                name = member.name.removeprefix("./")
                if name not in wanted or not member.isreg():
                    continue
                if member.size > max_bytes or member.issparse():
                    raise InputError(f"{where}: expected at most {max_bytes:,} bytes in {name!r}")
                file = archive.extractfile(member)
                found[name] = b"" if file is None else file.read(max_bytes)
    except InputError:
        raise
    except _DAMAGED as error:
        raise InputError(f"{where}: expected a tar archive, got: {reason(error)}") from None
    return found


def decompress(path: Path, *, max_bytes: int = 2**32, limits: ArchiveLimits = LIMITS) -> bytes:
    """Content of a file, decompressed according to its ending (`.gz`, `.xz`, `.bz2`, `.lz4`, `.zst`), else as it is.

    Args:
        path: The file.
        max_bytes: Most bytes of the content.
        limits: Its ratio counts too.

    Raises:
        InputError: If it is damaged or too large.
    """
    openers: dict[str, Callable[[Path], Any]] = {
        ".gz": gzip.open,
        ".xz": lzma.open,
        ".bz2": bz2.open,
        ".lz4": lambda path: pa.input_stream(str(path), compression="lz4"),
        ".zst": lambda path: pa.input_stream(str(path), compression="zstd"),
    }
    opener: Callable[[Path], Any] = openers.get(path.suffix, lambda path: path.open("rb"))
    most = min(max_bytes, limits.most(path.stat().st_size))
    out = io.BytesIO()
    try:
        with opener(path) as source:
            _copy(source, out, path, most)
    except InputError:
        raise
    except _DAMAGED as error:
        raise InputError(f"{path}: cannot be decompressed: {reason(error)}") from None
    return out.getvalue()


def _copy(source: IO[bytes], out: IO[bytes], where: object, most: int) -> int:
    """Copy at most so many bytes."""
    copied = 0
    while block := source.read(_COPY_BYTES):
        copied += len(block)
        if copied > most:
            raise InputError(f"{where}: expected content of at most {most:,} bytes")
        out.write(block)
    return copied
