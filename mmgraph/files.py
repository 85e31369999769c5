"""Files that are either whole or absent: digests and atomic writes."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
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


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it into place only if the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder; rename it to `path` only if the block ends well.

    On Linux an existing folder is swapped with the new one in one step, so a process that is killed at any moment leaves
    one of the two under `path`. Elsewhere there is a moment between two renames.

    Raises:
        InputError: If `path` exists and `overwrite` is false.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path} already exists; give another folder or ask to overwrite it")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary
        if not path.exists():
            os.replace(temporary, path)
        elif path.is_symlink() or not path.is_dir() or not _exchange(temporary, path):
            previous = _temporary_name(path)
            os.replace(path, previous)
            os.replace(temporary, path)
            shutil.rmtree(previous)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
