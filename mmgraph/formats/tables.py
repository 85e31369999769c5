"""Raw graphs as folders of tables: what people write by hand, and what the builders of datasets make."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mmgraph.data.graph import encode_node_types
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.files import read_json
from mmgraph.formats.edge_table import read_relations
from mmgraph.formats.table_file import TableFile, read_table_file, unify_ids
from mmgraph.formats.tables_writing import MODALITIES, write_tables

logger = logging.getLogger(__name__)

_SETTINGS: dict[str, type] = {"symmetric": list, "reverse": dict, "empty_relations": dict, "modalities": dict}

__all__ = ["read_tables", "write_tables"]


def read_tables(folder: Path | str, *, name: str | None = None, on_unknown: str = "error") -> RawGraph:
    """Read a raw graph from a folder of tables.

    The folder holds

    - `nodes.parquet` or `nodes.csv` with the columns `id`, optionally `type` ("node" if absent), `text`, `image` (path
      relative to the folder; an image that is missing on disk is left to the encoder, which sets it aside). Null,
      empty or blank means absent. Other columns are carried along.
    - `edges.parquet` or `edges.csv` with the columns `source`, `target`, optionally `relation` ("edge" if absent).
      Other numeric columns become attributes of the relations that have values in them.
    - optionally `graph.json`: `name`; `symmetric`, a list of relations that read the same both ways (a pair that such
      a relation names twice, or in both directions, is kept once); and `reverse`, which names for a relation the one
      that states the same facts the other way round.

    Ids are strings or integers. In CSV they are integers only if every id of nodes and edges is an integer without
    leading zeros. Nodes are sorted by id, relations by name and edges by their ends, so that the order of rows in the
    files changes nothing, not even a random number drawn later.

    Args:
        folder: The folder.
        name: Name of the graph; by default that in `graph.json`, else that of the folder.
        on_unknown: What to do with edges whose ends are no nodes: "error", or "drop" (logs how many).

    Raises:
        InputError: Names the file and what is wrong with it.
    """
    folder = Path(folder)
    if on_unknown not in ("error", "drop"):
        raise unknown_choice("on_unknown", on_unknown, ("error", "drop"))
    nodes, edges = read_table_file(folder, "nodes"), read_table_file(folder, "edges")
    nodes.require("id")
    edges.require("source", "target")
    if nodes.table.num_rows == 0:
        raise InputError(f"{nodes.path}: expected at least one node, got none")
    settings = _read_settings(folder / "graph.json")

    ids, source, target = unify_ids(
        [nodes.table["id"], edges.table["source"], edges.table["target"]], [nodes.typed, edges.typed, edges.typed]
    )
    node_ids = NodeIds(ids, where=f"{nodes.path}, column id")
    order = np.asarray(pc.sort_indices(pa.array(node_ids.values)))
    node_ids = node_ids.take(order)
    nodes = TableFile(nodes.path, nodes.table.take(pa.array(order)), nodes.typed)
    node_types, node_type = encode_node_types(nodes.strings("type", default="node").to_pylist())
    ends, edges = _find_ends(node_ids, source, target, edges, drop=on_unknown == "drop")
    relations = read_relations(edges, ends, node_types, node_type, symmetric=settings["symmetric"])
    for relation, pair in settings["empty_relations"].items():
        if not isinstance(pair, list) or len(pair) != 2 or not set(map(str, pair)) <= set(node_types):
            raise InputError(
                f"{folder / 'graph.json'}, empty_relations, {relation}: "
                f"expected [source type, target type] of the node table, got {pair!r}"
            )
        nothing = torch.empty(2, 0, dtype=torch.int64)
        relations.setdefault(relation, Relation(nothing, pair[0], pair[1], symmetric=relation in settings["symmetric"]))
    missing = sorted(set(settings["symmetric"]) - set(relations))
    if missing:
        raise InputError(f"{folder / 'graph.json'}, symmetric: {unknown_choice('relation', missing[0], relations)}")

    relations = _with_reverses(relations, settings["reverse"], where=f"{folder / 'graph.json'}, reverse")

    modalities = MODALITIES | settings["modalities"]
    content = {
        modality: _content(nodes, modality, folder if kind == "file" else None)
        for modality, kind in modalities.items()
        if modality in nodes.table.column_names
    }
    extra = [column for column in nodes.table.column_names if column not in ("id", "type", *modalities)]
    return RawGraph(
        name=name or settings["name"] or folder.resolve().name,
        node_ids=node_ids,
        node_types=node_types,
        node_type=node_type,
        relations=dict(sorted(relations.items())),
        content=content,
        columns=pa.table({column: nodes.column(column) for column in extra}) if extra else None,
    )


def _find_ends(
    node_ids: NodeIds, source: pa.ChunkedArray, target: pa.ChunkedArray, edges: TableFile, *, drop: bool
) -> tuple[np.ndarray, TableFile]:
    """Positions of the ends `[2, num_edges]`, and the rows of the table that have them."""
    ends = np.stack(
        [
            node_ids.find(column, where=f"{edges.path}, column {name}")
            for name, column in (("source", source), ("target", target))
        ]
    )
    known = (ends >= 0).all(axis=0)
    if known.all():
        return ends, edges
    unknown = [
        end
        for pair, found in zip(
            zip(source.filter(pa.array(~known)).to_pylist(), target.filter(pa.array(~known)).to_pylist(), strict=True),
            ends[:, ~known].T.tolist(),
            strict=True,
        )
        for end, position in zip(pair, found, strict=True)
        if position < 0
    ]
    message = f"{edges.path}: {int((~known).sum()):,} edges name ids that are no nodes: {first_few(list(dict.fromkeys(unknown)))}"
    if not drop:
        raise InputError(message)
    logger.warning("%s; dropped these edges", message)
    return ends[:, known], TableFile(edges.path, edges.table.filter(pa.array(known)), edges.typed)


def _with_reverses(relations: Mapping[str, Relation], reverse: Mapping[str, str], *, where: str) -> dict[str, Relation]:
    """Relations that name their reverse; it is enough to declare a pair once."""
    found = dict(relations)
    for one, other in reverse.items():
        for name, value in ((one, other), (other, one)):
            if name not in found:
                raise InputError(f"{where}: {unknown_choice('relation', name, found)}")
            found[name] = replace(found[name], reverse=value)
    return found


def _content(nodes: TableFile, modality: str, folder: Path | None) -> list[Any]:
    """Items of a modality: texts, or paths if a folder is given; `None` where blank."""
    column = nodes.strings(modality)
    items = [item if item is not None and item.strip() else None for item in column.to_pylist()]
    return items if folder is None else [None if item is None else folder / item for item in items]


def _read_settings(path: Path) -> dict[str, Any]:
    settings = read_json(path) if path.exists() else {}
    if not isinstance(settings, dict):
        raise InputError(f"{path}: expected an object, got {type(settings).__name__}")
    if settings.get("format"):
        raise InputError(f"{path.parent}: holds an encoded graph, expected tables; open it with load_graph")
    found: dict[str, Any] = {"name": None} | {key: kind() for key, kind in _SETTINGS.items()} | settings
    for key, kind in ({"name": str} | _SETTINGS).items():
        if not isinstance(found[key], kind) and not (key == "name" and found[key] is None):
            raise InputError(f"{path}, {key}: expected {kind.__name__}, got {type(found[key]).__name__}")
    for modality, kind in found["modalities"].items():
        if kind not in ("text", "file"):
            raise InputError(f"{path}, modalities, {modality}: {unknown_choice('kind', str(kind), ('text', 'file'))}")
    return found
