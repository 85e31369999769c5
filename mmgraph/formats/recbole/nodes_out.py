"""What of a graph the atomic files have room for: its nodes, their tokens and fields."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.formats.recbole.names import RecBoleNames

AnyGraph = RawGraph | MultimodalGraph


def check_graph(graph: AnyGraph, names: RecBoleNames) -> None:
    """Refuse what no file has room for.

    Raises:
        InputError: Says what it is.
    """
    where = f"graph {graph.name!r}"
    known = (names.user_type, names.item_type, names.entity_type)
    others = sorted(set(graph.node_types) - set(known))
    if others:
        raise InputError(f"{where}: RecBole holds nodes of the types {first_few(known)}, not {first_few(others)}")
    for kind in known[:2]:
        if kind not in graph.node_types:
            raise unknown_choice("node type", kind, graph.node_types)
    if names.relation not in graph.relations:
        raise unknown_choice("relation", names.relation, graph.relations)
    interactions = graph.relations[names.relation]
    if (interactions.source_type, interactions.target_type) != known[:2]:
        raise InputError(
            f"{where}, relation {names.relation!r}: expected {known[0]!r} to {known[1]!r}, got "
            f"{interactions.source_type!r} to {interactions.target_type!r}"
        )
    if isinstance(graph, MultimodalGraph) and graph.features:
        raise InputError(f"{where}: RecBole holds no features, got {first_few(sorted(graph.features))}")
    if isinstance(graph, RawGraph) and set(graph.content) - {"text"}:
        raise InputError(f"{where}: RecBole holds no content but texts, got {first_few(sorted(graph.content))}")
    for name, relation in triple_relations(graph, names).items():
        _check_triples(f"{where}, relation {name!r}", relation, known[1:])


def _check_triples(where: str, relation: Relation, types: tuple[str, ...]) -> None:
    if not {relation.source_type, relation.target_type} <= set(types):
        raise InputError(
            f"{where}: RecBole holds relations between {' and '.join(map(repr, types))}, got "
            f"{relation.source_type!r} to {relation.target_type!r}"
        )
    if relation.attributes:
        raise InputError(
            f"{where}: RecBole holds no attributes of triples, got {first_few(sorted(relation.attributes))}"
        )
    if relation.symmetric:
        raise InputError(f"{where}: RecBole holds no symmetric relations; give both directions as edges")
    if not relation.num_edges:
        raise InputError(f"{where}: RecBole holds no relation without edges")
    if len(np.unique(relation.edge_index.numpy(force=True), axis=1).T) < relation.num_edges:
        raise InputError(f"{where}: RecBole holds a triple once, got edges that occur more than once")


def triple_relations(graph: AnyGraph, names: RecBoleNames) -> dict[str, Relation]:
    """All relations but the interactions."""
    return {name: relation for name, relation in graph.relations.items() if name != names.relation}


def rows_of_type(graph: AnyGraph, node_type: str) -> np.ndarray:
    """Positions of the nodes of a type; none if the graph has no such type."""
    if node_type not in graph.node_types:
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(graph.node_type.numpy(force=True) == graph.node_types.index(node_type))


def node_tokens(graph: AnyGraph, names: RecBoleNames) -> np.ndarray:
    """Token of each node in the space of its type, `[num_nodes]`, strings.

    Raises:
        InputError: If an id does not start with the prefix of its type: reading the files would give another id.
    """
    ids = np.asarray([str(node) for node in graph.node_ids.values.tolist()], dtype=object)
    for kind in graph.node_types:
        prefix, rows = names.prefix(kind), rows_of_type(graph, kind)
        bare = [node for node in ids[rows].tolist() if not node.startswith(prefix)]
        if bare:
            raise InputError(
                f"graph {graph.name!r}: ids of {kind!r} nodes must start with {prefix!r}, got {first_few(bare)}; "
                "give another prefix"
            )
        ids[rows] = [node.removeprefix(prefix) for node in ids[rows].tolist()]
    return ids


def node_table(
    graph: AnyGraph, node_type: str, names: RecBoleNames, tokens: np.ndarray, text_field: str | None
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
            raise InputError(f"graph {graph.name!r}: a column cannot be named {name!r}, the ids of {node_type!r} are")
        fields[name] = column
    texts = texts_of(graph, rows)
    if any(text is not None for text in texts):
        if text_field is None:
            raise InputError(
                f"graph {graph.name!r}: {node_type!r} nodes have texts; give a field for them (text_field)"
            )
        if text_field in fields:
            raise InputError(
                f"graph {graph.name!r}: there is a column {text_field!r}; give another field for the texts"
            )
        words = [[] if text is None else text.split(" ") for text in texts]
        in_words = all(all(row) for row in words)  # no blanks at the ends, or several in a row
        fields[text_field] = pa.array(words, pa.list_(pa.string())) if in_words else pa.array(texts, pa.string())
    return pa.table(fields)


def fields_of(graph: AnyGraph, rows: np.ndarray) -> dict[str, pa.ChunkedArray]:
    """Columns that hold anything for these nodes."""
    if graph.columns is None:
        return {}
    part = graph.columns.take(pa.array(rows, pa.int64()))
    return {name: part[name] for name in part.column_names if part[name].null_count < len(rows)}


def texts_of(graph: AnyGraph, rows: np.ndarray) -> list[str | None]:
    """Texts of these nodes."""
    texts = graph.content.get("text") if isinstance(graph, RawGraph) else None
    return [] if texts is None else [texts[row] for row in rows.tolist()]
