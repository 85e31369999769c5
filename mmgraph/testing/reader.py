"""What a fuzzer knows of a reader of files, and what its valid files are made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmgraph.data.graph import MultimodalGraph
from mmgraph.files import file_digest, write_json
from mmgraph.sealed import KEY, write_sealed_json
from mmgraph.testing.factories import make_graph


@dataclass(frozen=True)
class Reader:
    """A reader and what it reads.

    Attributes:
        make: Writes a valid folder (or file) to a path that does not exist yet.
        read: Reads it, and uses what it got.
        sign: Makes digests right again after damage, so that what comes after the check of digests is reached too.
        names: Files that are damaged, all if there are none. The native indexes of vector libraries are left alone: their
            parsers in C++ and Rust are not ours to mend, and can end the process.
    """

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    sign: Callable[[Path], None] | None = None
    names: tuple[str, ...] = ()


def sign_files(header: str, key: str) -> Callable[[Path], None]:
    """Digests in a dictionary of a JSON file: file to SHA-256, or to a dictionary with `sha256` and `bytes`."""

    def sign(folder: Path) -> None:
        for path in folder.rglob(header):
            content = json.loads(path.read_text(encoding="utf-8"))
            for name, value in content.get(key, {}).items():
                file = path.parent / name
                if file.is_file() and isinstance(value, str):
                    content[key][name] = file_digest(file)
                elif file.is_file() and isinstance(value, dict):
                    content[key][name] = {"bytes": file.stat().st_size, "sha256": file_digest(file)}
            # What is sealed is sealed again, or nothing behind the seal is ever reached.
            (write_sealed_json if KEY in content else write_json)(path, content)

    return sign


def small_graph() -> MultimodalGraph:
    """A graph that is small as a file."""
    return make_graph(12, 20, missing=0.3)
