"""Encoded graphs on disk: a folder of one JSON file, one parquet table and arrays that can be memory-mapped."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from mmgraph.data.arrays import array_parts, read_array, write_array
from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few
from mmgraph.files import atomic_folder, content_digest, file_digest, parts_digest, read_json, write_json
from mmgraph.parquet import ParquetTable
from mmgraph.sealed import is_canonical
from mmgraph.untrusted import reads

FORMAT, VERSION = "mmgraph.graph", 1
MANIFEST = "graph.json"


def save_graph(graph: MultimodalGraph, folder: Path | str, *, overwrite: bool = False) -> Path:
    """Write a graph to a folder, whole or not at all.

    Rows of absent nodes are written as zeros, so that equal graphs give equal files.

    Args:
        graph: Any graph, on any device.
        folder: Where to write.
        overwrite: Replace the graph that is there.

    Returns:
        The folder.

    Raises:
        InputError: If the folder exists and is not to be overwritten, or holds something else than a graph.
    """
    folder = Path(folder)
    check_target(folder, overwrite=overwrite)
    nodes = _node_table(graph)
    with atomic_folder(folder, overwrite=overwrite) as new:
        pq.write_table(nodes, new / "nodes.parquet")
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "name": graph.name,
            "num_nodes": graph.num_nodes,
            "node_types": list(graph.node_types),
            "columns": graph.columns is not None and graph.columns.num_columns > 0,
            "node_type": write_array(new, "node_type", graph.node_type),
            "relations": {
                name: _write_relation(new, file_stem("relation", number, name), relation)
                for number, (name, relation) in enumerate(graph.relations.items())
            },
            "features": {
                name: _write_features(new, file_stem("features", number, name), features)
                for number, (name, features) in enumerate(graph.features.items())
            },
        }
        write_manifest(new, manifest)
    return folder


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Refuse to replace a folder that holds something else than a graph.

    Raises:
        InputError: If `overwrite` is asked for and the folder is neither empty nor a graph.
    """
    if overwrite and folder.exists() and any(folder.iterdir()) and not _is_manifest(folder / MANIFEST):
        raise InputError(f"{folder}: refusing to overwrite a folder that holds no encoded graph")


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write `graph.json` beside the files it describes; reads every file once for its digest."""
    manifest = {**manifest, "files": {path.name: file_digest(path) for path in sorted(folder.iterdir())}}
    write_json(folder / MANIFEST, {**manifest, "digest": _manifest_digest(manifest)})


def file_stem(kind: str, number: int, name: str) -> str:
    """Stem of a file: the number makes it unique, of the name only what is safe everywhere is kept."""
    return f"{kind}_{number}_{re.sub(r'[^0-9A-Za-z]+', '-', name)[:40].strip('-') or 'x'}"


@reads("an encoded graph")
def load_graph(folder: Path | str, *, mmap: bool | Literal["read"] = True, verify: bool = True) -> MultimodalGraph:
    """Open a graph written by `save_graph`.

    Args:
        folder: The folder of the graph, or a dataset folder whose graph is in `encoded/`.
        mmap: Map arrays into memory (copy on write) instead of reading them. With `"read"` without the right to write:
            they then count towards no limit of memory, and a write to them ends the process.
        verify: Compare the digests of all files; reads every byte once.

    Raises:
        InputError: If there is no graph, it has another version, or a file is missing or was changed.
    """
    folder = find_graph(folder)
    manifest = _read_manifest(folder / MANIFEST)
    for file, digest in manifest["files"].items():
        path = folder / file
        if Path(file).name != file or not path.is_file():
            raise InputError(f"{path}: the file is missing, but {folder / MANIFEST} lists it")
        if verify and (found := file_digest(path)) != digest:
            raise InputError(f"{path}: the file was changed: expected SHA-256 {digest[:12]}, got {found[:12]}")
    # The types are in `node_type` too, and as text they would take more memory than the ids.
    table = ParquetTable(folder / "nodes.parquet")
    nodes = table.read([name for name in table.schema.names if name != "type"])

    def array(entry: Mapping[str, Any]) -> Tensor:
        return read_array(folder / entry["file"], entry, mmap=mmap)

    return MultimodalGraph(
        name=manifest["name"],
        node_ids=NodeIds(nodes["id"]),
        node_types=tuple(manifest["node_types"]),
        node_type=array(manifest["node_type"]),
        relations={
            name: Relation(
                edge_index=array(entry["edge_index"]),
                source_type=entry["source_type"],
                target_type=entry["target_type"],
                symmetric=entry["symmetric"],
                reverse=entry.get("reverse"),
                attributes={key: array(value) for key, value in entry["attributes"].items()},
            )
            for name, entry in manifest["relations"].items()
        },
        features={
            name: ModalityFeatures(
                spec=FeatureSpec(name, entry["encoder"], entry["dim"]),
                values=array(entry["values"]),
                present=array(entry["present"]),
                mean=array(entry["mean"]),
                scale=array(entry["scale"]) if "scale" in entry else None,
            )
            for name, entry in manifest["features"].items()
        },
        columns=nodes.drop_columns(["id"]) if manifest["columns"] else None,
    )


def find_graph(folder: Path | str) -> Path:
    """Find the encoded graph of a folder: the folder itself, or its subfolder `encoded`.

    Raises:
        InputError: If there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected the folder of a graph, found {'a file' if folder.exists() else 'nothing'}"
        )
    for candidate in (folder, folder / "encoded"):
        if _is_manifest(candidate / MANIFEST):
            return candidate
    if any((folder / f"nodes.{ending}").exists() for ending in ("csv", "parquet")):
        raise InputError(f"{folder}: holds tables but no encoded graph; run: mmgraph encode --graph {folder}")
    raise InputError(f"{folder}: expected a graph ({MANIFEST}), found: {_listing(folder)}")


def graph_digest(graph: MultimodalGraph) -> str:
    """SHA-256 of what a model sees: name, ids, types, edges and features, in their order.

    Columns and the rows of absent nodes do not count.
    """
    digest = hashlib.sha256()
    ids = graph.node_ids.values
    header = {
        "name": graph.name,
        "ids": parts_digest(ids) if ids.dtype == object else content_digest(ids.tobytes()),
        "node_types": list(graph.node_types),
        "relations": [
            [
                name,
                r.source_type,
                r.target_type,
                r.symmetric,
                r.num_edges,
                list(r.attributes),
                *([r.reverse] if r.reverse else []),
            ]
            for name, r in graph.relations.items()
        ],
        "features": [[name, f.spec.encoder, f.spec.dim] for name, f in graph.features.items()],
    }
    digest.update(json.dumps(header).encode())
    tensors: list[tuple[Tensor, Tensor | None]] = [(graph.node_type, None)]
    for relation in graph.relations.values():
        tensors += [(relation.edge_index, None), *((values, None) for values in relation.attributes.values())]
    for features in graph.features.values():
        tensors += [(features.values, features.present), (features.present, None), (features.mean, None)]
        tensors += [] if features.scale is None else [(features.scale, features.present)]
    for tensor, present in tensors:
        digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        for part in array_parts(tensor, present):
            digest.update(part)
    return digest.hexdigest()


def _node_table(graph: MultimodalGraph) -> pa.Table:
    table = graph.columns if graph.columns is not None else pa.table({})
    names = ["id", "type", *table.column_names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"graph {graph.name!r}: columns must have distinct names other than id and type, got {first_few(repeated)}"
        )
    types = np.asarray(graph.node_types, dtype=object)[graph.node_type.numpy(force=True)]
    arrays = [pa.array(graph.node_ids.values), pa.array(types), *table.columns]
    return pa.table(dict(zip(names, arrays, strict=True)))


def _write_relation(folder: Path, stem: str, relation: Relation) -> dict[str, Any]:
    return {
        "source_type": relation.source_type,
        "target_type": relation.target_type,
        "symmetric": relation.symmetric,
        "reverse": relation.reverse,
        "edge_index": write_array(folder, stem, relation.edge_index),
        "attributes": {
            key: write_array(folder, file_stem(stem, number, key), values)
            for number, (key, values) in enumerate(relation.attributes.items())
        },
    }


def _write_features(folder: Path, stem: str, features: ModalityFeatures) -> dict[str, Any]:
    return {
        "encoder": features.spec.encoder,
        "dim": features.spec.dim,
        "values": write_array(folder, f"{stem}_values", features.values, present=features.present),
        "present": write_array(folder, f"{stem}_present", features.present),
        "mean": write_array(folder, f"{stem}_mean", features.mean),
        **(
            {}
            if features.scale is None
            else {"scale": write_array(folder, f"{stem}_scale", features.scale, present=features.present)}
        ),
    }


def _manifest_digest(manifest: Mapping[str, Any]) -> str:
    return content_digest(json.dumps({key: manifest[key] for key in manifest if key != "digest"}))


def _is_manifest(path: Path) -> bool:
    if not path.is_file():
        return False
    value = read_json(path)  # tables have a graph.json too, with neither of these keys
    return isinstance(value, dict) and ("format" in value or "digest" in value)


def _read_manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path)
    found = manifest.get("format"), manifest.get("version")
    if found != (FORMAT, VERSION):
        raise InputError(f"{path}: expected format {FORMAT!r} version {VERSION}, got {found[0]!r} version {found[1]!r}")
    if manifest.get("digest") != _manifest_digest(manifest) or not is_canonical(path, manifest):
        raise InputError(f"{path}: the file was changed: its digest does not match")
    return dict(manifest)


def _listing(folder: Path) -> str:
    return first_few(sorted(path.name for path in folder.iterdir())) or "an empty folder"
