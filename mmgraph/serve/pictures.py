"""Pictures of nodes, found by the graph and drawn anew: no byte of a file goes out as it is."""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmgraph.encoders.images import load_rgb
from mmgraph.errors import InputError
from mmgraph.serve.uploads import MAX_PIXELS, header_size

SIDE = 512
"""Pixels of the longer side at most."""
CACHED_BYTES = 64 * 2**20


class Pictures:
    """Pictures of the nodes of a store, by position.

    Args:
        root: Folder to which paths are relative; nothing outside of it is read. `None`: there are no pictures.
        paths: Path per node, null where a node has none.
    """

    def __init__(self, root: Path | None, paths: pa.Array | None) -> None:
        known = paths is not None and (pa.types.is_string(paths.type) or pa.types.is_large_string(paths.type))
        self.root = None if root is None else root.resolve()
        self._paths = paths if known and root is not None else None
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._size = 0

    def present(self, count: int) -> np.ndarray:
        """Which nodes name a picture, `[count]`, bool."""
        return np.zeros(count, dtype=bool) if self._paths is None else np.asarray(self._paths.is_valid())

    def has(self, position: int) -> bool:
        """Whether a node names a picture."""
        return self._paths is not None and bool(self._paths[position].is_valid)

    def cached(self, position: int) -> bytes | None:
        """The picture, if it was drawn before."""
        return self._cache.get(position)

    def draw(self, position: int) -> bytes | None:
        """The picture as WebP of at most 512 pixels; `None` if the node has none that can be read."""
        path = None if self._paths is None else self._paths[position].as_py()
        if path is None or self.root is None:
            return None
        file = (self.root / path).resolve()
        if not file.is_relative_to(self.root) or not file.is_file():
            return None
        try:
            width, height = header_size(file)
            if width * height > MAX_PIXELS:
                return None
            picture = load_rgb(file, size=SIDE)
        except InputError:
            return None
        picture.thumbnail((SIDE, SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=85, method=2)
        return buffer.getvalue()

    def keep(self, position: int, data: bytes) -> None:
        """Remember a picture; the oldest ones are dropped. Called by one thread."""
        if position not in self._cache:
            self._cache[position] = data
            self._size += len(data)
        while self._size > CACHED_BYTES and len(self._cache) > 1:
            self._size -= len(self._cache.popitem(last=False)[1])
