"""Arrays on disk that grow block by block and are never whole in memory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgraph.data.arrays import array_entry, array_header

_COPY_BYTES = 2**20


class ArrayAppender:
    """Writes the same `.npy` file as `write_array`, block by block.

    The first dimension grows. With `lines`, the second one does: `[lines, length]`, as for the sources and the targets
    of edges; all lines but the first then wait in files of their own until `close`.

    Args:
        folder: Folder of the file.
        stem: Name of the file without ending.
        dtype: Type of the entries; NumPy must know it, so no `bfloat16`.
        width: Entries per row, if there are two dimensions.
        lines: Number of lines, if the second dimension grows.
    """

    def __init__(
        self, folder: Path, stem: str, dtype: torch.dtype, *, width: int | None = None, lines: int | None = None
    ) -> None:
        self.stem, self.dtype, self.width, self.lines = stem, dtype, width, lines
        self.length = 0
        self._numpy_dtype: np.dtype[Any] = torch.empty(0, dtype=dtype).numpy().dtype
        self._header_size = len(array_header(self._numpy_dtype, self._shape(0)))
        self._paths = [folder / f"{stem}.npy", *(folder / f"{stem}.line{line}" for line in range(1, lines or 1))]
        self._files = [open(path, "w+b") for path in self._paths]  # noqa: SIM115  (closed by `close`)
        self._files[0].write(bytes(self._header_size))

    def append(self, values: np.ndarray) -> None:
        """Add a block `[rows]`, `[rows, width]` or `[lines, rows]`.

        Raises:
            ValueError: On another shape.
        """
        rows = values.shape[-1 if self.lines is not None else 0]
        if values.shape != self._shape(rows):
            raise ValueError(f"{self.stem}: expected a block {list(self._shape(rows))}, got {list(values.shape)}")
        values = np.ascontiguousarray(values, dtype=self._numpy_dtype)
        for file, line in zip(self._files, [values] if self.lines is None else list(values), strict=True):
            file.write(line.data)
        self.length += rows

    def finish(self) -> dict[str, Any]:
        """Complete the file.

        Returns:
            An entry for a manifest, as `write_array` gives it.
        """
        first, *others = self._files
        for file in others:
            file.seek(0)
            shutil.copyfileobj(file, first, _COPY_BYTES)
        header = array_header(self._numpy_dtype, self._shape(self.length))
        # NumPy pads every header of at most two dimensions to 128 bytes; if not, the rows would stand elsewhere.
        assert len(header) == self._header_size, f"{self.stem}: the header outgrew its place"
        first.seek(0)
        first.write(header)
        self.close()
        for path in self._paths[1:]:
            path.unlink()
        return array_entry(self.stem, self.dtype, self._shape(self.length))

    def close(self) -> None:
        """Close the files, finished or not; safe to call twice."""
        for file in self._files:
            file.close()

    def _shape(self, length: int) -> tuple[int, ...]:
        if self.lines is not None:
            return self.lines, length
        return (length,) if self.width is None else (length, self.width)


class RunningMean:
    """Mean of rows that come in blocks: sums in float64, result in float32.

    Args:
        dim: Width of a row.
    """

    def __init__(self, dim: int) -> None:
        self.total = np.zeros(dim)
        self.count = 0

    def add(self, rows: np.ndarray) -> None:
        """Add rows `[n, dim]`."""
        self.total += rows.sum(axis=0, dtype=np.float64)
        self.count += len(rows)

    def mean(self) -> Tensor:
        """`[dim]`; zero if there are no rows."""
        return torch.from_numpy((self.total / max(self.count, 1)).astype(np.float32))
