"""Write, read and open embedding tables in any supported format."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from mmgraph.errors import InputError, require, unknown_choice
from mmgraph.export.folder import MANIFEST, read_manifest
from mmgraph.export.formats import FORMATS, TableFormat
from mmgraph.export.manifest import check_vectors
from mmgraph.export.store import Store
from mmgraph.export.table_store import TableStore
from mmgraph.export.upsert import check_compatible, merge_tables
from mmgraph.inference.table import EmbeddingTable
from mmgraph.untrusted import reads


def write_table(
    table: EmbeddingTable,
    path: Path | str,
    *,
    format: str = "parquet",
    overwrite: bool = False,
    upsert: bool = False,
    allow_zero: bool = False,
    **options: Any,
) -> Path:
    """Write embeddings with their ids, types, columns and a manifest, whole or not at all.

    Args:
        table: What to write.
        path: A file (`parquet`, `graphml`, `gexf`) or a folder (all others).
        format: Name of the format.
        overwrite: Replace what is there.
        upsert: Add to what is there: vectors of known ids are replaced, new ids appended, all others kept.
        allow_zero: Accept zero vectors, in formats that do not rank by cosine themselves; NaN and infinity are never
            accepted.
        **options: `graph` (the graph, for `graphml` and `gexf`); `url` (a server, for `qdrant`);
            `form` (such as `int8` or `dims:128`), `inner` (a format) and `seed`, for
            `compressed`.

    Returns:
        The path.

    Raises:
        InputError: If the format or an option is unknown, the path exists, vectors are zero, NaN or infinite, or
            `upsert` meets a store of another format, model, width, metric or graph.
        MissingExtraError: If the library of the format is not installed.

    Example:
        >>> write_table(table, "runs/shop/embeddings.parquet")  # doctest: +SKIP
    """
    kind, path = check_format(format), Path(path)
    options = {name: value for name, value in options.items() if value is not None}
    if overwrite and upsert:
        raise InputError("write_table: expected overwrite or upsert, got both")
    for name in options:
        if name not in kind.options:
            raise InputError(
                f"format {format!r} takes no option {name!r}; it takes: {', '.join(kind.options) or 'none'}"
            )
    if allow_zero and not kind.zero:
        raise InputError(f"format {format!r} ranks by cosine and takes no zero vectors")
    check_vectors(table, allow_zero=allow_zero)
    if upsert and path.exists():
        _upsert(table, path, format, options)
    else:
        _load(kind.write)(table, path, overwrite=overwrite, **options)
    return path


def check_format(format: str) -> TableFormat:
    """Look a format up, and check that its library is there.

    Raises:
        InputError: If it is unknown.
        MissingExtraError: If its library is not installed; the message names the extra.
    """
    if format not in FORMATS:
        raise unknown_choice("format", format, FORMATS)
    kind = FORMATS[format]
    if kind.module:
        require(kind.module, extra=kind.extra)
    return kind


def _upsert(table: EmbeddingTable, path: Path, format: str, options: dict[str, Any]) -> None:
    kind = FORMATS[format]
    if "graph" in kind.options:
        raise InputError(f"{path}: format {format!r} holds a whole graph and cannot be added to; overwrite it")
    if format_of(path) != format:
        raise InputError(f"{path}: expected a table in format {format!r}, got {format_of(path)!r}")
    expected = {"model": table.model, "dim": table.dim, "metric": "cosine", "graph": table.graph}
    with open_store(path) as store:
        check_compatible(store.manifest, path, **expected)
        merged = merge_tables(store.table(), table)
        if kind.update:
            _load(kind.update)(store, table, merged, path, **options)
            return
    _load(kind.write)(merged, path, overwrite=True, **options)


@reads("a store")
def open_store(
    path: Path | str, *, model: str | None = None, dim: int | None = None, metric: str | None = "cosine"
) -> Store:
    """Open what `write_table` wrote for search.

    Args:
        path: File or folder.
        model: Refuse another model than this one (`EmbeddingTable.model`).
        dim: Refuse another width.
        metric: Refuse another metric.

    Raises:
        InputError: If there is nothing, it cannot be searched, it is damaged, or it is another one than expected.
        MissingExtraError: If the library of the format is not installed.
    """
    path = Path(path)
    kind = FORMATS[format_of(path)]
    if kind.store and path.is_dir():
        check_compatible(read_manifest(path), path, metric=metric, model=model, dim=dim)
    store = cast(Store, _load(kind.store)(path) if kind.store else TableStore(path, _load(kind.read)(path)))
    check_compatible(store.manifest, path, metric=metric, model=model, dim=dim)
    return store


@reads("embeddings")
def read_table(path: Path | str, *, verify: bool = True) -> EmbeddingTable:
    """Read a table in whatever format it was written.

    Args:
        path: A file or a folder written by `write_table`.
        verify: Compare the vectors with the digest in the manifest.

    Raises:
        InputError: If there is nothing, it was not written by `write_table`, or it is damaged.
    """
    path = Path(path)
    kind = FORMATS[format_of(path)]
    if kind.read:
        return cast(EmbeddingTable, _load(kind.read)(path, verify=verify))
    with open_store(path) as store:
        return store.table(verify=verify)


@reads("embeddings")
def format_of(path: Path | str) -> str:
    """Format in which a file or folder was written.

    Raises:
        InputError: If there is nothing, or its manifest names a format that is unknown.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: file or folder not found")
    if not path.is_dir():
        return next((name for name, kind in FORMATS.items() if kind.suffix and path.suffix == kind.suffix), "parquet")
    name = str(read_manifest(path).get("store", "npy")) if (path / MANIFEST).exists() else "npy"
    if name not in FORMATS:
        raise InputError(f"{path / MANIFEST}: unknown store {name!r}; this version has: {', '.join(FORMATS)}")
    return name


def _load(name: str) -> Callable[..., Any]:
    module, attribute = name.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"mmgraph.export.{module}"), attribute)
    return found
