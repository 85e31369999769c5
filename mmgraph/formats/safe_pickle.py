"""Files of pickled arrays, read without running what they say: only arrays, tensors and plain containers come out."""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import torch

from mmgraph.errors import InputError

_DAMAGED = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, struct.error),
    *(ValueError, IndexError, KeyError, TypeError, AttributeError),
)
"""What unpicklers raise on bytes that are no pickle, and on whatever they refuse."""


def load_pt(path: Path | str) -> Any:
    """Read a file of `torch.save` that holds tensors, numpy arrays, numbers, strings and containers of these.

    `torch.load(weights_only=True)` knows only the second version of pickle. Other files go through an unpickler that
    knows the same few names and refuses all others, so that nothing of a file is ever run.

    Raises:
        InputError: If the file is missing, damaged, or asks for anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: file not found")
    try:
        with torch.serialization.safe_globals(_numpy_globals()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        if "Unsupported operand" not in str(error):
            raise _refused(path, error) from None
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_pickle_module())
    except _DAMAGED as error:
        raise _refused(path, error) from None


def load_pickle(path: Path | str) -> Any:
    """Read a pickle of numpy arrays, sparse matrices of scipy, numbers, strings and containers; of Python 2 too.

    Raises:
        InputError: If the file is missing, damaged, or asks for anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: file not found")
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except _DAMAGED as error:
        raise _refused(path, error) from None


class _Unpickler(pickle.Unpickler):
    """Knows a few names and refuses all others."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        known = _known_globals()
        name = f"{module_name}.{global_name}"
        if name not in known:
            raise pickle.UnpicklingError(f"it asks for {name}, which is neither an array nor a plain container")
        return known[name]


def _pickle_module() -> Any:
    """What `torch.load` needs of a module like `pickle`."""

    def load(file: IO[bytes], **options: Any) -> Any:
        return _Unpickler(file, **options).load()

    return SimpleNamespace(Unpickler=_Unpickler, load=load, __name__="pickle", UnpicklingError=pickle.UnpicklingError)


def _numpy_globals() -> list[Any]:
    """Names of numpy in pickled arrays, for `torch.serialization.safe_globals`."""
    dtypes = {type(np.dtype(code)) for code in "?bBhHiIlLqQefdU"}
    functions = [(value, name) for name, value in _array_functions().items()]
    return [bytes, np.ndarray, np.dtype, *functions, *dtypes]  # bytes: an empty array is `bytes()` in old pickles


def _array_functions() -> dict[str, Any]:
    """Functions that numpy pickles arrays and scalars with, under the names that old and new versions gave them."""
    found: dict[str, Any] = {}
    functions: tuple[Any, ...] = (np.zeros(1).__reduce__()[0], np.int64(0).__reduce__()[0])
    for function in functions:
        for package in ("numpy.core", "numpy._core"):
            found[f"{package}.multiarray.{function.__name__}"] = function
    return found


def _known_globals() -> dict[str, Any]:
    from _codecs import encode

    from scipy.sparse import csc_matrix, csr_matrix
    from torch import _utils

    dtypes = {type(np.dtype(code)) for code in "?bBhHiIlLqQefdU"}
    return {
        **_array_functions(),
        **{f"{kind.__module__}.{kind.__name__}": kind for kind in dtypes},
        **{
            f"{module}.{kind.__name__}": kind
            for module in ("builtins", "__builtin__")
            for kind in (list, dict, set, bytes)
        },
        **{
            f"scipy.sparse.{module}.{kind.__name__}": kind
            for kind in (csr_matrix, csc_matrix)
            for module in (kind.__name__[:3], f"_{kind.__name__[:3]}")
        },
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
        "_codecs.encode": encode,  # bytes in the second version of pickle
        "collections.defaultdict": defaultdict,
        "collections.OrderedDict": OrderedDict,
        "torch._utils._rebuild_tensor_v2": _utils._rebuild_tensor_v2,
        "torch.device": torch.device,
        "torch.Size": torch.Size,
    }


def _refused(path: Path, error: Exception) -> InputError:
    lines = str(error).split("\n")
    told = next((line.partition("WeightsUnpickler error: ")[2] for line in lines if "WeightsUnpickler" in line), "")
    detail = told or lines[0] or type(error).__name__
    if told and "Unsupported global" in told:
        words = told.split()
        detail = f"it asks for {words[words.index('GLOBAL') + 1]}, which is neither an array nor a plain container"
    return InputError(f"{path}: expected pickled arrays and plain containers, got: {' '.join(detail.split())}")
