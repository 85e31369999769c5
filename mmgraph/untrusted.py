"""Files that strangers may have made: how much of them is read, and how what is wrong with them is told."""

from __future__ import annotations

import errno
import lzma
import pickle
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from mmgraph.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

_DAMAGED = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, EOFError, AssertionError),
    *(MemoryError, SyntaxError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pickle.PickleError),
    tokenize.TokenError,
)


def damaged(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What the libraries that we read files with raise on damaged ones, and our own code on values of the wrong type.

    Only libraries that are imported can have raised anything, so none is imported here.

    Args:
        more: What else to catch.
    """
    found: list[type[Exception]] = [*_DAMAGED, *more]
    for module, name in (("pyarrow", "ArrowException"), ("safetensors", "SafetensorError")):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


@contextmanager
def reading(where: object, what: str) -> Iterator[None]:
    """Tell in one line that a file is damaged, whatever a library or our own code makes of it.

    Args:
        where: The file or folder.
        what: What was expected, for example `a graph`.

    Raises:
        InputError: In place of whatever a damaged file raises; the cause is attached. What the system says (no room, no
            permission) passes.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or where}: file not found") from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise InputError(f"{error.filename or where}: expected a file: {error.strerror}") from error
    except damaged() as error:
        raise InputError(f"{where}: expected {what}, got: {reason(error)}") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL, errno.ENAMETOOLONG):
            raise
        # Errors of Arrow and Pillow have no number; a damaged file can ask for a place before its own beginning, or
        # for another file by a name that no file can have.
        raise InputError(f"{where}: expected {what}, got: {reason(error)}") from error


def reads(what: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`reading` for a function whose first argument is the file or folder.

    Args:
        what: What was expected, for example `a graph`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def read(*args: P.args, **options: P.kwargs) -> R:
            with reading(args[0] if args else next(iter(options.values()), what), what):
                return function(*args, **options)

        return read

    return decorate


def reason(error: BaseException) -> str:
    """An error in one short line: what it says, or its name."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, KeyError):
        return f"no {text}"
    return text or type(error).__name__


def limited_bytes(path: Path | str, limit: int) -> bytes:
    """Content of a file that should be small.

    Raises:
        InputError: If the file is missing, a folder, or has more bytes than the limit.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: file not found") from None
    except IsADirectoryError:
        raise InputError(f"{path}: expected a file, found a folder") from None
    if len(content) > limit:
        raise InputError(f"{path}: expected at most {limit:,} bytes")
    return content


def check_depth(value: Any, limit: int, where: object) -> None:
    """Refuse values inside of values inside of values.

    Args:
        value: Lists and dictionaries of plain values.
        limit: How many may lie inside of each other.
        where: Named in the error.

    Raises:
        InputError: If there are more.
    """
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        if depth > limit:
            raise InputError(f"{where}: expected at most {limit} levels of values inside of values")
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
