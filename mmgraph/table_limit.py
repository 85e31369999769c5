"""How much one packed table may take once it is unpacked: a few bytes of it can stand for a long text a million times."""

from __future__ import annotations

import os
from pathlib import Path

from mmgraph.errors import InputError

LIMIT_VARIABLE = "MMGRAPH_TABLE_BYTES"
"""Environment variable: most bytes that one table may take in memory."""
SMALL_BYTES, RATIO = 2**32, 50
"""Without it, a table may take 4 GiB, or 50 times the size of its file if that is more."""


class TableBudget:
    """Counts what comes out of a file.

    Args:
        path: The file.
        limit: Most bytes; from the environment variable and the size of the file by default.

    Raises:
        InputError: If the environment variable is no number of bytes.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.path, self.spent = path, 0.0
        self.limit = _limit(path) if limit is None else limit

    def check(self, size: float) -> None:
        """Refuse a table of so many bytes.

        Raises:
            InputError: If it is above the limit.
        """
        if size > self.limit:
            raise InputError(
                f"{self.path}: expected a table that takes at most {self.limit:,} bytes in memory, this one takes more; "
                f"{LIMIT_VARIABLE} raises the limit"
            )

    def spend(self, size: float) -> None:
        """Add so many bytes.

        Raises:
            InputError: If all of them together are above the limit.
        """
        self.spent += size
        self.check(self.spent)


def _limit(path: Path) -> int:
    text = os.environ.get(LIMIT_VARIABLE)
    if text is None:
        return max(SMALL_BYTES, RATIO * path.stat().st_size)
    if not text.isdecimal():
        raise InputError(f"{LIMIT_VARIABLE}: expected a number of bytes, got {text!r}")
    return int(text)
