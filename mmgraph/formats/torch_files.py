"""Files of `torch.save` from strangers: read as data, never run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.serialization import safe_globals

from mmgraph.errors import InputError

_GLOBAL = re.compile(r"GLOBAL (\S+)")


def load_data(path: Path | str) -> Any:
    """Load tensors, numpy arrays, numbers, strings, lists and dictionaries; refuse everything else unseen.

    Nothing that the file names is called but the constructors of these types, so that a file cannot run code. Large
    tensors are mapped, not read.

    Args:
        path: A file of `torch.save`, of any version.

    Raises:
        InputError: If the file is missing, damaged, or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: file not found")
    try:
        with warnings.catch_warnings(), safe_globals(_numpy_types()):
            warnings.simplefilter("ignore", UserWarning)  # about the protocol of old pickles
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        found = _GLOBAL.search(str(error))
        what = f"it holds {found.group(1)}" if found else "its pickle holds something else, or is damaged"
        raise InputError(
            f"{path}: expected tensors, arrays, lists and dictionaries only, but {what}; nothing in it was run"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{path}: cannot be read as a file of torch.save: {reason}") from None


def _numpy_types() -> list[Any]:
    """What a pickled array names, under the names of numpy 1 and of numpy 2."""
    rebuild = [(np.ndarray((0,)).__reduce__()[0], "_reconstruct"), (np.int64(0).__reduce__()[0], "scalar")]
    named = [(it, f"{module}.multiarray.{name}") for it, name in rebuild for module in ("numpy.core", "numpy._core")]
    kinds = {type(np.dtype(code)) for code in ("?bhilqBHILQefdgUSO")}
    return [np.ndarray, np.dtype, *named, *sorted(kinds, key=lambda kind: kind.__name__)]
