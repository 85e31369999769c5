"""What fields are called in the files, and what they become in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmgraph.errors import InputError, first_few, unknown_choice


@dataclass(frozen=True)
class RecBoleNames:
    """Names of fields, with RecBole's defaults, and of what they become.

    Attributes:
        user_id: Field of users, in `.inter` and `.user`.
        item_id: Field of items, in `.inter`, `.item` and `.link`.
        rating: Field that becomes the edge attribute `rating`.
        timestamp: Field that becomes the edge attribute `time`.
        head_id: Field of heads, in `.kg`.
        relation_id: Field of relations, in `.kg`.
        tail_id: Field of tails, in `.kg`.
        entity_id: Field of entities, in `.link`; linked items get a column of this name.
        user_type: Node type of users.
        item_type: Node type of items.
        entity_type: Node type of entities that are no item.
        relation: Name of the relation from users to items.
        user_prefix: Put before each user to make an id; by default the type and a colon. The token spaces of RecBole
            are separate: user 1 is not item 1.
        item_prefix: The same for items.
        entity_prefix: The same for entities.
    """

    user_id: str = "user_id"
    item_id: str = "item_id"
    rating: str = "rating"
    timestamp: str = "timestamp"
    head_id: str = "head_id"
    relation_id: str = "relation_id"
    tail_id: str = "tail_id"
    entity_id: str = "entity_id"
    user_type: str = "user"
    item_type: str = "item"
    entity_type: str = "entity"
    relation: str = "interacts"
    user_prefix: str | None = None
    item_prefix: str | None = None
    entity_prefix: str | None = None

    def __post_init__(self) -> None:
        types = [self.user_type, self.item_type, self.entity_type]
        if len(set(types)) != len(types):
            raise InputError(f"users, items and entities need three node types, got {first_few(types)}")

    @classmethod
    def of(cls, given: RecBoleNames | Mapping[str, str] | None) -> RecBoleNames:
        """The names, from some of them by attribute; those that are not given are the defaults.

        Raises:
            InputError: If there is no such attribute, or a name is no string.
        """
        if given is None or isinstance(given, cls):
            return given or cls()
        if not isinstance(given, Mapping):
            raise InputError(f"names: expected them by what they name, got {type(given).__name__}")
        for key, name in given.items():
            if key not in cls.__dataclass_fields__:
                raise unknown_choice("name in RecBole's files", str(key), cls.__dataclass_fields__)
            if not isinstance(name, str):
                raise InputError(f"names, {key}: expected a string, got {name!r}")
        return cls(**given)

    def prefix(self, node_type: str) -> str:
        """Prefix of the ids of a node type."""
        given = {
            self.user_type: self.user_prefix,
            self.item_type: self.item_prefix,
            self.entity_type: self.entity_prefix,
        }[node_type]
        return f"{node_type}:" if given is None else given

    def attribute(self, field: str) -> str:
        """Edge attribute that a field of `.inter` becomes."""
        return {self.rating: "rating", self.timestamp: "time"}.get(field, field)

    def field(self, attribute: str) -> str:
        """Field of `.inter` that an edge attribute becomes."""
        return {"rating": self.rating, "time": self.timestamp}.get(attribute, attribute)
