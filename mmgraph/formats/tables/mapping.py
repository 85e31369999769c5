"""What the tables of a folder mean: which file holds what, and which column says what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmgraph.config import load_yaml
from mmgraph.errors import InputError
from mmgraph.untrusted import reads


@dataclass(frozen=True)
class NodeTable:
    """A table with one row per node.

    Attributes:
        file: Path of the table (csv, tsv, jsonl or parquet), relative to the folder.
        id: Column of the ids.
        type: Node type of all rows.
        type_column: Column with the node type, instead of `type`.
        prefix: Put before every id, so that user 1 and item 1 can be told apart; ids become strings.
        text: Columns that are joined to the text of the node, in this order.
        image: Column with the path or with the bytes of an image.
        image_folder: Folder that paths are relative to, by default the one that is read. Without `image` it is
            searched for files that are named after the ids, such as `images/42.jpg`.
        labels: Columns with labels. They are kept apart from the graph, for tasks.
        columns: Columns that are carried along and shown beside results, by default all others.
        modalities: Further columns with content: `text`, or `file` for columns of paths, by name of the column.
    """

    file: str
    id: str = "id"
    type: str | None = None
    type_column: str | None = None
    prefix: str = ""
    text: tuple[str, ...] = ()
    image: str | None = None
    image_folder: str | None = None
    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    modalities: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.type is not None and self.type_column is not None:
            raise InputError(
                f"{self.file}: give either type or type_column, got {self.type!r} and {self.type_column!r}"
            )
        for name, kind in self.modalities.items():
            if kind not in ("text", "file"):
                raise InputError(f"{self.file}, modality {name!r}: expected text or file, got {kind!r}")

    @property
    def roles(self) -> dict[str, str]:
        """What each named column means."""
        named = {self.id: "id"}
        named |= {self.type_column: "node type"} if self.type_column else {}
        named |= dict.fromkeys(self.text, "text")
        named |= {self.image: "image"} if self.image else {}
        named |= {column: f"{column} ({kind})" for column, kind in self.modalities.items()}
        return named | dict.fromkeys(self.labels, "label")


@dataclass(frozen=True)
class EdgeTable:
    """A table with one row per edge.

    Attributes:
        file: Path of the table, relative to the folder.
        source: Column with the id that an edge comes from.
        target: Column with the id that an edge leads to.
        relation: Name of the relation of all rows; by default `edge`.
        relation_column: Column with the name of the relation, instead of `relation`.
        weight: Column with the weight of the edge; becomes the attribute `weight`.
        time: Column with the time of the edge, numbers or dates; becomes the attribute `time`.
        rating: Column with a rating; becomes the attribute `rating`.
        attributes: Further columns of numbers to keep, by default all others.
        source_prefix: Put before every source id, as `prefix` of the node table it refers to.
        target_prefix: Put before every target id.
    """

    file: str
    source: str = "source"
    target: str = "target"
    relation: str | None = None
    relation_column: str | None = None
    weight: str | None = None
    time: str | None = None
    rating: str | None = None
    attributes: tuple[str, ...] | None = None
    source_prefix: str = ""
    target_prefix: str = ""

    def __post_init__(self) -> None:
        if self.relation is not None and self.relation_column is not None:
            raise InputError(
                f"{self.file}: give either relation or relation_column, "
                f"got {self.relation!r} and {self.relation_column!r}"
            )

    @property
    def roles(self) -> dict[str, str]:
        """What each named column means."""
        named = {self.source: "source", self.target: "target"}
        named |= {self.relation_column: "relation"} if self.relation_column else {}
        return named | {column: name for name, column in self.named_attributes.items()}

    @property
    def named_attributes(self) -> dict[str, str]:
        """Columns that become attributes of a certain name, by that name."""
        named = {"weight": self.weight, "time": self.time, "rating": self.rating}
        return {name: column for name, column in named.items() if column is not None}


@dataclass(frozen=True)
class InteractionTable:
    """A table with one row per interaction of a user with an item.

    Attributes:
        file: Path of the table, relative to the folder.
        user: Column with the id of the user.
        item: Column with the id of the item, which must be a node of another table.
        time: Column with the time, numbers or dates.
        rating: Column with the rating.
        relation: Name of the relation from users to items.
        user_type: Node type of users that no node table has; they become nodes without content.
        user_prefix: Put before every user id.
        item_prefix: Put before every item id, as `prefix` of the table of the items.
    """

    file: str
    user: str = "user"
    item: str = "item"
    time: str | None = None
    rating: str | None = None
    relation: str = "interacts"
    user_type: str = "user"
    user_prefix: str = ""
    item_prefix: str = ""

    @property
    def roles(self) -> dict[str, str]:
        """What each named column means."""
        named = {self.user: "user", self.item: "item"}
        named |= {self.time: "time"} if self.time else {}
        return named | ({self.rating: "rating"} if self.rating else {})

    def as_edges(self) -> EdgeTable:
        """The same rows as edges."""
        return EdgeTable(
            file=self.file,
            source=self.user,
            target=self.item,
            relation=self.relation,
            time=self.time,
            rating=self.rating,
            source_prefix=self.user_prefix,
            target_prefix=self.item_prefix,
        )


@dataclass(frozen=True)
class TablesMapping:
    """Everything that a folder of tables needs to become a graph.

    Attributes:
        name: Name of the graph, by default that of the folder.
        nodes: Tables of nodes.
        edges: Tables of edges.
        interactions: Tables of interactions.
        symmetric: Relations that read the same both ways; a pair that is named twice or in both directions counts once.
        reverse: Relations that state the same facts the other way round, by name of the one they mirror.
        empty_relations: Source and target type of relations that exist without edges.
        encoding: Encoding of csv, tsv and jsonl files.
        delimiter: What separates columns in csv files, by default a comma, or a semicolon if the header has no comma.
        max_megapixels: Images with more pixels are set aside.
    """

    name: str | None = None
    nodes: tuple[NodeTable, ...] = ()
    edges: tuple[EdgeTable, ...] = ()
    interactions: tuple[InteractionTable, ...] = ()
    symmetric: tuple[str, ...] = ()
    reverse: Mapping[str, str] = field(default_factory=dict)
    empty_relations: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    encoding: str = "utf-8"
    delimiter: str | None = None
    max_megapixels: float = 40.0

    def __post_init__(self) -> None:
        if self.max_megapixels <= 0:
            raise InputError(f"max_megapixels must be positive, got {self.max_megapixels}")

    @property
    def has_prefixes(self) -> bool:
        """Whether any id gets a prefix. Then all ids are strings, and integers are printed."""
        prefixes = [table.prefix for table in self.nodes]
        prefixes += [prefix for table in self.edges for prefix in (table.source_prefix, table.target_prefix)]
        return any(
            prefixes + [prefix for table in self.interactions for prefix in (table.user_prefix, table.item_prefix)]
        )


@reads("a mapping of tables")
def load_mapping(path: Path | str) -> TablesMapping:
    """Read a mapping from a YAML file.

    Raises:
        InputError: If the file is missing, or names the table and the key that are wrong.
    """
    return load_yaml(path, TablesMapping)
