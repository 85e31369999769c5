"""Errors that a user can cause, told in one line."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterable, Sequence
from types import ModuleType

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb]"
)
"""Characters that move the cursor, colour the terminal, answer in place of the user or turn the order of letters."""


_LINE_ENDS = re.compile("[\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def visible(text: str, *, form: str | None = None) -> str:
    r"""Text for a terminal: what would control it is written as `\x1b` and the like, tabs and line ends stay.

    Args:
        text: Any text.
        form: How a code point is written instead, for example `\u{:04x}` in JSON.
    """
    if form is None:
        return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return _UNSEEN.sub(lambda found: form.format(ord(found[0])), text)


class InputError(ValueError):
    """Bad input from outside: a file, an id, a flag, a configuration.

    The message is one line that names the place, what was expected and what was found. The command line
    prints it without a traceback and exits with code 2. Line ends and characters that control a terminal are escaped,
    because what was found may be of a stranger.

    Args:
        message: The message.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(_LINE_ENDS.sub(lambda found: found[0].encode("unicode_escape").decode(), visible(message)))


class MissingExtraError(ImportError):
    """An optional dependency is not installed. The message names the extra that brings it."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra installs it.

    Args:
        module: Name of the module to import.
        extra: Name of the extra in `pyproject.toml` that installs it.

    Raises:
        MissingExtraError: If the module cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f'the package "{module.split(".")[0]}" is missing ({error}); install it with: pip install "mmgraph[{extra}]"'
        ) from error


def unknown_choice(what: str, name: str, choices: Iterable[str]) -> InputError:
    """Build the error for a name that is not among the valid ones, the closest first."""
    names = sorted(choices)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    ordered = close + [n for n in names if n not in close]
    return InputError(f"unknown {what} {name!r}; choose from: {', '.join(ordered) or '(none)'}")


def first_few(items: Sequence[object], count: int = 5) -> str:
    """Format the first items of a list for a message: `'a', 'b' and 3 more`."""
    shown = ", ".join(repr(item) for item in items[:count])
    rest = len(items) - count
    return f"{shown} and {rest:,} more" if rest > 0 else shown
