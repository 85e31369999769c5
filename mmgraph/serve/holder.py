"""The index that is served now, and how another one takes its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmgraph.errors import InputError, MissingExtraError
from mmgraph.export.folder import MANIFEST
from mmgraph.serve.index import Index, Stamp, stamp

_logger = logging.getLogger(__name__)


class Holder:
    """Lends the newest index to requests, and closes an old one when its last request is done.

    All methods are called on the event loop; loading and closing happen in threads.

    Args:
        load: Makes an index, given the one before; slow.
        watched: Embeddings whose manifest is looked at; `None`: reload on request only.
    """

    def __init__(self, load: Callable[[Index | None], Index], watched: Path | None = None) -> None:
        self._load, self._watched = load, watched
        self._index: Index | None = None
        self._lent: dict[Index, int] = {}
        self._seen = fingerprint(watched)
        self._loading = asyncio.Lock()
        self._closing: set[asyncio.Future[None]] = set()
        self.on_swap: Callable[[Index], object] = len
        """Told of each new index."""

    @property
    def index(self) -> Index:
        """The index that new requests get."""
        assert self._index is not None, "serve: nothing is loaded yet"
        return self._index

    @contextmanager
    def lend(self) -> Iterator[Index]:
        """The current index, which stays open until the block ends."""
        index = self.index
        self._lent[index] = self._lent.get(index, 0) + 1
        try:
            yield index
        finally:
            self._lent[index] -= 1
            if not self._lent[index]:
                del self._lent[index]
                if index is not self._index:
                    self._retire(index)

    def put(self, index: Index) -> None:
        """Serve this index from now on."""
        old, self._index = self._index, index
        index.plane.start()
        self.on_swap(index)
        if old is not None and old not in self._lent:
            self._retire(old)

    async def reload(self) -> bool:
        """Load again; what cannot be loaded is refused with a line in the log, and the old index stays.

        Returns:
            Whether there is a new index.
        """
        async with self._loading:
            seen = fingerprint(self._watched)
            try:
                index = await asyncio.get_running_loop().run_in_executor(None, self._load, self._index)
            except (InputError, MissingExtraError, OSError, ValueError, RuntimeError, KeyError) as error:
                # Writers replace a folder in one step, so this is damage, and looking again would not help.
                self._seen = seen
                _logger.error("reload refused, the old index stays: %s", error)
                return False
            self._seen = seen
            if fingerprint(self._watched) != seen:
                # Written again while it was read: files of both may be mixed. `watch` will look once more.
                _logger.info("the embeddings changed while they were read; reading them again")
                await asyncio.get_running_loop().run_in_executor(None, index.close)
                return False
            self.put(index)
            _logger.info("reloaded: generation %d, %d nodes", index.generation, len(index))
            return True

    async def watch(self, seconds: float) -> None:
        """Reload whenever the manifest changes, for ever."""
        while True:
            await asyncio.sleep(seconds)
            if fingerprint(self._watched) != self._seen:
                await self.reload()

    async def close(self) -> None:
        """Close whatever is open."""
        if self._index is not None:
            self._retire(self._index)
            self._index = None
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._closing)

    def _retire(self, index: Index) -> None:
        future = asyncio.get_running_loop().run_in_executor(None, index.close)
        self._closing.add(future)
        future.add_done_callback(self._closing.discard)


def fingerprint(path: Path | None) -> Stamp:
    """What changes when embeddings are written again; `None` if there are none."""
    return None if path is None else stamp(path / MANIFEST if path.is_dir() else path)
