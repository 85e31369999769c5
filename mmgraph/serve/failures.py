"""How a request fails: a status and one line."""

from __future__ import annotations

import re


class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: HTTP status.
        message: One line for the caller, without paths of the server.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, one_line(message)


def one_line(text: str, longest: int = 500) -> str:
    """The text without line breaks and control characters, cut if it is long."""
    flat = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text).strip()
    return flat if len(flat) <= longest else flat[:longest] + "..."
