"""Rows and arrays in files without a name: no memory of their own, and nothing is left behind, not even by a kill.

The files lie where `tempfile` puts them (`TMPDIR`) and go when the last array in them does.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa

SMALLEST, LARGEST = 2**20, 2**28
"""Bytes that a `Scratch` keeps in memory, and then of its files: each is twice as large as the one before it."""


class _Spool:
    """Closes its files in the end."""

    def __init__(self) -> None:
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            file.close()

    def _new(self) -> IO[bytes]:
        self._files.append(tempfile.TemporaryFile())  # noqa: SIM115  (closed by `__exit__`)
        return self._files[-1]


class RowSpool(_Spool):
    """Rows of integers that come in blocks.

    Args:
        dtype: Type of the entries.
        width: Entries per row.
    """

    def __init__(self, dtype: type[np.integer[Any]], width: int = 1) -> None:
        super().__init__()
        self._dtype, self._width, self._file = np.dtype(dtype), width, self._new()

    def append(self, rows: np.ndarray) -> None:
        """Add rows `[n, width]`, or `[n]` if there is one entry per row."""
        with _naming_the_place():
            self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)

    def finish(self) -> np.ndarray:
        """All rows `[n, width]`, mapped."""
        return np.frombuffer(_mapped(self._file), self._dtype).reshape(-1, self._width)


class ColumnSpool(_Spool):
    """Tables of the same columns that come one by one; their types may differ, as those of JSON do."""

    def __init__(self) -> None:
        super().__init__()
        self._writer: pa.RecordBatchWriter | None = None
        self._schema: pa.Schema | None = None

    def append(self, table: pa.Table) -> None:
        """Add rows."""
        with _naming_the_place():
            if self._writer is None or not table.schema.equals(self._schema):
                self._end()
                self._schema = table.schema
                self._writer = pa.ipc.new_file(pa.PythonFile(self._new(), "w"), table.schema)
            self._writer.write_table(table)

    def finish(self) -> list[pa.Table]:
        """All rows, mapped; one table for each run of tables of the same types."""
        with _naming_the_place():
            self._end()
        return [pa.ipc.open_file(pa.BufferReader(_mapped(file))).read_all() for file in self._files]

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()


class Scratch:
    """Arrays that are filled later, several to a file; the first few small ones are in memory, where they cost less."""

    def __init__(self) -> None:
        self._next, self._room = 2 * SMALLEST, memoryview(bytearray(SMALLEST))

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray:
        """An array to be filled.

        Raises:
            OSError: If there is no room for it on the disk.
        """
        size = math.prod(shape) * dtype.itemsize
        if size > len(self._room):
            length = max(self._next, size)
            self._next = min(2 * self._next, LARGEST)
            self._room = memoryview(_new_file(length))
        part, self._room = self._room[:size], self._room[-(-size // 64) * 64 :]
        return np.frombuffer(part, dtype).reshape(shape)


def _new_file(length: int) -> mmap.mmap:
    with tempfile.TemporaryFile() as file, _naming_the_place():
        if hasattr(os, "posix_fallocate"):  # without it, a disk that is full when the array is filled ends the process
            os.posix_fallocate(file.fileno(), 0, length)
        else:
            file.truncate(length)
        return mmap.mmap(file.fileno(), length)


def _mapped(file: IO[bytes]) -> pa.Buffer:
    with _naming_the_place():
        file.flush()
        size = os.fstat(file.fileno()).st_size  # nothing cannot be mapped
        return pa.py_buffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")


@contextmanager
def _naming_the_place() -> Iterator[None]:
    """A file without a name that finds no room should at least tell the folder."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC and not error.filename:
            error.filename = tempfile.gettempdir()
        raise
