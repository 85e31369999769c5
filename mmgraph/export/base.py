"""Write and read embedding tables in any supported format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mmgraph.errors import InputError, unknown_choice
from mmgraph.export.manifest import check_vectors
from mmgraph.export.numpy import read_numpy, write_numpy
from mmgraph.export.parquet import read_parquet, write_parquet
from mmgraph.inference.table import EmbeddingTable


class Write(Protocol):
    """Writes a checked table, whole or not at all."""

    def __call__(self, table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
        """Write; refuse an existing path unless `overwrite`."""


class Read(Protocol):
    """Reads a table back, equal to the one that was written."""

    def __call__(self, path: Path, *, verify: bool = True) -> EmbeddingTable:
        """Read; compare digests if `verify`."""
        ...


@dataclass(frozen=True)
class TableFormat:
    """A way to store a table.

    Attributes:
        write: Writes a table to a path.
        read: Reads a table from a path.
        folder: Whether the path is a folder.
    """

    write: Write
    read: Read
    folder: bool


FORMATS: dict[str, TableFormat] = {
    "parquet": TableFormat(write_parquet, read_parquet, folder=False),
    "npy": TableFormat(write_numpy, read_numpy, folder=True),
}
"""Formats by name. A new one is one file and one line here."""


def write_table(
    table: EmbeddingTable,
    path: Path | str,
    *,
    format: str = "parquet",
    overwrite: bool = False,
    allow_zero: bool = False,
) -> Path:
    """Write embeddings with their ids, types, columns and a manifest, whole or not at all.

    Args:
        table: What to write.
        path: A file (`parquet`) or a folder (`npy`).
        format: Name of the format.
        overwrite: Replace what is there.
        allow_zero: Accept zero vectors; NaN and infinity are never accepted.

    Returns:
        The path.

    Raises:
        InputError: If the format is unknown, the path exists, or vectors are zero, NaN or infinite.

    Example:
        >>> write_table(table, "runs/shop/embeddings.parquet")  # doctest: +SKIP
    """
    if format not in FORMATS:
        raise unknown_choice("format", format, FORMATS)
    check_vectors(table, allow_zero=allow_zero)
    path = Path(path)
    FORMATS[format].write(table, path, overwrite=overwrite)
    return path


def read_table(path: Path | str, *, verify: bool = True) -> EmbeddingTable:
    """Read a table in whatever format it was written.

    Args:
        path: A file or a folder written by `write_table`.
        verify: Compare the vectors with the digest in the manifest.

    Raises:
        InputError: If there is nothing, it was not written by `write_table`, or it is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: file or folder not found")
    return FORMATS["npy" if path.is_dir() else "parquet"].read(path, verify=verify)
