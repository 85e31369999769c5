"""What the tables of a folder probably mean, from the names of files and columns. A guess is shown, never hidden."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmgraph.errors import InputError, first_few
from mmgraph.formats.tables.canonical import canonical_mapping
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.mapping import EdgeTable, InteractionTable, NodeTable, TablesMapping
from mmgraph.formats.tables.source import TableError, TableSource, ending_of, open_source
from mmgraph.untrusted import reads

logger = logging.getLogger(__name__)

# In the order of preference. Names are compared in lower case, without underscores, hyphens and blanks.
SOURCE = ("source", "src", "from", "head", "headid", "sourceid", "sourcenode", "fromid")
TARGET = ("target", "dst", "dest", "to", "tail", "tailid", "targetid", "targetnode", "toid")
USER = ("user", "userid", "uid", "customer", "customerid", "reviewerid", "visitorid")
ITEM = ("item", "itemid", "iid", "product", "productid", "sku", "asin", "movieid", "articleid")
ID = ("id", "nodeid", "node", *ITEM, *USER, "key", "name")
TYPE = ("type", "nodetype", "kind")
TEXT = ("text", "title", "name", "label", "headline", "description", "abstract", "body", "content")
IMAGE = ("image", "imagepath", "img", "imgpath", "picture", "photo", "imagefile", "imagebytes")
RELATION = ("relation", "rel", "relationid", "edgetype", "predicate", "type")
WEIGHT = ("weight", "w", "count", "score", "strength")
TIME = ("time", "timestamp", "ts", "date", "datetime", "createdat", "at")
RATING = ("rating", "stars", "score", "grade", "value")
LABELS = ("label", "labels", "class", "category", "categories", "y")
IMAGE_FOLDERS = ("images", "image", "img", "imgs", "pictures", "photos")


@reads("tables of nodes and edges")
def guess_mapping(
    folder: Path | str, defects: Defects | None = None, *, encoding: str = "utf-8", delimiter: str | None = None
) -> TablesMapping:
    """Guess what the tables of a folder mean.

    A folder with the names that `write_tables` gives is taken by its word. Otherwise a table with a source and a
    target column holds edges, one with a user and an item column interactions, and one with an id column nodes. Users
    have the type of the table of nodes that their column refers to: `customer_id` to a table with a column of ids of
    that name, or to `customers`.

    Args:
        folder: The folder.
        defects: Where files that cannot be read are noted; by default such a file is an error.
        encoding: Encoding of csv, tsv and jsonl files; the mapping says it too.
        delimiter: What separates columns in csv files, as in the mapping.

    Raises:
        InputError: If no table of nodes is found.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder with tables, found {'a file' if folder.exists() else 'nothing'}")
    files = sorted(path for path in folder.iterdir() if path.is_file() and ending_of(path) and path.name[0] != ".")
    stems = [path.name.removesuffix(str(ending_of(path))) for path in files]
    if stems.count("nodes") == 1 and stems.count("edges") <= 1 and (folder / "graph.json").exists():
        return canonical_mapping(folder, encoding=encoding, delimiter=delimiter)
    defects = Defects() if defects is None else defects
    images = next((name for name in IMAGE_FOLDERS if (folder / name).is_dir()), None)
    nodes: list[NodeTable] = []
    edges: list[EdgeTable] = []
    interactions: list[InteractionTable] = []
    for path, stem in zip(files, stems, strict=True):
        try:
            source = open_source(path, defects, encoding=encoding, delimiter=delimiter)
        except TableError as error:
            defects.add(error.kind, path, error.detail)
            continue
        columns = Columns(source.names)
        if columns.has(SOURCE) and columns.has(TARGET):
            edges.append(_edges(columns, path, stem))
        elif columns.has(USER) and columns.has(ITEM):
            interactions.append(_interactions(columns, path, stem))
        elif columns.has(SOURCE) != columns.has(TARGET):
            wanted = TARGET if columns.has(SOURCE) else SOURCE
            detail = f"expected a column like {', '.join(wanted[:4])}; found columns: {', '.join(source.names)}"
            defects.add("missing-column", path, detail)
        elif columns.has(ID):
            nodes.append(_nodes(columns, source, stem, images))
        else:
            logger.warning("%s: ignored, no column of ids was found among: %s", path, ", ".join(source.names))
    defects.check()
    if not nodes:
        found = first_few([path.name for path in files]) or "no table"
        raise InputError(f"{folder}: expected a table with one row per node and a column of ids, found {found}")
    if len(nodes) == 1 and nodes[0].type == "node" and interactions:
        are_users = any(plain_name(table.user) == plain_name(nodes[0].id) for table in interactions)
        nodes = [replace(nodes[0], type="user" if are_users else "item")]
    return TablesMapping(
        nodes=tuple(nodes),
        edges=tuple(edges),
        interactions=tuple(replace(table, user_type=_user_type(table, nodes)) for table in interactions),
        encoding=encoding,
        delimiter=delimiter,
    )


class Columns:
    """The columns of a table, found by what they are usually called.

    Args:
        names: Names as they are in the file.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._plain: Mapping[str, str] = {plain_name(name): name for name in reversed(names)}
        self.taken: set[str] = set()

    def has(self, choices: Sequence[str]) -> bool:
        """Whether there is a column of one of these names."""
        return any(choice in self._plain for choice in choices)

    def take(self, choices: Sequence[str]) -> str | None:
        """The first column of these names that nothing else has taken."""
        for choice in choices:
            name = self._plain.get(choice)
            if name is not None and name not in self.taken:
                self.taken.add(name)
                return name
        return None

    def take_all(self, choices: Sequence[str]) -> tuple[str, ...]:
        """All columns of these names that nothing else has taken."""
        found = (self.take((choice,)) for choice in choices)
        return tuple(name for name in found if name is not None)


def plain_name(name: str) -> str:
    """A name in lower case without separators: `Product_ID` -> `productid`."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


def singular(stem: str) -> str:
    """The node type that the name of a table suggests: `products` -> `product`, `nodes` -> `node`."""
    word = re.sub(r"[^0-9A-Za-z_]+", "_", stem).strip("_").lower() or "node"
    if word.endswith("ies") and word != "movies":
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _required(columns: Columns, choices: Sequence[str]) -> str:
    found = columns.take(choices)
    assert found is not None, "asked for before"
    return found


def _nodes(columns: Columns, source: TableSource, stem: str, images: str | None) -> NodeTable:
    own = (plain_name(f"{singular(stem)}id"), plain_name(singular(stem)))  # `user_id` of the table `users`
    node_id = columns.take((*ID[:1], *own)) or _required(columns, ID)
    type_column = columns.take(TYPE)
    image = columns.take(IMAGE)
    labels = columns.take_all(LABELS)
    text = columns.take_all(TEXT)
    path_is_relative = image is not None and images is not None and not _names_folder(source, image)
    return NodeTable(
        file=source.path.name,
        id=node_id,
        type=None if type_column else singular(stem),
        type_column=type_column,
        text=text,
        image=image,
        image_folder=images if image is None or path_is_relative else None,
        labels=labels,
    )


def _names_folder(source: TableSource, column: str) -> bool:
    """Whether the paths of a column lead from the folder of the tables, by the first hundred of them."""
    with source.defects.muted():
        for batch in source.batches([column], batch_rows=1024):
            cells = [c for c in batch[column].to_pylist()[:1024] if c]
            texts = [c.decode(errors="replace") if isinstance(c, bytes) else str(c) for c in cells[:100]]
            return any((source.path.parent / text).exists() for text in texts if len(text) < 1024 and "\0" not in text)
    return False


def _edges(columns: Columns, path: Path, stem: str) -> EdgeTable:
    source, target = _required(columns, SOURCE), _required(columns, TARGET)
    relation = columns.take(RELATION)
    return EdgeTable(
        file=path.name,
        source=source,
        target=target,
        relation=None if relation else singular(stem) if singular(stem) == "edge" else stem,
        relation_column=relation,
        weight=columns.take(WEIGHT),
        time=columns.take(TIME),
    )


def _interactions(columns: Columns, path: Path, stem: str) -> InteractionTable:
    user, item = _required(columns, USER), _required(columns, ITEM)
    return InteractionTable(
        file=path.name,
        user=user,
        item=item,
        time=columns.take(TIME),
        rating=columns.take(RATING),
        relation="interacts" if singular(stem) == "interaction" else stem,
    )


def _user_type(table: InteractionTable, nodes: Sequence[NodeTable]) -> str:
    """Type of the nodes that the users are; as it is if no table of nodes, or tables of several types, would do."""
    column = plain_name(table.user)
    typed = [(plain_name(node.id), node.type) for node in nodes if node.type is not None]
    same_column = {kind for node_id, kind in typed if node_id == column}
    # The whole name, not a part of it: a table `i` is not what `user_id` refers to.
    same_name = {kind for _, kind in typed if column in (plain_name(kind), f"{plain_name(kind)}id")}
    # Two tables may have the column, as `customers` and `addresses` with `customer_id`: then the name tells.
    found = next((kinds for kinds in (same_column, same_name) if len(kinds) == 1), {table.user_type})
    return found.pop()
