"""Digests made right again after damage, as an attacker would: fuzzers then reach the parsers behind the seals."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmgraph.export.manifest import vectors_digest
from mmgraph.export.parquet import METADATA_KEY, rows_digest
from mmgraph.files import file_digest
from mmgraph.sealed import seal, sealed_text, write_sealed_json
from mmgraph.testing.reader import sign_files

_MARK = seal(b"")[:-64]


def reseal_json(path: Path, digests: dict[str, Path]) -> None:
    """Seal a JSON file again.

    Args:
        path: The file.
        digests: Keys whose values become the SHA-256 of files, where key and file are there.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    for key, file in digests.items():
        if key in content and file.is_file():
            content[key] = file_digest(file)
    write_sealed_json(path, content)


def reseal_bytes(path: Path) -> None:
    """A right SHA-256 at the end of a file in place of the one that was there."""
    data = path.read_bytes()
    content = data.rpartition(_MARK)[0] or data
    path.write_bytes(content + seal(content))


def reseal_model(folder: Path) -> None:
    """`config.json` with the digest of the weights, then `manifest.json` if there is one."""
    with contextlib.suppress(*_NOT_SEALABLE):
        reseal_json(folder / "config.json", {"weights": folder / "model.safetensors"})
    sign_files("manifest.json", "files")(folder)


def reseal_run(folder: Path) -> None:
    """All sealed JSON of a run, and the files that carry their own SHA-256."""
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(*_NOT_SEALABLE):
            reseal_json(path, {"config.yaml": folder / "config.yaml"})
    for path in (*folder.glob("*.pt"), *folder.glob("best.safetensors")):
        if path.is_file():
            reseal_bytes(path)


def reseal_store(folder: Path) -> None:
    """Digests of all files in `manifest.json`, and of the vectors; a store inside first."""
    for path in sorted(folder.rglob("manifest.json"), reverse=True):
        with contextlib.suppress(*_NOT_SEALABLE):
            content = json.loads(path.read_text(encoding="utf-8"))
            for name in content.get("digests", {}):
                if (path.parent / name).is_file():
                    content["digests"][name] = file_digest(path.parent / name)
            with contextlib.suppress(*_NOT_SEALABLE):
                content["vectors_sha256"] = vectors_digest(_vectors(path.parent))
            write_sealed_json(path, content)


def reseal_parquet(path: Path) -> None:
    """Digests of vectors, rows and metadata in one Parquet file of embeddings; it is written again."""
    table = pq.read_table(path, partitioning=None)
    metadata: dict[bytes, bytes] = dict(table.schema.metadata or {})
    manifest = json.loads(metadata[METADATA_KEY])
    with contextlib.suppress(*_NOT_SEALABLE):
        manifest["vectors_sha256"] = vectors_digest(np.asarray(table["vector"].combine_chunks().flatten(), dtype="<f4"))
    with contextlib.suppress(*_NOT_SEALABLE):
        manifest["rows_sha256"] = rows_digest(table.drop_columns("vector"))
    metadata[METADATA_KEY] = sealed_text(manifest).encode()
    pq.write_table(table.replace_schema_metadata(metadata), path)


_NOT_SEALABLE = (ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError, pa.ArrowException)


def _vectors(folder: Path) -> np.ndarray[Any, Any]:
    if (folder / "vectors.npy").is_file():
        return np.load(folder / "vectors.npy", allow_pickle=False)  # type: ignore[no-any-return]
    from safetensors.numpy import load_file

    return np.asarray(load_file(folder / "vectors.safetensors")["vectors"])
