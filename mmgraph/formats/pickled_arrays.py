"""Stand-ins for what pickled numpy arrays name: they build arrays of plain numbers and strings, and nothing else.

Numpy trusts the state of a pickled dtype. A file can claim that bytes are pointers to objects, so no file gets hold of
numpy's own classes here; only sizes and the order of bytes are taken from it.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import torch


class PickledDtype:
    """A dtype of numbers or strings.

    Args:
        code: What numpy calls it, such as `f8`; what numpy may want besides is not needed.

    Raises:
        UnpicklingError: If it is of another kind, such as objects or structures.
    """

    def __init__(self, code: Any, *_: Any) -> None:
        value = np.dtype(code) if isinstance(code, str) else None
        if value is None or value.kind not in "biufcSU":
            raise pickle.UnpicklingError(f"arrays must hold numbers, true and false, or strings, got dtype {code!r}")
        self.value = value

    def __setstate__(self, state: Any) -> None:
        _, order, *structure = state[:5]
        if any(part is not None for part in structure):
            raise pickle.UnpicklingError(f"arrays of {self.value} have no fields, got {structure!r}")
        if order in ("<", ">"):
            self.value = self.value.newbyteorder(order)


class PickledArray(np.ndarray):
    """An array until its content is known; takes no arguments."""

    def __new__(cls) -> PickledArray:
        """Make an empty one."""
        return super().__new__(cls, (0,), np.int8)

    def __setstate__(self, state: Any) -> None:
        *version, shape, dtype, fortran, data = state
        super().__setstate__((*version, shape, _value(dtype), fortran, data))


def _reconstruct(*_: Any) -> PickledArray:
    return PickledArray()  # class, shape and dtype are always the same; the true ones follow as the state


def _scalar(dtype: Any, data: Any) -> Any:
    content = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(content, _value(dtype), count=1)[0]


def _value(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, PickledDtype):
        raise pickle.UnpicklingError(f"expected a dtype, got {type(dtype).__name__}")
    return dtype.value


NUMPY_NAMES: dict[str, Any] = {
    "numpy.dtype": PickledDtype,
    "numpy.ndarray": PickledArray,
    **{
        f"{package}.multiarray.{name}": function  # numpy 1 and numpy 2
        for package in ("numpy.core", "numpy._core")
        for name, function in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
}
"""What a file may name, and what it gets."""


def plain_arrays(content: Any) -> Any:
    """Replace stand-ins by what they stand for, in place where that goes.

    Raises:
        ValueError: If the parts of a sparse matrix do not fit together.
    """
    return _plain(content, set())


def _plain(item: Any, seen: set[int]) -> Any:
    if isinstance(item, (int, float, str, torch.Tensor)):  # most items of long lists
        return item
    if isinstance(item, PickledArray):
        return item.view(np.ndarray)
    if isinstance(item, PickledDtype):
        return item.value
    if type(item) is tuple:
        return tuple(_plain(part, seen) for part in item)
    if isinstance(item, (dict, list)) or type(item).__module__.startswith("scipy.sparse"):
        if id(item) in seen:  # a container may hold itself
            return item
        seen.add(id(item))
        parts = item if isinstance(item, (dict, list)) else vars(item)
        for key, value in list(parts.items() if isinstance(parts, dict) else enumerate(parts)):
            new = _plain(value, seen)
            if new is not value:
                parts[key] = new
        if parts is not item:
            item.check_format(full_check=True)  # what does not fit would be read beyond its end
    return item
