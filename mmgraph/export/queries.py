"""What all searches in a store share: opening it, the model that made it, ids as text, and the vector of a query."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import load_graph
from mmgraph.errors import InputError
from mmgraph.export.base import open_store
from mmgraph.export.store import Store
from mmgraph.export.table_store import TableStore
from mmgraph.inference.compose import check_query, compose_vectors
from mmgraph.inference.embed import embed, table_model
from mmgraph.inference.levels import LEVELS, LevelName
from mmgraph.inference.query import QueryEncoder
from mmgraph.nn.build import Encoder
from mmgraph.training.evaluate import query_encoder
from mmgraph.training.loading import load_model


def open_embeddings(
    embeddings: Path | None,
    *,
    run: Path | None = None,
    graph: Path | MultimodalGraph | None = None,
    device: str = "cpu",
) -> Store:
    """Open exported embeddings, or compute those of a run.

    Args:
        embeddings: What was exported, in any format; `None` to compute.
        run: Run folder, to compute.
        graph: The graph or its folder, to compute.
        device: Where the model runs.

    Raises:
        InputError: If there is nothing to open and nothing to compute from, or it cannot be read.
    """
    if embeddings is not None:
        return open_store(embeddings)
    if run is None or graph is None:
        raise InputError("expected --embeddings, or --run together with --graph")
    loaded = graph if isinstance(graph, MultimodalGraph) else load_graph(graph)
    encoder = load_model(run, device=device, graph=loaded)
    return TableStore(run, embed(encoder, loaded, device=device))


def level_of(store: Store, encoder: Encoder, run: Path) -> LevelName:
    """The level of a model at which a store was made, so that queries are made alike.

    Raises:
        InputError: If another model made it.
    """
    for level in LEVELS:
        if store.manifest["model"] == table_model(encoder, level):
            return level
    raise InputError(f"{store.path}: made by another model than {run}; export it again")


def open_query_encoder(
    store: Store,
    run: Path,
    graph: Path | MultimodalGraph,
    modalities: Iterable[str],
    *,
    device: str = "cpu",
    remember: bool = True,
) -> QueryEncoder:
    """What turns texts and images into queries for a store.

    Args:
        store: What is searched.
        run: Run whose model made the store.
        graph: The graph or its folder.
        modalities: What queries can have.
        device: Where models run.
        remember: Keep the features of all queries in memory.

    Raises:
        InputError: If another model made the store, or the graph lacks a modality.
    """
    loaded = graph if isinstance(graph, MultimodalGraph) else load_graph(graph)
    encoder = load_model(run, device=device, graph=loaded)
    level = level_of(store, encoder, run)
    return query_encoder(encoder, loaded, modalities, level=level, device=device, remember=remember)


def id_from_text(store: Store, text: str, *, where: str) -> Any:
    """An id as the store has it: text, or the integer that the text spells.

    Raises:
        InputError: If ids are integers and the text is not.
    """
    if store.manifest["id_type"] == "string":
        return text
    if not re.fullmatch(r"-?[0-9]+", text):
        raise InputError(f"{where}: the ids of {store.manifest['graph']!r} are integers, got {text!r}")
    return int(text)


def query_vector(
    store: Store,
    like: Sequence[Any],
    *,
    text: str | None = None,
    image: Path | None = None,
    without: str | None = None,
    weight: float = 1.0,
    without_weight: float = 0.5,
    encoder: QueryEncoder | None = None,
) -> Tensor:
    """`compose_query` for a store, `[1, dim]`.

    Raises:
        InputError: As `compose_query`.
    """
    check_query(like, text=text, image=image, without=without, weight=weight, without_weight=without_weight)

    def encoded(text: str | None, image: Path | None) -> Tensor | None:
        if text is None and image is None:
            return None
        if encoder is None:
            raise InputError("query: an encoder is needed for a text or an image, got none")
        return encoder.encode(None if text is None else [text], None if image is None else [image])[0].cpu()

    return compose_vectors(
        store.vectors(like),
        like,
        content=encoded(text, image),
        without=encoded(without, None),
        weight=weight,
        without_weight=without_weight,
    )
