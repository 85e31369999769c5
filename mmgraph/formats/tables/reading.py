"""Raw graphs from folders of tables: what people have, and what the builders of datasets make."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, unknown_choice
from mmgraph.formats.tables.canonical import canonical_mapping
from mmgraph.formats.tables.defects import Defects, Policy
from mmgraph.formats.tables.edge_files import IdLookup, read_edges
from mmgraph.formats.tables.images import ImageStore
from mmgraph.formats.tables.mapping import EdgeTable, InteractionTable, NodeTable, TablesMapping
from mmgraph.formats.tables.node_tables import NodeFile, NodeRows, read_nodes
from mmgraph.formats.tables.relations import EdgeRows, build_relations
from mmgraph.formats.tables.source import TableError, TableSource, open_source
from mmgraph.untrusted import reads

logger = logging.getLogger(__name__)
AnyTable = TypeVar("AnyTable", NodeTable, EdgeTable, InteractionTable)


@dataclass(frozen=True, eq=False)
class ImportedTables:
    """A graph that was read from tables, and what came up on the way.

    Attributes:
        raw: The graph. It holds no labels.
        labels: Column `id` and the columns of labels, one row per node that has any; `None` without such columns.
        defects: What was set aside.
        mapping: How the tables were understood.
        image_sizes: Width and height of all images that were looked at.
        images_unchecked: Images could not be looked into, because Pillow is not installed.
    """

    raw: RawGraph
    labels: pa.Table | None
    defects: Defects
    mapping: TablesMapping
    image_sizes: list[tuple[int, int]]
    images_unchecked: bool


@reads("tables of nodes and edges")
def read_tables(
    folder: Path | str,
    mapping: TablesMapping | None = None,
    *,
    name: str | None = None,
    on_unknown: str = "error",
    on_defect: Policy = "error",
) -> RawGraph:
    """Read a raw graph from a folder of tables (csv, tsv, jsonl, parquet).

    Without a mapping the folder holds

    - `nodes.parquet` (or `.csv`, `.tsv`, `.jsonl`) with the columns `id`, optionally `type` ("node" if absent), `text`,
      `image` (path relative to the folder; an image that is missing on disk is left to the encoder, which sets it
      aside). Null, empty or blank means absent. Other columns are carried along.
    - `edges.parquet` (or the like) with the columns `source`, `target`, optionally `relation` ("edge" if absent).
      Other numeric columns become attributes of the relations that have values in them.
    - optionally `graph.json`: `name`; `symmetric`, a list of relations that read the same both ways (a pair that such
      a relation names twice, or in both directions, is kept once); and `reverse`, which names for a relation the one
      that states the same facts the other way round.

    Ids are strings or integers. In files without types they are integers only if every id of a node is one, without
    leading zeros. Nodes are sorted by id, relations by name and edges by their ends, so that the order of rows in the
    files changes nothing, not even a random number drawn later.

    Args:
        folder: The folder.
        mapping: Which files hold what, for tables of other names; see `mmgraph.formats.tables.mapping`.
        name: Name of the graph; by default that of the mapping or of `graph.json`, else that of the folder.
        on_unknown: What to do with edges whose ends are no nodes: "error", or "drop" (logs how many).
        on_defect: What to do with rows and files that are wrong: "error", or "quarantine" (logs what was left out).

    Raises:
        InputError: Names the file and what is wrong with it.
    """
    if on_unknown not in ("error", "drop"):
        raise unknown_choice("on_unknown", on_unknown, ("error", "drop"))
    tolerated = ("dangling-edge",) if on_unknown == "drop" else ()
    defects = Defects(on_defect, tolerated=tolerated)
    found = import_tables(folder, mapping, name=name, defects=defects, check_images=mapping is not None)
    for line in defects.lines():
        logger.warning("%s; left out", line)
    return found.raw


@reads("tables of nodes and edges")
def import_tables(
    folder: Path | str,
    mapping: TablesMapping | None = None,
    *,
    name: str | None = None,
    defects: Defects | None = None,
    check_images: bool = True,
) -> ImportedTables:
    """Read a raw graph, its labels, and everything that is wrong with the tables; see `read_tables`.

    Args:
        folder: The folder.
        mapping: Which files hold what.
        name: Name of the graph.
        defects: Collects what is wrong; by default the first kind of defect is an error.
        check_images: Look at every image, so that broken ones count as missing from the start.

    Raises:
        InputError: If something is wrong that is not to be set aside.
    """
    folder = Path(folder)
    settings = folder / "graph.json" if mapping is None else "mapping"
    mapping = canonical_mapping(folder) if mapping is None else mapping
    defects = Defects() if defects is None else defects
    images = ImageStore(folder, defects, check=check_images, max_megapixels=mapping.max_megapixels)
    nodes = _open(folder, mapping.nodes, mapping, defects)
    edges = _open(folder, mapping.edges, mapping, defects)
    interactions = _open(folder, mapping.interactions, mapping, defects)
    defects.check()
    if not nodes:
        raise InputError(f"{folder}: expected a table of nodes, got none")
    with images.open():
        rows = read_nodes(
            nodes,
            images,
            defects,
            implied=[(NodeTable(t.file, t.user, t.user_type, prefix=t.user_prefix), s) for t, s in interactions],
            ids_are_text=_says_text([*edges, *interactions]),
        )
    pa.default_memory_pool().release_unused()
    defects.check()
    if not len(rows.ids):
        raise InputError(f"{nodes[0][1].path}: expected at least one node, got none")
    order = np.asarray(pc.sort_indices(rows.ids))
    rows = rows.take(order)
    node_ids = NodeIds(rows.ids, where=_where(nodes))
    node_types, node_type = _types(rows.types)
    content = _content(rows, mapping)
    columns = pa.table(rows.extra) if rows.extra else None
    labels = pa.table({"id": rows.ids, **rows.labels}) if rows.labels else None
    del rows
    files = [*edges, *((table.as_edges(), source) for table, source in interactions)]
    tables = _read_edges(files, IdLookup(node_ids, printed=mapping.has_prefixes), defects)
    pa.default_memory_pool().release_unused()  # what batches needed
    defects.check()
    relations = build_relations(tables, node_types, node_type, symmetric=mapping.symmetric)
    raw = RawGraph(
        name=name or mapping.name or folder.resolve().name,
        node_ids=node_ids,
        node_types=node_types,
        node_type=node_type,
        relations=_complete(relations, mapping, node_types, where=str(settings)),
        content=content,
        columns=columns,
    )
    return ImportedTables(raw, labels, defects, mapping, images.sizes, images.unchecked)


def _open(
    folder: Path, tables: Sequence[AnyTable], mapping: TablesMapping, defects: Defects
) -> list[tuple[AnyTable, TableSource]]:
    """Files of tables; one that cannot be used is noted."""
    opened = []
    for table in tables:
        path = folder / table.file
        try:
            source = open_source(path, defects, encoding=mapping.encoding, delimiter=mapping.delimiter)
            source.require(*table.roles)
        except TableError as error:
            defects.add(error.kind, path, error.detail)
        else:
            opened.append((table, source))
    return opened


def _says_text(files: Sequence[tuple[EdgeTable | InteractionTable, TableSource]]) -> bool:
    """Whether a typed table of edges holds ids that are strings."""
    return any(source.typed and source.holds_text(name) for table, source in files for name in _id_columns(table))


def _id_columns(table: EdgeTable | InteractionTable) -> tuple[str, str]:
    return (table.source, table.target) if isinstance(table, EdgeTable) else (table.user, table.item)


def _where(nodes: Sequence[NodeFile]) -> str:
    if len(nodes) != 1:
        return "ids of nodes"
    table, source = nodes[0]
    return f"{source.path}, column {table.id}"


def _types(column: pa.ChunkedArray) -> tuple[tuple[str, ...], torch.Tensor]:
    """Names of the node types in alphabetical order, and the type of each node."""
    coded = column.combine_chunks().dictionary_encode()
    names = coded.dictionary.to_pylist()
    ordered = sorted(names)
    number = np.array([ordered.index(name) for name in names], dtype=np.int64)
    return tuple(ordered), torch.from_numpy(number[np.asarray(coded.indices)])


def _read_edges(files: Sequence[tuple[EdgeTable, TableSource]], lookup: IdLookup, defects: Defects) -> list[EdgeRows]:
    tables = []
    for table, source in files:
        try:
            tables.append(read_edges(table, source, lookup, defects))
        except TableError as error:
            defects.add(error.kind, source.path, error.detail)
    return tables


def _complete(
    relations: Mapping[str, Relation], mapping: TablesMapping, node_types: Sequence[str], *, where: str
) -> dict[str, Relation]:
    """Relations by name, with those that have no edges, and with their reverses."""
    found = dict(relations)
    for name, pair in mapping.empty_relations.items():
        if len(pair) != 2 or not set(pair) <= set(node_types):
            raise InputError(
                f"{where}, empty_relations, {name}: "
                f"expected [source type, target type] of the node table, got {list(pair)}"
            )
        nothing = torch.empty(2, 0, dtype=torch.int64)
        found.setdefault(name, Relation(nothing, *pair, symmetric=name in mapping.symmetric))
    for name in mapping.symmetric:
        if name not in found:
            raise InputError(f"{where}, symmetric: {unknown_choice('relation', name, found)}")
    for one, other in mapping.reverse.items():
        for name, value in ((one, other), (other, one)):  # it is enough to declare a pair once
            if name not in found:
                raise InputError(f"{where}, reverse: {unknown_choice('relation', name, found)}")
            found[name] = replace(found[name], reverse=value)
    return dict(sorted(found.items()))


def _content(rows: NodeRows, mapping: TablesMapping) -> dict[str, list[str | Path | None]]:
    """Items by modality: texts, or paths of files."""
    kinds = {"text": "text", "image": "file"} | {k: v for table in mapping.nodes for k, v in table.modalities.items()}
    content: dict[str, list[str | Path | None]] = {}
    for modality, column in rows.content.items():
        items = column.to_pylist()
        content[modality] = [i and Path(i) for i in items] if kinds[modality] == "file" else items
    return content
