"""A graph with its embeddings as one XML file, GraphML or GEXF, for Gephi, yEd, Cytoscape and networkx.

A node has the attributes `node_type`, its columns, and `vector`, a text of numbers with nine digits, separated by spaces
(neither format has lists of numbers in a form that all programs read). Ids are texts in both formats.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import torch

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError, first_few
from mmgraph.export.manifest import as_array, check_manifest, from_rows, make_manifest
from mmgraph.files import atomic_path
from mmgraph.formats.networkx.graph import to_networkx
from mmgraph.inference.table import EmbeddingTable
from mmgraph.untrusted import damaged, reason

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""
COMMENT = "<!-- mmgraph "
"""Begin of the comment at the end of the file that has the manifest: GEXF has no attributes of a graph."""
GEXF_NAMES = frozenset({"id", "type", "pid", "start", "end", "viz", "slices", "spells", "parents"})
"""Attributes that networkx takes for something else when it writes GEXF."""


def write_graphml(
    table: EmbeddingTable, path: Path, *, graph: MultimodalGraph | None = None, overwrite: bool = False
) -> None:
    """Write a graph and its embeddings as GraphML.

    Args:
        table: Embeddings of all nodes of the graph.
        path: The file; its name ends in `.graphml`.
        graph: The graph.
        overwrite: Replace the file.

    Raises:
        InputError: If the file exists and `overwrite` is false, there is no graph, its nodes are not those of the
            table, or an id or a text holds characters that XML has not.
    """
    from networkx.readwrite import write_graphml

    _write(write_graphml, table, path, ".graphml", graph, overwrite)


def write_gexf(
    table: EmbeddingTable, path: Path, *, graph: MultimodalGraph | None = None, overwrite: bool = False
) -> None:
    """Write a graph and its embeddings as GEXF; like `write_graphml`, with the suffix `.gexf`.

    Raises:
        InputError: As in `write_graphml`.
    """
    from networkx.readwrite import write_gexf

    _write(write_gexf, table, path, ".gexf", graph, overwrite)


def _write(
    write: Any, table: EmbeddingTable, path: Path, suffix: str, graph: MultimodalGraph | None, overwrite: bool
) -> None:
    if path.suffix != suffix:
        raise InputError(f"{path}: expected a name that ends in {suffix}")
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file, got a folder")
    if path.exists() and not overwrite:
        raise InputError(f"{path} already exists; give another file or ask to overwrite it")
    if graph is None:
        raise InputError(f"{path}: format {suffix[1:]!r} needs the graph of the embeddings")
    table = table.take(table.positions(graph.node_ids.values))
    content = _content(table, graph, path, GEXF_NAMES if suffix == ".gexf" else frozenset())
    # Escaped, because a comment must not hold two hyphens in a row.
    manifest = json.dumps(make_manifest(table), ensure_ascii=False).replace("-", "\\u002d")
    with atomic_path(path) as temporary:
        write(content, str(temporary))
        with open(temporary, "a", encoding="utf-8") as file:
            file.write(f"\n{COMMENT}{manifest} -->\n")


def _content(table: EmbeddingTable, graph: MultimodalGraph, path: Path, reserved: frozenset[str]) -> Any:
    """The graph of networkx that is written, with texts and numbers only; nodes in the order of the table."""
    nodes = to_networkx(replace(graph, features={}))
    if any("vector" in row for _, row in nodes.nodes(data=True)):
        raise InputError(f"{path}: a column of graph {graph.name!r} has the name 'vector'")
    nodes.graph = {"name": graph.name}
    wrong = []
    for vector, (node, row) in zip(as_array(table.vectors).tolist(), nodes.nodes(data=True), strict=True):
        _simplify(row, reserved)
        row["vector"] = " ".join(f"{value:.9g}" for value in vector)
        if any(isinstance(text, str) and NOT_IN_XML.search(text) for text in (node, *row.values())):
            wrong.append(node)
    if wrong:
        raise InputError(f"{path}: {len(wrong):,} nodes have characters that XML cannot hold: {first_few(wrong)}")
    for _, _, row in nodes.edges(data=True):
        _simplify(row, reserved)
    return nodes


def _simplify(row: dict[str, Any], reserved: frozenset[str]) -> None:
    """Leave out what is missing; lists and the like become JSON, and names that mean something get `_` appended."""
    for key, value in list(row.items()):
        if value is None or key in reserved:
            del row[key]
        if value is not None:
            simple = isinstance(value, (str, bool, int, float))
            row[f"{key}_" if key in reserved else key] = value if simple else json.dumps(value, default=str)


def read_graphml(path: Path, *, verify: bool = True) -> EmbeddingTable:
    """Read the embeddings of a GraphML file, without the columns.

    Raises:
        InputError: If it was not written by `write_graphml`, or is damaged.
    """
    from networkx.readwrite import read_graphml

    return _read(read_graphml, path, verify)


def read_gexf(path: Path, *, verify: bool = True) -> EmbeddingTable:
    """Read the embeddings of a GEXF file, without the columns.

    Raises:
        InputError: If it was not written by `write_gexf`, or is damaged.
    """
    from networkx.readwrite import read_gexf

    return _read(read_gexf, path, verify)


def _read(read: Any, path: Path, verify: bool) -> EmbeddingTable:
    from networkx import NetworkXException

    try:
        last = path.read_text(encoding="utf-8").rstrip().rpartition(COMMENT)
        if not last[1]:
            raise InputError(f"{path}: not written by mmgraph (no manifest in a comment at the end)")
        manifest = check_manifest(json.loads(last[2].removesuffix("-->")), path)
        graph = read(str(path))
        ids = list(graph) if manifest["id_type"] == "string" else [int(node) for node in graph]
        rows = [row for _, row in graph.nodes(data=True)]
        vectors = np.asarray([row["vector"].split(" ") for row in rows], dtype=np.float32)
        columns = {"id": pa.array(ids), "type": pa.array([row["node_type"] for row in rows], pa.string())}
    except damaged(ElementTree.ParseError, NetworkXException) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: expected a graph with embeddings, got: {reason(error)}") from None
    manifest = {**manifest, "columns": [], "has_columns": False}
    return from_rows(pa.table(columns), torch.from_numpy(vectors), manifest, path, verify=verify)
