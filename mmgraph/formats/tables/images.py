"""Images that tables name: found by path, by id or as bytes, looked at, and set aside if they are broken."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.data.image_files import image_ending, image_size
from mmgraph.errors import InputError, MissingExtraError
from mmgraph.files import atomic_path, cache_folder, content_digest
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.mapping import NodeTable
from mmgraph.formats.tables.source import TableSource

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


class ImageStore:
    """Finds the images of nodes.

    Args:
        root: Folder that paths are relative to, unless the mapping names another.
        defects: Where images that are missing or broken are noted.
        check: Look at every file; otherwise paths are handed on as they are, for the encoder to find out.
        max_megapixels: Images with more pixels are set aside; decoding one takes 4 bytes per pixel and more.

    Attributes:
        sizes: Width and height of every image that was looked at and kept.
        unchecked: True if Pillow is missing, so that only existence and emptiness could be checked.
    """

    def __init__(self, root: Path, defects: Defects, *, check: bool, max_megapixels: float) -> None:
        self.root, self.defects, self.check, self.max_megapixels = root, defects, check, max_megapixels
        self.sizes: list[tuple[int, int]] = []
        self.unchecked = False
        self._by_id: dict[Path, dict[str, Path]] = {}
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Threads that read headers, for as long as tables are read."""
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool, warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*decompression bomb.*")  # the limit here is lower
            self._pool = pool
            try:
                yield
            finally:
                self._pool = None

    def paths(self, cells: pa.ChunkedArray) -> pa.ChunkedArray:
        """Paths of other files, relative ones taken from the root."""
        found = [None if cell is None else str(self.root / cell) for cell in cells.to_pylist()]
        return pa.chunked_array([pa.array(found, pa.string())])

    def find(
        self,
        mapping: NodeTable,
        source: TableSource,
        cells: pa.ChunkedArray | None,
        ids: pa.ChunkedArray,
        rows: np.ndarray,
    ) -> pa.ChunkedArray:
        """Paths of the images of some nodes, null where there is none.

        Args:
            mapping: Says where to look.
            source: The table, named in defects.
            cells: Paths or bytes; `None` if images are found by the ids of the nodes.
            ids: Ids of the nodes.
            rows: Numbers of the rows, named in defects.
        """
        folder = self.root if mapping.image_folder is None else self.root / mapping.image_folder
        names = ids.to_pylist()
        places = [(source.path, row, node) for row, node in zip(rows.tolist(), names, strict=True)]
        if cells is None:
            index = self._index(folder)
            found = [index.get(str(node).removeprefix(mapping.prefix)) for node in names]
        elif pa.types.is_binary(cells.type) and source.typed:
            found = [self._stored(place, data) for place, data in zip(places, cells.to_pylist(), strict=True)]
        else:
            texts = [None if cell is None else _text(cell).strip() for cell in cells.to_pylist()]
            found = [folder / text if text else None for text in texts]
        if self.check:
            found = self._checked(places, found)
        return pa.chunked_array([pa.array([None if path is None else str(path) for path in found], pa.string())])

    def _index(self, folder: Path) -> dict[str, Path]:
        """Images of a folder and its subfolders by relative path without ending, in alphabetical order.

        An id is only looked up here, so one with `..` in it finds nothing outside of the folder.
        """
        if folder not in self._by_id:
            if not folder.is_dir():
                raise InputError(f"{folder}: expected a folder with images, found nothing")
            files = (Path(base, name) for base, _, names in os.walk(folder) for name in names)
            images = sorted(path for path in files if path.suffix.lower() in IMAGE_ENDINGS)
            by_id: dict[str, Path] = {}
            for path in images:
                by_id.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
            self._by_id[folder] = by_id
        return self._by_id[folder]

    def _stored(self, place: tuple[Path, int, Any], data: bytes | None) -> Path | None:
        """Write bytes to a file named by their digest, once."""
        if data is None:
            return None
        if not data:
            self._note("empty-image", place, "expected the bytes of an image, got none")
            return None
        path = cache_folder("images") / f"{content_digest(data)}{image_ending(data)}"
        if not path.exists() or path.read_bytes() != data:
            with atomic_path(path, cache=True) as temporary:
                temporary.write_bytes(data)
        return path

    def _checked(self, places: list[tuple[Path, int, Any]], paths: list[Path | None]) -> list[Path | None]:
        assert self._pool is not None, "images are checked inside of open()"
        good: list[Path | None] = []
        for place, path, result in zip(places, paths, self._pool.map(self._look_at, paths), strict=True):
            if result is not None:
                self._note(result[0], place, result[1])
            good.append(path if result is None else None)
        return good

    def _look_at(self, path: Path | None) -> tuple[str, str] | None:
        """Kind of defect and its description, or `None` if the image is fine or there is none."""
        if path is None:
            return None
        try:
            size = path.stat().st_size if path.is_file() else None
        except OSError as error:  # a name that is too long, a folder that may not be read
            return "missing-image", f"{path}: {error.strerror}"
        if size is None:
            is_address = ":/" in str(path)[2:]
            return "missing-image", f"{path}: {'expected a file, got an address' if is_address else 'file not found'}"
        if size == 0:
            return "empty-image", f"{path}: zero bytes"
        try:
            width, height = image_size(path)
        except MissingExtraError:
            self.unchecked = True
            return None
        except InputError as error:
            return ("large-image" if "too large" in str(error) else "broken-image"), str(error)
        if width * height > self.max_megapixels * 1e6:
            megapixels = width * height / 1e6
            return "large-image", f"{path}: {megapixels:.0f} megapixels, the limit is {self.max_megapixels:g}"
        self.sizes.append((width, height))
        return None

    def _note(self, kind: str, place: tuple[Path, int, Any], detail: str) -> None:
        file, row, node = place
        self.defects.add(kind, file, detail, row=row, id=node)


def _text(cell: bytes | str) -> str:
    return cell if isinstance(cell, str) else os.fsdecode(cell)
