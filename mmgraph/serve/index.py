"""Everything that answers are made from, loaded together and never changed."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import find_graph, load_graph
from mmgraph.errors import InputError
from mmgraph.export.queries import open_embeddings, open_query_encoder
from mmgraph.export.store import Store
from mmgraph.inference.query import QueryEncoder
from mmgraph.serve.describing import describe, picture_root, task_labels
from mmgraph.serve.links import Links
from mmgraph.serve.models import About
from mmgraph.serve.pictures import Pictures
from mmgraph.serve.plane import Plane
from mmgraph.serve.rows import NodeRows
from mmgraph.serve.settings import Limits
from mmgraph.serve.snapshot import snapshot

Stamp = tuple[int, int, int] | None

MODALITIES = ("text", "image")
"""What queries can have; other modalities of a graph are searched by node only."""


@dataclass(frozen=True)
class Sources:
    """What is served.

    Attributes:
        run: Run folder, to encode queries.
        graph: Graph folder, for neighbours, pictures and queries.
        embeddings: Exported embeddings; computed from `run` and `graph` otherwise.
        device: Where models run.
    """

    run: Path | None = None
    graph: Path | None = None
    embeddings: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.embeddings is None and (self.run is None or self.graph is None):
            raise InputError("serve: expected --embeddings, or --run together with --graph")
        if self.run is not None and self.graph is None:
            raise InputError("serve: --run needs --graph, to encode queries as the nodes were")


@dataclass(frozen=True, eq=False)
class Index:
    """A store with its graph, in one state. A request holds on to one from beginning to end.

    Attributes:
        store: What is searched.
        rows: Rows of the nodes.
        place: Position of each id.
        about: Answer of `/about`.
        plane: The map.
        pictures: Pictures of the nodes.
        links: Edges, if there is a graph.
        graph: The graph, if there is one.
        encoder: Encodes queries, if there is a run.
        lock: Held while the store is used: not every library takes calls from two threads at once.
        stamps: State of the files of graph and run when they were read.
        release: Closes the store.
        generation: Number of this state.
    """

    store: Store
    rows: NodeRows
    place: dict[Any, int]
    about: About
    plane: Plane
    pictures: Pictures
    links: Links | None = None
    graph: MultimodalGraph | None = None
    encoder: QueryEncoder | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    stamps: tuple[Stamp, Stamp] = (None, None)
    release: Callable[[], object] = bool
    generation: int = field(default_factory=itertools.count(1).__next__)

    def __len__(self) -> int:
        return len(self.store)

    def close(self) -> None:
        """Stop background work and release the store."""
        self.plane.stop()
        with self.lock:
            self.release()


def load_index(sources: Sources, limits: Limits, before: Index | None = None) -> Index:
    """Load everything; slow, so call it in a thread.

    Args:
        sources: What to load.
        limits: What requests may ask for.
        before: Graph and encoder are taken from this index, if their files are as they were.

    Raises:
        InputError: If something is missing or damaged, or parts do not belong together.
    """
    stamps = (
        None if sources.graph is None else stamp(find_graph(sources.graph) / "graph.json"),
        None if sources.run is None else stamp(sources.run / "model" / "model.safetensors"),
    )
    if before is not None and before.stamps[0] != stamps[0]:
        before = None
    graph = None if before is None else before.graph
    if graph is None and sources.graph is not None:
        graph = load_graph(sources.graph)
    embeddings = sources.embeddings
    copy = None if embeddings is None else snapshot(embeddings)
    with ExitStack() as stack:
        if copy is not None and embeddings is not None:
            stack.callback(copy.cleanup)
            embeddings = Path(copy.name) / embeddings.resolve().name
        store = open_embeddings(embeddings, run=sources.run, graph=graph, device=sources.device)
        stack.callback(store.close)
        index = _assemble(store, graph, sources, limits, before, stamps)
        return replace(index, release=stack.pop_all().close)


def _assemble(
    store: Store,
    graph: MultimodalGraph | None,
    sources: Sources,
    limits: Limits,
    before: Index | None,
    stamps: tuple[Stamp, Stamp],
) -> Index:
    if graph is not None and graph.name != store.manifest["graph"]:
        raise InputError(f"{store.path}: made from graph {store.manifest['graph']!r}, but --graph is {graph.name!r}")
    rows = NodeRows(store.rows, {} if sources.graph is None else task_labels(sources.graph, store.node_ids))
    links = None if graph is None else Links(graph, store.node_ids)
    encoder = None
    same = before is not None and before.stamps == stamps
    if same and before is not None and before.store.manifest["model"] == store.manifest["model"]:
        encoder = before.encoder
    elif sources.run is not None and graph is not None:
        asked = [name for name in MODALITIES if name in graph.features]
        encoder = open_query_encoder(store, sources.run, graph, asked, device=sources.device, remember=False)
        _warm_up(encoder)
    pictures = Pictures(None if sources.graph is None else picture_root(sources.graph), rows.images)
    # The first searches should not be the ones that wait for pages of the index.
    store.search(store.vectors_at(np.zeros(1, dtype=np.int64)), 1)
    lock = threading.Lock()

    def read(positions: np.ndarray) -> torch.Tensor:
        with lock:
            return store.vectors_at(positions)

    return Index(
        store=store,
        rows=rows,
        place={node: position for position, node in enumerate(store.node_ids.values.tolist())},
        about=describe(store, rows, graph, encoder, pictures, limits),
        plane=Plane(len(store), read),
        pictures=pictures,
        links=links,
        graph=graph,
        encoder=encoder,
        lock=lock,
        stamps=stamps,
    )


def _warm_up(encoder: QueryEncoder) -> None:
    """Encode something of each kind: some encoders load their weights at the first call."""
    import PIL.Image

    if "text" in encoder.encoders:
        encoder.encode(["a"])
    if "image" in encoder.encoders:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "white.png"
            PIL.Image.new("RGB", (8, 8), "white").save(path)
            encoder.encode(None, [path])


def stamp(path: Path) -> Stamp:
    """What changes when a file is written again; `None` if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
