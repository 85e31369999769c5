"""Encode a graph folder in place: tables in, `encoded/` out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.quantised import FeatureType
from mmgraph.data.store import load_graph, save_graph
from mmgraph.encoders.pipeline import encode_graph
from mmgraph.encoders.registry import load_encoder_by_name
from mmgraph.engines.base import Engine
from mmgraph.errors import InputError, first_few
from mmgraph.formats.tables import read_tables
from mmgraph.sealed import check_digests, read_sealed_json, write_sealed_json

DEFAULT_ENCODERS = {"text": "minilm", "image": "efficientnet-lite0"}
NO_ENCODER = "none"
REPORT, DATASET = Path("encoded", "encoding.json"), "dataset.json"


def encode_folder(
    folder: Path | str,
    *,
    encoders: Mapping[str, str | None],
    cache: Path | None = None,
    device: str = "cpu",
    batch_size: int = 64,
    on_unknown: Literal["error", "drop"] = "error",
    name: str | None = None,
    dtype: FeatureType = "float32",
    engine: Engine | None = None,
) -> tuple[MultimodalGraph, dict[str, Any]]:
    """Read the tables of a folder, encode their content, write the graph to `encoded/` beside them.

    Args:
        folder: Graph folder with `nodes` and `edges`.
        encoders: Name of the encoder by modality; `None` takes the default where the graph has such content,
            `"none"` leaves the modality out.
        cache: Folder of the encoding cache.
        device: Where the encoders run.
        batch_size: Items per forward pass.
        on_unknown: What to do with edges to unknown ids.
        name: Name of the graph.
        dtype: Type in which features are stored, see `encode_graph`.
        engine: Where batches are encoded; in this process by default.

    Returns:
        The graph and the encoding report by modality, as written to `encoded/encoding.json`.

    Raises:
        InputError: If the tables are wrong, or not those that `mmgraph datasets build` wrote there, an encoder is unknown, or one is named for content that the graph lacks.
    """
    folder = Path(folder)
    _check_dataset(folder)
    raw = read_tables(folder, name=name, on_unknown=on_unknown)
    has = {modality for modality, items in raw.content.items() if any(item is not None for item in items)}
    chosen: dict[str, str] = {}
    for modality, encoder in encoders.items():
        if encoder is not None and encoder != NO_ENCODER and modality not in has:
            there = first_few(sorted(has)) or "(nothing)"
            raise InputError(
                f"{folder}: encoder {encoder!r} for {modality}, but no node has {modality}; it has: {there}"
            )
        if modality in has and encoder != NO_ENCODER:
            chosen[modality] = encoder or DEFAULT_ENCODERS[modality]
    if not chosen:
        raise InputError(f"{folder}: nothing to encode; no node has text or image, or all encoders are 'none'")
    loaded = {modality: load_encoder_by_name(key, modality=modality, device=device) for modality, key in chosen.items()}
    graph, report = encode_graph(raw, loaded, cache=cache, batch_size=batch_size, dtype=dtype, engine=engine)
    graph = _relative_paths(graph, folder)
    save_graph(graph, folder / "encoded", overwrite=True)
    described: dict[str, Any] = report.to_dict()["modalities"]
    write_sealed_json(folder / REPORT, described)
    return graph, described


def _check_dataset(folder: Path) -> None:
    """Compare what was built with the digests in `dataset.json`; tables of one's own have none."""
    path = folder / DATASET
    if path.is_file():
        content = read_sealed_json(path)
        check_digests(folder, content.get("digests", {}) if isinstance(content, dict) else {}, source=path)


def _relative_paths(graph: MultimodalGraph, folder: Path) -> MultimodalGraph:
    """Give pictures relative to the folder, so that it can be moved and means the same from any working directory."""
    if graph.columns is None or "image" not in graph.columns.column_names:
        return graph
    paths = [None if path is None else os.path.relpath(path, folder) for path in graph.columns["image"].to_pylist()]
    index = graph.columns.column_names.index("image")
    return replace(graph, columns=graph.columns.set_column(index, "image", pa.array(paths, pa.string())))


def load_encoded(folder: Path | str) -> tuple[MultimodalGraph, dict[str, Any]] | None:
    """What `encode_folder` wrote earlier, or `None` if the folder is not encoded."""
    folder = Path(folder)
    if not (folder / REPORT).exists():  # written last
        return None
    return load_graph(folder), dict(read_sealed_json(folder / REPORT))
