"""A folder as it is now, kept while its name goes on to another one."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from mmgraph.export.base import format_of

READ_LATER = ("duckdb", "lancedb", "qdrant")
"""Stores that go back to their files for every search, or refuse to open the same path twice in one process."""
LINKED = 16 * 2**20
"""Larger files are linked instead of copied, where the file system can."""


def snapshot(path: Path) -> tempfile.TemporaryDirectory[str] | None:
    """Copy a store that must not vanish while it is searched.

    Args:
        path: The store.

    Returns:
        A folder that holds a folder of the same name, or `None` if the store can be opened where it lies.

    Raises:
        InputError: If there is no store.
    """
    if format_of(path) not in READ_LATER:
        return None
    made = tempfile.TemporaryDirectory(prefix="mmgraph-store-")
    try:
        shutil.copytree(path, Path(made.name) / path.resolve().name, copy_function=_take)
    except BaseException:
        made.cleanup()
        raise
    return made


def _take(source: str, target: str) -> str:
    if os.path.getsize(source) >= LINKED:
        try:
            os.link(source, target)
            return target
        except OSError:  # another file system, or one without links
            pass
    return str(shutil.copy2(source, target))
