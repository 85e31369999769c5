"""Raw content and labels from the node attributes of NetworkX graphs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmgraph.data.raw import RawGraph
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.formats.networkx.graph import SCHEMA, from_networkx
from mmgraph.splits.base import PARTS, UNUSED, Split

PART_NAMES = {"val": "valid", "validation": "valid", "dev": "valid"}
"""Other names of parts that people use."""


def raw_from_networkx(
    graph: Any,
    *,
    name: str | None = None,
    text: str | Sequence[str] = (),
    image: str | None = None,
    root: Path | str | None = None,
    columns: Sequence[str] = (),
) -> RawGraph:
    """Turn a NetworkX graph whose nodes carry texts and paths of images into a graph that is ready to be encoded.

    Node types, relations and their attributes are read as by `from_networkx`. Of the attributes of nodes only those are
    read that are named here, so labels stay out of the graph; see `split_from_networkx` for them.

    Args:
        graph: Any graph class of NetworkX; all nodes are strings, or all are integers.
        name: Name of the graph; by default that of the NetworkX graph.
        text: Node attribute that holds the text, or several that are joined by ". " in this order.
        image: Node attribute that holds the path of an image.
        root: Folder that relative paths of images are taken from; by default the current one.
        columns: Node attributes to carry along and show beside results.

    Raises:
        InputError: If no node has a named attribute, an attribute has two roles, or a text or path is none.
    """
    texts = [text] if isinstance(text, str) else list(text)
    roles = [*texts, *([image] if image is not None else []), *columns]
    twice = sorted({key for key in roles if roles.count(key) > 1})
    if twice:
        raise InputError(f"raw_from_networkx: node attributes named more than once: {first_few(twice)}")
    where = _where(graph, name)
    rows = [dict(row) for _, row in graph.nodes(data=True)]
    known = dict.fromkeys(str(key) for row in rows for key in row)
    for key in roles:
        if key not in known:
            raise InputError(f"{where}: {unknown_choice('node attribute', key, known)}")
    bare = graph.copy()
    for _, row in bare.nodes(data=True):
        for key in list(row):
            if key != "node_type" and key not in columns:
                del row[key]
    if SCHEMA in bare.graph:  # of what `to_networkx` left there, types and relations are of use to a raw graph
        bare.graph[SCHEMA] = {key: bare.graph[SCHEMA][key] for key in ("node_types", "relations")}
    plain = from_networkx(bare, name=name)
    nodes = plain.node_ids.values.tolist()
    content: dict[str, list[Any]] = {}
    if texts:
        parts = [
            [_text(where, key, node, row.get(key)) for key in texts] for node, row in zip(nodes, rows, strict=True)
        ]
        content["text"] = [". ".join(filter(None, items)) or None for items in parts]
    if image is not None:
        folder = Path() if root is None else Path(root)
        paths = [_path(where, image, node, row.get(image)) for node, row in zip(nodes, rows, strict=True)]
        content["image"] = [None if path is None else folder / path for path in paths]
    shared = ("name", "node_ids", "node_types", "node_type", "relations", "columns")
    fields = {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain) if field.name in shared}
    return RawGraph(**fields, content=content)


def split_from_networkx(
    graph: Any,
    *,
    label: str = "label",
    part: str = "split",
    parts: Mapping[str, str] = PART_NAMES,
) -> Split:
    """Read labels and the part of each node from node attributes.

    Args:
        graph: Any graph class of NetworkX.
        label: Node attribute of the label: a value, or a list of values. Nodes may lack it.
        part: Node attribute of the part. Nodes that have a label and no part become `unused`; those that have neither
            are not in the split.
        parts: Names of parts by what the attribute says; names of parts themselves need not be listed.

    Returns:
        A split of nodes, method `official`, with the column `label`.

    Raises:
        InputError: If no node has the attribute, or a part is unknown.
    """
    where = _where(graph, None)
    rows = [(node, row.get(label), row.get(part)) for node, row in graph.nodes(data=True)]
    for position, key in ((1, label), (2, part)):
        if all(row[position] is None for row in rows):
            known = dict.fromkeys(str(key) for _, row in graph.nodes(data=True) for key in row)
            raise InputError(f"{where}: {unknown_choice('node attribute', key, known)}")
    rows = [row for row in rows if row[1] is not None or row[2] is not None]
    found = []
    for node, _, value in rows:
        name = UNUSED if value is None else next((v for k, v in parts.items() if k == value), value)
        if name not in PARTS:
            choices = [*PARTS, *parts]
            raise InputError(f"{where}, node {node!r}: {unknown_choice('part', str(value), choices)}")
        found.append(name)
    try:
        labels = pa.array([value for _, value, _ in rows])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        message = " ".join(str(error).split())
        raise InputError(f"{where}, node attribute {label!r}: fits no column: {message}") from None
    table = pa.table({"id": [node for node, _, _ in rows], "label": labels, "split": found})
    return Split("node", table, "official", {"source": "networkx", "label": label, "part": part})


def _where(graph: Any, name: str | None) -> str:
    return f"NetworkX graph {name or graph.graph.get('name') or ''!r}"


def _text(where: str, key: str, node: Any, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value.strip() or None if value else None
    raise InputError(f"{where}, node {node!r}, attribute {key!r}: expected a text, got {type(value).__name__}")


def _path(where: str, key: str, node: Any, value: Any) -> Path | None:
    if value is None or value == "":
        return None
    if isinstance(value, str | Path):
        return Path(value)
    raise InputError(f"{where}, node {node!r}, attribute {key!r}: expected a path, got {type(value).__name__}")
