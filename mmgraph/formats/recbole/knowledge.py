"""The knowledge graph: which entity an item is, and triples between entities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.formats.recbole.atomic import AtomicFile
from mmgraph.formats.recbole.names import RecBoleNames
from mmgraph.formats.recbole.nodes import TokenNodes, refuse_repeats

Fact = tuple[str, str, str]
"""Head, relation, tail: tokens of the files."""


def read_links(file: AtomicFile, items: TokenNodes, names: RecBoleNames) -> dict[str, str]:
    """Item by entity.

    Raises:
        InputError: If an item is unknown, or an item or an entity occurs twice.
    """
    tokens, entities = file.tokens(names.item_id), file.tokens(names.entity_id)
    items.rows_of(file, names.item_id)
    refuse_repeats(file, tokens, names.item_id)
    refuse_repeats(file, entities, names.entity_id)
    return dict(zip(entities.to_pylist(), tokens.to_pylist(), strict=True))


def read_triples(file: AtomicFile, names: RecBoleNames) -> tuple[list[Fact], int]:
    """Distinct triples in the order of the file, and how many were repeats."""
    columns = [file.tokens(name).to_pylist() for name in (names.head_id, names.relation_id, names.tail_id)]
    facts = dict.fromkeys(zip(*columns, strict=True))
    return list(facts), file.table.num_rows - len(facts)


@dataclass(frozen=True, eq=False)
class EntityIds:
    """Which node an entity is.

    Attributes:
        item_of: Item by entity, both tokens.
        names: Types and prefixes.
    """

    item_of: Mapping[str, str]
    names: RecBoleNames

    def node_type(self, entity: str) -> str:
        """Type of the node."""
        return self.names.item_type if entity in self.item_of else self.names.entity_type

    def node(self, entity: str) -> str:
        """Id of the node."""
        token = self.item_of.get(entity, entity)
        return self.names.prefix(self.node_type(entity)) + token


def knowledge_relations(facts: list[Fact], entities: EntityIds, node_ids: NodeIds) -> dict[str, Relation]:
    """Relations by name, in alphabetical order; one for each pair of node types that a name joins.

    Args:
        facts: Distinct triples.
        entities: Which node an entity is.
        node_ids: Ids of the graph.
    """
    edges: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for head, relation, tail in facts:
        key = (relation, entities.node_type(head), entities.node_type(tail))
        edges[key].append((entities.node(head), entities.node(tail)))
    names = [relation for relation, _, _ in edges]
    found: dict[str, Relation] = {}
    for relation, source, target in sorted(edges):
        pairs = edges[relation, source, target]
        name = relation if names.count(relation) == 1 else f"{source}__{relation}__{target}"
        if name in found:
            raise InputError(f"knowledge graph: two relations would be called {name!r}")
        ends = [node_ids.positions([pair[end] for pair in pairs], where=f"relation {name!r}") for end in (0, 1)]
        found[name] = Relation(torch.from_numpy(np.stack(ends)), source, target)
    return found


def reverse_pairs(relations: Mapping[str, Relation]) -> dict[str, str]:
    """Relations that hold exactly the same pairs as exactly one other, turned round; both ways."""
    by_content: dict[tuple[str, str, bytes], list[str]] = defaultdict(list)
    turned: dict[str, tuple[str, str, bytes]] = {}
    for name, relation in relations.items():
        ends = relation.edge_index.numpy()
        by_content[relation.source_type, relation.target_type, _content(ends)].append(name)
        turned[name] = (relation.target_type, relation.source_type, _content(ends[::-1]))
    alone = {key: names[0] for key, names in by_content.items() if len(names) == 1}
    found = {name: alone[key] for name, key in turned.items() if key in alone and alone[key] != name}
    return {name: other for name, other in found.items() if found.get(other) == name}


def _content(ends: np.ndarray) -> bytes:
    return bytes(np.ascontiguousarray(ends[:, np.lexsort(ends[::-1])]).tobytes())
