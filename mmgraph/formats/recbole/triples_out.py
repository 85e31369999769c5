"""From relations between items and entities to links and triples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from mmgraph.data.relation import Relation
from mmgraph.errors import first_few
from mmgraph.formats.limits import Limits
from mmgraph.formats.recbole.knowledge import reverse_pairs
from mmgraph.formats.recbole.names import RecBoleNames
from mmgraph.formats.recbole.nodes_out import AnyGraph, fields_of, rows_of_type, texts_of, triple_relations


def knowledge_tables(
    limits: Limits, graph: AnyGraph, names: RecBoleNames, tokens: np.ndarray
) -> tuple[pa.Table, pa.Table]:
    """Fields of `.link` and of `.kg`.

    An item is linked to the entity in its column `entity_id`, or if it has none and is part of a triple, to an entity
    with the id of the item.

    Raises:
        InputError: If an entity would be lost or be two nodes, or a declared reverse does not say the same.
    """
    relations = triple_relations(graph, names)
    items, entities = rows_of_type(graph, names.item_type), rows_of_type(graph, names.entity_type)
    used = np.zeros(graph.num_nodes, dtype=bool)
    for relation in relations.values():
        used[relation.edge_index.numpy(force=True).ravel()] = True
    _check_entities(limits, graph, entities, used)
    _check_reverse(limits, graph.name, relations)

    entity = tokens.copy()
    column = fields_of(graph, items).get(names.entity_id)
    given = [None] * len(items) if column is None else column.to_pylist()
    linked = []
    for row, token in zip(items.tolist(), given, strict=True):
        if token is not None or used[row]:
            entity[row] = str(graph.node_ids.values[row]) if token is None else str(token)
            linked.append(row)
    counts = Counter(entity[[*linked, *entities.tolist()]].tolist())
    twice = [token for token, count in counts.items() if count > 1]
    if twice:
        raise limits.refuse(graph.name, f"several nodes would be one entity: {first_few(twice)}")

    links = {names.item_id: tokens[linked].tolist(), names.entity_id: entity[linked].tolist()}
    called = relation_tokens(relations)
    ends = [relation.edge_index.numpy(force=True) for relation in relations.values()]
    source, target = np.concatenate(ends, axis=1) if ends else np.empty((2, 0), dtype=np.int64)
    triples = {
        names.head_id: entity[source].tolist(),
        names.relation_id: [called[name] for name, relation in relations.items() for _ in range(relation.num_edges)],
        names.tail_id: entity[target].tolist(),
    }
    return (
        pa.table({name: pa.array(cells, pa.string()) for name, cells in links.items()}),
        pa.table({name: pa.array(cells, pa.string()) for name, cells in triples.items()}),
    )


def relation_tokens(relations: dict[str, Relation]) -> dict[str, str]:
    """What relations are called in the files: several that were one get their common name back."""
    bases = {}
    for name, relation in relations.items():
        head, tail = f"{relation.source_type}__", f"__{relation.target_type}"
        split = name.startswith(head) and name.endswith(tail) and len(name) > len(head) + len(tail)
        bases[name] = name[len(head) : -len(tail)] if split else name
    counts = Counter(bases.values())
    return {name: base if counts[base] > 1 else name for name, base in bases.items()}


def _check_entities(limits: Limits, graph: AnyGraph, entities: np.ndarray, used: np.ndarray) -> None:
    lost = graph.node_ids.values[entities[~used[entities]]].tolist()
    if lost:
        raise limits.refuse(graph.name, f"it holds no entity without a triple, got {first_few(lost)}")
    limits.leave_out(graph.name, "columns", (f"column {name} of entities" for name in fields_of(graph, entities)))
    texts = sum(text is not None for text in texts_of(graph, entities))
    limits.leave_out(graph.name, "modalities", [f"{texts:,} texts of entities"] if texts else [])


def _check_reverse(limits: Limits, graph: str, relations: dict[str, Relation]) -> None:
    found = reverse_pairs(relations)
    for name, relation in relations.items():
        if relation.reverse is not None and found.get(name) != relation.reverse:
            raise limits.refuse(
                graph,
                f"relation {name!r}: its declared reverse {relation.reverse!r} does not hold the same pairs, and no file "
                "can say so",
            )
