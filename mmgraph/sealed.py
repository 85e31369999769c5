"""Files that carry the digest of their own content, so that one changed byte is noticed when they are read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmgraph.errors import InputError
from mmgraph.files import file_digest, json_text, read_json, write_json

KEY = "sha256"
_TRAILER = b"\nmmgraph-sha256:"
_TRAILER_LENGTH = len(_TRAILER) + 64


def write_sealed_json(path: Path | str, value: Mapping[str, Any]) -> None:
    """Write a JSON object with the SHA-256 of its text as the last entry, `sha256`; atomically."""
    write_json(path, _sealed(value))


def sealed_json(value: Mapping[str, Any]) -> str:
    """The text that `write_sealed_json` writes; a digest that is there already is replaced."""
    return json_text(_sealed(value))


def read_sealed_json(path: Path | str) -> Any:
    """Read what `write_sealed_json` wrote, without the entry `sha256`.

    A file without a digest, of an earlier version or somebody else, is read as it is; one whose last entry is a digest
    under another name has lost its own.

    Raises:
        InputError: If the file is missing, not JSON, or not the text that was written.
    """
    value = read_json(path)
    if not isinstance(value, dict) or not value:
        return value
    if _unsealed(value, path) and not is_canonical(path, _sealed(value)):
        raise InputError(f"{path}: the file was changed: its content does not match its SHA-256")
    return value


def sealed_text(value: Mapping[str, Any]) -> str:
    """One line of JSON with the SHA-256 of the rest as the last entry, for places inside other files."""
    return json.dumps(_sealed(value), ensure_ascii=False)


def read_sealed_text(text: bytes, path: Path | str) -> Any:
    """Read what `sealed_text` made; a text without a digest, of an earlier version, is read as it is.

    Raises:
        InputError: If it is not JSON or was changed.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON in the metadata, got: {error}") from None
    if isinstance(value, dict) and value and _unsealed(value, path) and sealed_text(value) != text.decode():
        raise InputError(f"{path}: the file was changed: its metadata do not match their SHA-256")
    return value


def _unsealed(value: dict[str, Any], path: Path | str) -> bool:
    """Take the seal off; false if there is none.

    Raises:
        InputError: If it is there under another name or at another place.
    """
    last, digest = next(reversed(value.items()))
    if last != KEY:
        # `digest` is what graph.json calls its own; it has its own check.
        if KEY in value or (last != "digest" and isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest)):
            raise InputError(f"{path}: the file was changed: its last entry is not {KEY!r}")
        return False
    del value[KEY]
    return True


def is_canonical(path: Path | str, value: Any) -> bool:
    """Whether a file is byte for byte what `write_json` makes of a value: white space is content too."""
    return Path(path).read_bytes() == json_text(value).encode(errors="surrogatepass")


def seal(data: bytes | memoryview) -> bytes:
    """Bytes to append to a file so that `unseal` can check it."""
    return _TRAILER + hashlib.sha256(data).hexdigest().encode()


def unseal(data: bytes, path: Path | str) -> memoryview:
    """The content of a file that ends with what `seal` gave.

    Raises:
        InputError: If the end is missing or the content is another.
    """
    content, trailer = memoryview(data)[:-_TRAILER_LENGTH], data[-_TRAILER_LENGTH:]
    if not trailer.startswith(_TRAILER):
        raise InputError(f"{path}: the file is damaged: it does not end with its SHA-256")
    if seal(content) != trailer:
        raise InputError(f"{path}: the file is damaged: its content does not match its SHA-256")
    return content


def digests_of(folder: Path, *, besides: Iterable[str] = ()) -> dict[str, str]:
    """SHA-256 of all files of a folder and its subfolders by relative path, in alphabetical order."""
    left_out = set(besides)
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: file_digest(paths[name]) for name in sorted(paths) if name not in left_out}


def check_digests(folder: Path, digests: object, *, source: Path | str) -> None:
    """Compare files with their digests.

    Args:
        folder: Where the files are.
        digests: SHA-256 by relative path, as `digests_of` gave it.
        source: The file that says so, named in errors.

    Raises:
        InputError: Names the first file that is missing or was changed.
    """
    if not isinstance(digests, dict):
        raise InputError(f"{source}: expected SHA-256 by file, got {type(digests).__name__}")
    for name, digest in digests.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts or not path.is_file():
            raise InputError(f"{path}: the file is missing, but {source} lists it")
        check_digest(path, digest, source=source)


def check_digest(path: Path, digest: object, *, source: Path | str) -> None:
    """Compare one file with its digest.

    Raises:
        InputError: If they differ, or the file cannot be read.
    """
    try:
        found = file_digest(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if found != digest:
        raise InputError(
            f"{path}: the file was changed: expected SHA-256 {str(digest)[:12]} ({Path(source).name}), got {found[:12]}"
        )


def _sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    content = {name: item for name, item in value.items() if name != KEY}
    return {**content, KEY: _text_digest(content)}


def _text_digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")).hexdigest()
