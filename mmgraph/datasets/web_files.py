"""Files that are fetched from the web as they are."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from mmgraph.errors import InputError
from mmgraph.files import atomic_path
from mmgraph.progress import console

TIMEOUT = 30.0
"""Seconds without an answer after which a server counts as out of reach."""


def fetch_file(url: str, path: Path, *, otherwise: str) -> Path:
    """Fetch a file once; it appears only when it is whole. Nothing is asked.

    Args:
        url: Address.
        path: Where to keep it.
        otherwise: What to do where the network does not allow it, for the error.

    Raises:
        InputError: If it cannot be fetched.
    """
    if path.is_file():
        return path
    console.print(f"fetching {url}", highlight=False, markup=False, soft_wrap=True)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, atomic_path(path) as temporary:
            wanted = answer.headers.get("Content-Length")
            with temporary.open("wb") as file:
                shutil.copyfileobj(answer, file, 1 << 20)
            size = temporary.stat().st_size
            if wanted is not None and size != int(wanted):
                raise OSError(f"expected {int(wanted):,} bytes, got {size:,}")
    except (OSError, HTTPException, urllib.error.URLError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise InputError(f"{url} cannot be fetched ({reason}); {otherwise}") from None
    return path
