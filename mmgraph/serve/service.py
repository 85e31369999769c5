"""What the routes share: the index, the two batching threads, limits and metrics."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mmgraph.serve.batching import Batcher
from mmgraph.serve.encoding import Content, Encoded, encode_batch
from mmgraph.serve.finding import Found, Question, find_batch
from mmgraph.serve.holder import Holder
from mmgraph.serve.index import Index
from mmgraph.serve.metrics import Metrics
from mmgraph.serve.settings import Limits

T = TypeVar("T")


class Service:
    """State of one server process.

    Args:
        holder: Lends the index.
        limits: What requests may ask for.
        api_key: What requests must send as `X-API-Key`; `None` for no key.
        reload_seconds: How often to look for new embeddings; 0 for never.
    """

    def __init__(
        self, holder: Holder, limits: Limits, *, api_key: str | None = None, reload_seconds: float = 2.0
    ) -> None:
        self.holder, self.limits, self.api_key = holder, limits, api_key
        self.metrics = Metrics()
        holder.on_swap = self._swapped
        self._reload_seconds = reload_seconds
        self._encode: Batcher[Content, Encoded] = Batcher(
            "encode", encode_batch, max_batch=limits.max_batch, observe=self.metrics.encoded.observe
        )
        self._find: Batcher[Question, Found] = Batcher(
            "search", find_batch, max_batch=limits.max_batch, observe=self.metrics.searched.observe
        )
        self._side = ThreadPoolExecutor(1, thread_name_prefix="mmgraph-side")
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def start(self, index: Index) -> None:
        """Begin to serve an index."""
        self._folder = tempfile.TemporaryDirectory(prefix="mmgraph-serve-")
        self.holder.put(index)
        if self._reload_seconds > 0:
            self._watcher = asyncio.create_task(self.holder.watch(self._reload_seconds))

    async def stop(self) -> None:
        """End threads and close the index."""
        if self._watcher is not None:
            self._watcher.cancel()
        self._encode.close()
        self._find.close()
        self._side.shutdown(wait=False, cancel_futures=True)
        await self.holder.close()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def folder(self) -> Path:
        """Folder for uploads, which only this process can read."""
        assert self._folder is not None
        return Path(self._folder.name)

    async def encode(self, content: Content) -> Encoded:
        """Encode a text or image in the batch of its time."""
        return await self._encode.do(content)

    async def find(self, question: Question) -> Found:
        """Search in the batch of its time."""
        return await self._find.do(question)

    async def aside(self, work: Callable[[], T]) -> T:
        """Do something that takes a while in a thread of its own: pictures, maps, neighbourhoods."""
        return await asyncio.get_running_loop().run_in_executor(self._side, work)

    def _swapped(self, index: Index) -> None:
        self.metrics.generation.set(index.generation)
        self.metrics.nodes.set(len(index))
