"""What the folders of all stores share: `manifest.json`, `ids.parquet`, and how they come into place in one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmgraph.errors import InputError
from mmgraph.export.manifest import check_manifest, make_manifest, to_rows
from mmgraph.files import atomic_folder
from mmgraph.inference.table import EmbeddingTable
from mmgraph.parquet import read_parquet
from mmgraph.sealed import check_digests, digests_of, read_sealed_json, write_sealed_json
from mmgraph.versions import installed_version

MANIFEST, IDS = "manifest.json", "ids.parquet"


@contextmanager
def store_folder(
    table: EmbeddingTable,
    path: Path,
    store: str,
    *,
    package: str,
    overwrite: bool,
    normalised: bool = False,
    **options: Any,
) -> Iterator[Path]:
    """Yield a temporary folder for the files of a store; ids, types, columns and the manifest are added at the end.

    The folder is renamed into place only after the manifest is in it, so a process that is killed leaves the old store
    or the new one.

    Args:
        table: What is written.
        path: The folder.
        store: Name of the format.
        package: Distribution that writes the store; its version goes into the manifest.
        overwrite: Replace what is there.
        normalised: Whether the store keeps vectors of unit length.
        **options: Added to the manifest.

    Raises:
        InputError: If the path exists and `overwrite` is false, or it is not a table of ours.
    """
    if path.exists() and overwrite:
        check_replaceable(path)
    with atomic_folder(path, overwrite=overwrite) as temporary:
        yield temporary
        pq.write_table(to_rows(table), temporary / IDS, compression="zstd", write_page_checksum=True)
        manifest = make_manifest(table)
        manifest["libraries"][package] = installed_version(package)
        manifest |= {"store": store, "normalised": normalised, **options, "digests": digests_of(temporary)}
        write_sealed_json(temporary / MANIFEST, manifest)


def check_replaceable(path: Path) -> None:
    """Refuse to replace a file, or a folder that holds no table of ours: the whole folder would go.

    Raises:
        InputError: Names what is there.
    """
    if not path.is_dir():
        raise InputError(f"{path}: expected the name of a folder, got a file")
    if any(path.iterdir()) and not (path / MANIFEST).is_file():
        found = ", ".join(sorted(item.name for item in path.iterdir())[:5])
        raise InputError(f"{path}: refusing to overwrite a folder that holds other things: {found}")
    if any(path.iterdir()):
        manifest = read_manifest(path)
        known = {MANIFEST, IDS, *manifest.get("files", ["vectors.npy"])}  # format npy names no files
        strange = sorted(item.name for item in path.iterdir() if item.name not in known)
        if strange:
            raise InputError(
                f"{path}: refusing to overwrite a folder that holds other things: {', '.join(strange[:5])}"
            )


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and check the manifest of a folder.

    Raises:
        InputError: If it is missing or not a manifest of ours.
    """
    return check_manifest(read_sealed_json(path / MANIFEST), path / MANIFEST)


def check_files(path: Path, manifest: dict[str, Any]) -> None:
    """Compare all files of a folder with the digests in its manifest; one of an earlier version has none.

    Raises:
        InputError: Names the first file that is missing or was changed.
    """
    check_digests(path, manifest.get("digests", {}), source=path / MANIFEST)


def read_rows(path: Path, *, verify: bool = True) -> pa.Table:
    """Read ids, types and columns of a folder, as `to_rows` made them.

    Raises:
        InputError: If the file is missing or damaged.
    """
    return read_parquet(path / IDS, verify=verify)
