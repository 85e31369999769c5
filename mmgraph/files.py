"""Files that are either whole or absent: digests and atomic writes.

What `atomic_path` and `atomic_folder` write survives a kill at any moment, and, once the block has ended, a loss of power:
contents are flushed to the disk before the rename, and the folder after it. On an ext4 disk a flush took 4 ms, so a file
costs 8 ms; a folder of 2,000 small files took 9 s file by file and 0.04 s as one `syncfs`, which folders of many files get.
Caches are not flushed: their files are checked by digest when they are read, and made again.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmgraph.errors import InputError
from mmgraph.untrusted import check_depth, limited_bytes

MAX_JSON_BYTES, MAX_JSON_DEPTH = 2**26, 100


def cache_folder(name: str) -> Path:
    """Folder of one of the caches: `$MMGRAPH_CACHE/name`, else `~/.cache/mmgraph/name`. It need not exist."""
    root = os.environ.get("MMGRAPH_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "mmgraph") / name


def content_digest(*parts: bytes | str) -> str:
    """Hash parts to a 64-character SHA-256; the boundaries between parts count."""
    return parts_digest(parts)


def parts_digest(parts: Iterable[bytes | str]) -> str:
    """`content_digest` of parts that come one by one."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<place>[0-9a-f]{8})-(?P<pid>[0-9]+)-[0-9a-f]{8}\.tmp")
_FULL = re.compile(r"no space left|disk is full|os error 28\b", re.IGNORECASE)
_FLUSH_ONE_BY_ONE = 32


def _place() -> str:
    """Where process ids mean something: this machine, and this container."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return content_digest(platform.node(), space)[:8]


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{_place()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")


def is_temporary(path: Path | str) -> bool:
    """Whether a file or folder is what `atomic_path` or `atomic_folder` has begun and not ended."""
    return _TEMPORARY.fullmatch(Path(path).name) is not None


def _final_name(name: str) -> str:
    """What a temporary name would have become; a folder that is replaced may itself be a temporary one."""
    while found := _TEMPORARY.fullmatch(name):
        name = found["name"]
    return name


def final_path(path: Path | str) -> Path:
    """The path with temporary names replaced by what they would have become: what a message should name."""
    return Path(*(_final_name(part) for part in Path(path).parts))


def remove_leftovers(folder: Path | str, name: str | None = None) -> None:
    """Remove what killed processes left half-written in a folder.

    A temporary name holds machine and process; only those of this machine whose process is gone are removed.

    Args:
        folder: Where to look; it need not exist.
        name: Only what was to become this file or folder; everything by default.
    """
    with contextlib.suppress(OSError):  # what cannot be listed or removed stays: it harms nobody
        for entry in list(os.scandir(folder)):
            found = _TEMPORARY.fullmatch(entry.name)
            if not found or (name is not None and _final_name(entry.name) != name):
                continue
            if found["place"] == _place() and not _is_alive(int(found["pid"])):
                _remove(entry.path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True


@contextmanager
def atomic_path(path: Path | str, *, cache: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; flush it and rename it into place only if the block ends well.

    Args:
        path: The file.
        cache: The file can be made again: it is not flushed, and leftovers of killed processes are not looked for.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lasting = not cache and not any(map(is_temporary, path.parents))  # a temporary folder is flushed as a whole
    if lasting:
        remove_leftovers(path.parent, path.name)
    temporary = _temporary_name(path)
    try:
        with _naming_a_full_disk(path):
            yield temporary
        if lasting:
            flush(temporary)
        os.replace(temporary, path)
        if lasting:
            flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder; flush it and rename it to `path` only if the block ends well.

    On Linux an existing folder is swapped with the new one in one step, so a process that is killed at any moment leaves
    one of the two under `path`. Elsewhere there is a moment between two renames; the next call puts the old one back.

    Raises:
        InputError: If `path` exists and `overwrite` is false.
    """
    path = Path(path)
    _put_back(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path} already exists; give another folder or ask to overwrite it")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    temporary = _temporary_name(path)
    temporary.mkdir()
    try:
        with _naming_a_full_disk(path):
            yield temporary
        _flush_tree(temporary)
        if not path.exists():
            os.replace(temporary, path)
        elif path.is_symlink() or not path.is_dir() or not _exchange(temporary, path):
            # Not a temporary name: between the two renames it is the only whole one.
            previous = _temporary_name(path).with_suffix(".old")
            os.replace(path, previous)
            os.replace(temporary, path)
            _remove(previous)
        flush(path.parent)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _put_back(path: Path) -> None:
    """Undo the first of two renames if its process was killed before the second one."""
    for old in sorted(path.parent.glob(f".{glob.escape(path.name)}.*.old")):
        found = _TEMPORARY.fullmatch(old.with_suffix(".tmp").name)
        if found and found["place"] == _place() and not _is_alive(int(found["pid"])):
            if path.exists() or path.is_symlink():
                _remove(old)
            else:
                os.replace(old, path)


def _remove(path: Path | str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


@contextmanager
def _naming_a_full_disk(path: Path) -> Iterator[None]:
    """Libraries tell of a full disk by errors of their own; the command line knows `ENOSPC` and says what to do."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            # A copy names the file that it reads.
            if error.errno == errno.ENOSPC and not str(error.filename).startswith(f"{path.parent}{os.sep}"):
                error.filename = str(path)
            raise
        if _FULL.search(str(error)) or (isinstance(error, (OSError, RuntimeError)) and _is_full(path.parent)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < 2**16


def flush(path: Path | str) -> None:
    """Wait until a file or folder is on the disk; a folder that cannot be flushed (Windows, some network disks) is left.

    Raises:
        OSError: If the content of a file cannot be written.
    """
    try:
        number = os.open(path, os.O_RDONLY)
    except (IsADirectoryError, PermissionError):
        return
    try:
        os.fsync(number)
    except OSError:
        if not os.path.isdir(path):
            raise
    finally:
        os.close(number)


def _flush_tree(folder: Path) -> None:
    paths = [item for item in folder.rglob("*") if not item.is_symlink()]
    if len(paths) > _FLUSH_ONE_BY_ONE and _sync_file_system(folder):
        return
    for path in [*paths, folder]:
        flush(path)


def _sync_file_system(folder: Path) -> bool:
    """Flush everything on the file system of a folder at once, by `syncfs` of Linux; false where it is missing."""
    try:
        syncfs = ctypes.CDLL(None).syncfs
    except (AttributeError, OSError, TypeError):
        return False
    number = os.open(folder, os.O_RDONLY)
    try:
        return bool(syncfs(number) == 0)
    finally:
        os.close(number)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step, by `renameat2` of Linux; false where it is missing or the file system refuses."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    current_folder, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    code = renameat2(current_folder, os.fsencode(one), current_folder, os.fsencode(other), ctypes.c_uint(exchange))
    return bool(code == 0)


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON atomically, readable and with a stable key order."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(json_text(value).encode())


def json_text(value: Any) -> str:
    """The text that `write_json` writes."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def read_json(path: Path | str) -> Any:
    """Read JSON.

    Raises:
        InputError: If the file is missing, not JSON, larger than `MAX_JSON_BYTES`, or nested deeper than
            `MAX_JSON_DEPTH`.
    """
    content = limited_bytes(path, MAX_JSON_BYTES)
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: also of numbers with thousands of digits
        raise InputError(f"{path}: expected JSON, got: {error}") from None
    check_depth(value, MAX_JSON_DEPTH, path)
    return value
