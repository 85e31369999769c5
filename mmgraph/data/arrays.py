"""Tensors as `.npy` files that can be memory-mapped."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.untrusted import reading

_CHUNK_ROWS = 65_536
_CHUNK_BYTES = 2**20


def array_parts(tensor: Tensor, present: Tensor | None = None) -> Iterator[bytes]:
    """Bytes of a tensor, a block of rows at a time; of a row that is longer than a block, a part.

    Args:
        tensor: Any tensor of at least one dimension.
        present: `[num_rows]`, bool: rows (or entries) where it is false come out as zeros.
    """
    if present is None and tensor.dim() > 1 and tensor[:1].nbytes > _CHUNK_BYTES:
        for row in tensor:  # the sources and the targets of edges are two rows, however many there are
            yield from array_parts(row)
        return
    for start in range(0, tensor.size(0), _CHUNK_ROWS):
        rows = tensor[start : start + _CHUNK_ROWS]
        if present is not None:
            there = present[start : start + _CHUNK_ROWS].view(-1, *[1] * (rows.dim() - 1))
            rows = torch.where(there, rows, torch.zeros_like(rows))
        yield _as_numpy(rows).tobytes()


def _as_numpy(tensor: Tensor) -> np.ndarray:
    """Numpy has no bfloat16, its bits travel as int16."""
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True)


def write_array(folder: Path, stem: str, tensor: Tensor, *, present: Tensor | None = None) -> dict[str, Any]:
    """Write a `.npy` file in blocks: no second copy in memory, and a full disk is an `OSError`, not a crash.

    Args:
        folder: Folder of the file.
        stem: Name of the file without ending.
        tensor: What to write.
        present: `[num_rows]`, bool: rows where it is false are written as zeros.

    Returns:
        An entry for a manifest: `file`, `dtype`, `shape`.
    """
    tensor = tensor.contiguous()
    with open(folder / f"{stem}.npy", "wb") as file:
        file.write(array_header(_as_numpy(tensor[:0]).dtype, tensor.shape))
        for part in array_parts(tensor, present):
            file.write(part)
    return array_entry(stem, tensor.dtype, tensor.shape)


def array_header(dtype: np.dtype[Any], shape: Sequence[int]) -> bytes:
    """First bytes of a `.npy` file."""
    out = BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": tuple(shape)})
    return out.getvalue()


def array_entry(stem: str, dtype: torch.dtype, shape: Sequence[int]) -> dict[str, Any]:
    """What a manifest says about an array: `file`, `dtype`, `shape`."""
    return {"file": f"{stem}.npy", "dtype": str(dtype).removeprefix("torch."), "shape": list(shape)}


def load_npy(path: Path, *, mmap_mode: Literal["r", "c"] | None = None) -> np.ndarray:
    """Read or map a `.npy` file, after its header was compared with the size of the file.

    Numpy makes room for as many values as the header says before it reads the first.

    Args:
        path: The file.
        mmap_mode: As of `numpy.load`.

    Raises:
        InputError: If it is no such file, holds objects, or is shorter than its header says.
    """
    with reading(path, "an array"):
        with open(path, "rb") as file:
            major = np.lib.format.read_magic(file)[0]
            read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[major]
            shape, _, dtype = read_header(file)
            left = os.fstat(file.fileno()).st_size - file.tell()
        needed = math.prod(shape) * dtype.itemsize
        if not 0 <= needed <= left:
            raise ValueError(f"a header that says {needed:,} bytes of values, and {left:,} bytes")
        content: np.ndarray = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        return content


def read_array(path: Path, entry: Mapping[str, Any], *, mmap: bool | Literal["read"]) -> Tensor:
    """Read a file written by `write_array`.

    Args:
        path: The file.
        entry: What `write_array` returned.
        mmap: Map the file (copy on write) instead of reading it. With `"read"` it is mapped without the right to write,
            so that it counts towards no limit of memory (`RLIMIT_DATA`, overcommitment); writing to the tensor then
            ends the process.

    Raises:
        InputError: If the file is missing, no array, or has another shape or dtype than the entry.
    """
    shape = tuple(entry["shape"])
    # An empty file cannot be mapped. Mode "c" gives writable pages that never reach the file.
    mode: Literal["r", "c"] = "r" if mmap == "read" else "c"
    values = load_npy(path, mmap_mode=mode if mmap and 0 not in shape else None)
    with reading(path, "an array"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(np.asarray(values))
    tensor = tensor.view(torch.bfloat16) if entry["dtype"] == "bfloat16" else tensor
    if values.shape != shape or str(tensor.dtype) != f"torch.{entry['dtype']}":
        raise InputError(f"{path}: expected {entry['dtype']} {list(shape)}, got {values.dtype} {list(values.shape)}")
    return tensor
