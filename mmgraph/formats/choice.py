"""Which of several files is meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmgraph.errors import InputError, first_few, unknown_choice


def choose_one(folder: Path, name: str | None, found: Sequence[str], *, kind: str, option: str) -> str | None:
    """The file that was asked for, or the only one; `None` if there is none and none was asked for.

    Args:
        folder: Where the files are.
        name: The one that was asked for.
        found: Those that are there.
        kind: What they are, for messages: "file of a split".
        option: The option that asks for one.

    Raises:
        InputError: If that one is not there, or there are several and none was asked for.
    """
    if name is not None:
        if name not in found:
            raise unknown_choice(f"{kind} in {folder}", name, found)
        return name
    if len(found) > 1:
        raise InputError(f"{folder}: expected one {kind}, got {first_few(found, 10)}; choose one with {option}=...")
    return found[0] if found else None
