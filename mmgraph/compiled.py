"""Compilation of inner loops. Import modules that use it inside functions: Numba takes half a second to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile with Numba, typed for mypy; without the interpreter lock, on one thread, machine code kept on disk."""
    return cast(F, numba.njit(cache=True, nogil=True)(function))
