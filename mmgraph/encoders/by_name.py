"""Encode a graph with encoders that are given by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.encoders.base import ModalityEncoder
from mmgraph.encoders.pipeline import encode_graph
from mmgraph.encoders.registry import load_encoder_by_name
from mmgraph.engines.base import Engine
from mmgraph.errors import InputError


def encode(
    raw: RawGraph,
    *,
    cache: Path | str | Literal[False] | None = None,
    device: str = "cpu",
    batch_size: int = 64,
    progress: bool = True,
    engine: Engine | None = None,
    **encoders: str | ModalityEncoder,
) -> MultimodalGraph:
    """Turn the content of a graph into features, one frozen encoder per modality.

    Example:
        >>> graph = encode(raw, text="minilm", image="efficientnet-lite0")  # doctest: +SKIP

    Args:
        raw: The graph.
        cache: Folder of encoded content; the user's cache folder if `None`, no cache if `False`.
        device: Where encoders that are given by name run.
        batch_size: Items per forward pass.
        progress: Show a bar (on a terminal only).
        engine: Where batches are encoded; in this process by default.
        **encoders: By modality, the name of an encoder or an encoder of your own.

    Raises:
        InputError: If no encoder is given, or one is unknown or fits no modality of the graph.
    """
    if not encoders:
        raise InputError(f'graph {raw.name!r}: no encoder given; write for example encode(raw, text="minilm")')
    loaded = {
        modality: load_encoder_by_name(encoder, modality=modality, device=device)
        if isinstance(encoder, str)
        else encoder
        for modality, encoder in encoders.items()
    }
    return encode_graph(raw, loaded, cache=cache, batch_size=batch_size, progress=progress, engine=engine)[0]
