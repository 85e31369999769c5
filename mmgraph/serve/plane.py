"""Coordinates of all nodes on a plane, computed in the background."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.errors import InputError
from mmgraph.export.store import ROWS_PER_CHUNK
from mmgraph.nn.alignment import strongest_axes

FITTED_ON = 20_000
"""Nodes from which the axes are computed, evenly spread."""
TSNE_NODES = 5_000
"""Up to so many nodes t-SNE replaces the two principal axes."""

_logger = logging.getLogger(__name__)


class Plane:
    """First two principal axes as soon as possible, then t-SNE if there are few nodes.

    Args:
        count: Number of nodes.
        read: `read(positions)` gives vectors `[len(positions), dim]`; called by the thread of the map.
    """

    def __init__(self, count: int, read: Callable[[NDArray[np.int64]], Tensor]) -> None:
        self._count, self._read = count, read
        self._points: NDArray[np.float32] | None = None
        self._stopped = threading.Event()
        self.ready = threading.Event()
        """Set when there are coordinates, or never will be."""
        self.final = threading.Event()
        """Set when they will not change any more."""
        self.version = 0
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()
        self.answers: dict[Any, bytes] = {}
        """Answers that were made from this version."""

    def start(self) -> None:
        """Begin to compute. The thread is no daemon: one that is in the middle of a computation when Python ends aborts it."""
        self._thread = threading.Thread(target=self._run, name="mmgraph-map")
        self._thread.start()

    def stop(self) -> None:
        """Give up; nothing is read after this."""
        with self._changing:
            self._stopped.set()
            if self._child is not None:
                self._child.kill()

    @property
    def points(self) -> NDArray[np.float32] | None:
        """Coordinates `[num_nodes, 2]` in 0..1, if they are there."""
        return self._points

    def _run(self) -> None:
        try:
            self._publish(self._principal())
            if self._count <= TSNE_NODES and not self._stopped.is_set():
                self._publish(self._neighbouring())
        except (InputError, OSError, RuntimeError, ValueError, MemoryError) as error:
            if not self._stopped.is_set():
                _logger.warning("map: %s", error)
        finally:
            self.ready.set()
            self.final.set()

    def _publish(self, points: NDArray[np.float32]) -> None:
        self._points = points
        self.version += 1
        self.ready.set()

    def _principal(self) -> NDArray[np.float32]:
        count = self._count
        rows = np.unique(np.linspace(0, count - 1, min(count, FITTED_ON)).astype(np.int64))
        sample = torch.nn.functional.normalize(torch.from_numpy(self._vectors(rows)), dim=1).double()
        mean = sample.mean(dim=0)
        axes = strongest_axes((sample - mean).T @ (sample - mean), 2)
        points = np.zeros((count, 2), dtype=np.float32)
        for start in range(0, count, ROWS_PER_CHUNK):
            part = np.arange(start, min(start + ROWS_PER_CHUNK, count))
            unit = torch.nn.functional.normalize(torch.from_numpy(self._vectors(part)), dim=1)
            placed = (unit.double() - mean) @ axes
            points[start : start + len(placed), : axes.size(1)] = placed.numpy()
        low, high = points.min(axis=0), points.max(axis=0)
        placed_between: NDArray[np.float32] = ((points - low) / np.maximum(high - low, 1e-12)).astype(np.float32)
        return placed_between

    def _neighbouring(self) -> NDArray[np.float32]:
        vectors = self._vectors(np.arange(self._count))
        with TemporaryDirectory(prefix="mmgraph-map-") as folder:
            source, target = Path(folder) / "vectors.npy", Path(folder) / "points.npy"
            np.save(source, vectors)
            command = [sys.executable, "-m", "mmgraph.serve.tsne", str(source), str(target)]
            with self._changing:
                self._check()
                self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            _, errors = self._child.communicate()
            if self._child.returncode:
                raise RuntimeError(f"t-SNE failed: {errors.decode(errors='replace').strip()[-200:]}")
            points: NDArray[np.float32] = np.load(target, allow_pickle=False)
            return points

    def _vectors(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        with self._changing:
            self._check()
            found: NDArray[np.float32] = self._read(positions).numpy()
            return found

    def _check(self) -> None:
        if self._stopped.is_set():
            raise RuntimeError("stopped")
