"""What of a graph the atomic files have room for: its nodes, their tokens and fields."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import first_few, unknown_choice
from mmgraph.formats.limits import Limits
from mmgraph.formats.recbole.atomic_out import field_type
from mmgraph.formats.recbole.names import RecBoleNames

AnyGraph = RawGraph | MultimodalGraph


def check_graph(limits: Limits, graph: AnyGraph, names: RecBoleNames) -> None:
    """Refuse what no file has room for, unless it may be left out.

    Raises:
        InputError: Says what it is.
    """
    known = (names.user_type, names.item_type, names.entity_type)
    others = sorted(set(graph.node_types) - set(known))
    if others:
        raise limits.refuse(graph.name, f"it holds nodes of the types {first_few(known)}, not {first_few(others)}")
    for kind in known[:2]:
        if kind not in graph.node_types:
            raise unknown_choice("node type", kind, graph.node_types)
    if names.relation not in graph.relations:
        raise unknown_choice("relation", names.relation, graph.relations)
    interactions = graph.relations[names.relation]
    if (interactions.source_type, interactions.target_type) != known[:2]:
        raise limits.refuse(
            graph.name,
            f"relation {names.relation!r} must lead from {known[0]!r} to {known[1]!r}, got "
            f"{interactions.source_type!r} to {interactions.target_type!r}",
        )
    if isinstance(graph, MultimodalGraph):
        limits.modalities(graph, ())
    else:
        others = [modality for modality in graph.content if modality != "text"]
        limits.leave_out(graph.name, "modalities", (f"modality {modality}" for modality in others))
    columns = {} if graph.columns is None else dict(zip(graph.columns.column_names, graph.columns.columns, strict=True))
    others = [name for name, c in columns.items() if field_type(c.type) is None and c.null_count < len(c)]
    limits.leave_out(graph.name, "columns", (f"column {name} of type {columns[name].type}" for name in others))
    for name, relation in triple_relations(graph, names).items():
        wrong = _no_triples(relation, known[1:])
        if wrong:
            raise limits.refuse(graph.name, f"relation {name!r}: {wrong}")
        limits.leave_out(graph.name, "attributes", (f"attribute {key} of {name}" for key in relation.attributes))


def _no_triples(relation: Relation, types: tuple[str, ...]) -> str | None:
    """Why a relation cannot be written as triples."""
    if not {relation.source_type, relation.target_type} <= set(types):
        ends = f"{relation.source_type!r} to {relation.target_type!r}"
        return f"it holds relations between {' and '.join(map(repr, types))}, got {ends}"
    if relation.symmetric:
        return "it holds no symmetric relations; give both directions as edges"
    if not relation.num_edges:
        return "it holds no relation without edges"
    if len(np.unique(relation.edge_index.numpy(force=True), axis=1).T) < relation.num_edges:
        return "it holds a triple once, got edges that occur more than once"
    return None


def triple_relations(graph: AnyGraph, names: RecBoleNames) -> dict[str, Relation]:
    """All relations but the interactions."""
    return {name: relation for name, relation in graph.relations.items() if name != names.relation}


def rows_of_type(graph: AnyGraph, node_type: str) -> np.ndarray:
    """Positions of the nodes of a type; none if the graph has no such type."""
    if node_type not in graph.node_types:
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(graph.node_type.numpy(force=True) == graph.node_types.index(node_type))


def node_tokens(limits: Limits, graph: AnyGraph, names: RecBoleNames) -> np.ndarray:
    """Token of each node in the space of its type, `[num_nodes]`, strings.

    Raises:
        InputError: If ids are integers, or one does not start with the prefix of its type: reading the files would give
            other ids.
    """
    ids = graph.node_ids.values.copy()
    if ids.dtype != object:
        raise limits.refuse(graph.name, f"its ids are integers, such as {int(ids[0])}, and would be read as strings")
    for kind in graph.node_types:
        prefix, rows = names.prefix(kind), rows_of_type(graph, kind)
        bare = [node for node in ids[rows].tolist() if not node.startswith(prefix)]
        if bare:
            raise limits.refuse(
                graph.name,
                f"ids of {kind!r} nodes must start with {prefix!r}, got {first_few(bare)}; give another prefix",
            )
        ids[rows] = [node.removeprefix(prefix) for node in ids[rows].tolist()]
    return ids


def node_table(
    limits: Limits, graph: AnyGraph, node_type: str, names: RecBoleNames, tokens: np.ndarray, text_field: str | None
) -> pa.Table:
    """Fields of users or items: tokens, columns that say anything about them, and their texts.

    Raises:
        InputError: If there are texts and no field for them, or names of fields clash.
    """
    rows = rows_of_type(graph, node_type)
    key = names.user_id if node_type == names.user_type else names.item_id
    fields: dict[str, pa.Array] = {key: pa.array(tokens[rows], pa.string())}
    for name, column in fields_of(graph, rows).items():
        if node_type == names.item_type and name == names.entity_id:
            continue  # of the links
        if name == key:
            raise limits.refuse(graph.name, f"a column cannot be named {name!r}, the ids of {node_type!r} are")
        fields[name] = column
    texts = texts_of(graph, rows)
    if any(text is not None for text in texts):
        if text_field is None:
            raise limits.refuse(
                graph.name, f"{node_type!r} nodes have texts; give a field for them with text_field=..."
            )
        if text_field in fields:
            raise limits.refuse(graph.name, f"there is a column {text_field!r}; give another field for the texts")
        words = [[] if text is None else text.split(" ") for text in texts]
        in_words = all(all(row) for row in words)  # no blanks at the ends, or several in a row
        fields[text_field] = pa.array(words, pa.list_(pa.string())) if in_words else pa.array(texts, pa.string())
    return pa.table(fields)


def fields_of(graph: AnyGraph, rows: np.ndarray) -> dict[str, pa.ChunkedArray]:
    """Columns that hold anything for these nodes, of types that files can hold."""
    if graph.columns is None:
        return {}
    part = graph.columns.take(pa.array(rows, pa.int64()))
    found = {name: part[name] for name in part.column_names if part[name].null_count < len(rows)}
    return {name: column for name, column in found.items() if field_type(column.type) is not None}


def texts_of(graph: AnyGraph, rows: np.ndarray) -> list[str | None]:
    """Texts of these nodes."""
    texts = graph.content.get("text") if isinstance(graph, RawGraph) else None
    return [] if texts is None else [texts[row] for row in rows.tolist()]
