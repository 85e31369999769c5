"""Files of pickled arrays, read without running what they say: only arrays, tensors and plain containers come out."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import torch

from mmgraph.errors import InputError
from mmgraph.formats.pickled_arrays import NUMPY_NAMES, plain_arrays
from mmgraph.untrusted import damaged

_GLOBAL = re.compile(r"GLOBAL (\S+)")


def load_pt(path: Path | str) -> Any:
    """Read a file of `torch.save` that holds tensors, numpy arrays, numbers, strings and containers of these.

    `torch.load(weights_only=True)` knows only the second version of pickle. Other files go through an unpickler that
    knows the same few names and refuses all others, so that nothing of a file is ever run. Large tensors are mapped,
    not read, where the file allows it.

    Args:
        path: A file of `torch.save`, of any version.

    Raises:
        InputError: If the file is missing, damaged, or asks for anything else.
    """
    path = _existing(path)
    options: dict[str, Any] = {"map_location": "cpu", "mmap": _is_zip(path)}
    names = [(value, name) for name, value in NUMPY_NAMES.items()]
    try:
        with torch.serialization.safe_globals([bytes, *names]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return plain_arrays(torch.load(path, weights_only=True, **options))
    except damaged(OSError) as error:
        if "Unsupported operand" not in str(error):
            raise _refused(path, error) from None
    try:
        return plain_arrays(torch.load(path, weights_only=False, pickle_module=_pickle_module(), **options))
    except damaged(OSError) as error:
        raise _refused(path, error) from None


def load_pickle(path: Path | str) -> Any:
    """Read a pickle of numpy arrays, sparse matrices of scipy, numbers, strings and containers; of Python 2 too.

    Raises:
        InputError: If the file is missing, damaged, or asks for anything else.
    """
    path = _existing(path)
    try:
        with path.open("rb") as file:
            return plain_arrays(_Unpickler(file, encoding="latin1").load())
    except damaged(OSError) as error:
        raise _refused(path, error) from None


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except damaged(OSError) as error:  # it looks at more than the first bytes
        raise _refused(path, error) from None


def _existing(path: Path | str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: file not found")
    return path


class _Unpickler(pickle.Unpickler):
    """Knows a few names and refuses all others."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        known = _known_names()
        name = f"{module_name}.{global_name}"
        if name not in known:
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {name} is not known")
        return known[name]


def _pickle_module() -> Any:
    """What `torch.load` needs of a module like `pickle`."""

    def load(file: IO[bytes], **options: Any) -> Any:
        return _Unpickler(file, **options).load()

    return SimpleNamespace(Unpickler=_Unpickler, load=load, __name__="pickle", UnpicklingError=pickle.UnpicklingError)


def _known_names() -> dict[str, Any]:
    from scipy.sparse import csc_matrix, csr_matrix
    from torch import _utils

    return {
        **NUMPY_NAMES,
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
        "_codecs.encode": _encode,
        "collections.defaultdict": defaultdict,
        "collections.OrderedDict": OrderedDict,
        "torch._utils._rebuild_tensor_v2": _utils._rebuild_tensor_v2,
        "torch.device": torch.device,
        "torch.Size": torch.Size,
    }


def _encode(text: str, encoding: str) -> bytes:
    """Bytes in the second version of pickle; other encodings would be looked up as modules."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are given as latin1, got {encoding!r}")
    return text.encode("latin1")


def _refused(path: Path, error: Exception) -> InputError:
    found = _GLOBAL.search(str(error))
    if found:
        return InputError(
            f"{path}: expected arrays, tensors and plain containers only, but it asks for {found.group(1)}; nothing in "
            "it was run"
        )
    told = str(error).partition("WeightsUnpickler error: ")[2] or str(error)
    detail = next((line.strip() for line in told.splitlines() if line.strip()), type(error).__name__)
    return InputError(f"{path}: cannot be read as pickled arrays and plain containers: {detail}")
