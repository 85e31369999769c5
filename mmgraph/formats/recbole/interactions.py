"""Interactions of users with items, of one file or of one file for each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mmgraph.data.raw import RawGraph
from mmgraph.errors import InputError
from mmgraph.formats.bundle import OFFICIAL
from mmgraph.formats.recbole.atomic import AtomicFile
from mmgraph.formats.recbole.names import RecBoleNames
from mmgraph.formats.recbole.nodes import TokenNodes
from mmgraph.splits.base import Split

_TAKEN = ("user", "item", "split", "fold_in")
"""Columns of a split that are no attributes."""


@dataclass(frozen=True, eq=False)
class InteractionTable:
    """All interactions.

    Attributes:
        user: Number of the user, `[num_rows]`.
        item: Number of the item, `[num_rows]`.
        part: Part of the split, `[num_rows]`, strings.
        attributes: Numbers by edge attribute, `[num_rows]`.
        files: What the rows come from, in this order.
    """

    user: np.ndarray
    item: np.ndarray
    part: np.ndarray
    attributes: dict[str, np.ndarray]
    files: Sequence[AtomicFile]

    def line(self, row: int) -> str:
        """How errors name a row."""
        for file in self.files:
            if row < file.table.num_rows:
                return file.line(row)
            row -= file.table.num_rows
        raise IndexError(row)


def join_files(
    files: Mapping[str, AtomicFile], users: TokenNodes, items: TokenNodes, names: RecBoleNames, notes: list[str]
) -> InteractionTable:
    """Put files side by side.

    Args:
        files: Files by part of the split; the part of a file that is not split is empty.
        users: All users.
        items: All items.
        names: Fields and attributes.
        notes: Takes what people should know.

    Raises:
        InputError: If a user or an item is unknown, a number is missing, or files have different fields.
    """
    first, *others = files.values()
    for other in others:
        if other.types != first.types:
            raise InputError(
                f"{other.where}: expected the fields of {first.where}: {_header(first)}; got {_header(other)}"
            )
    fields = [field for field in first.types if field not in (names.user_id, names.item_id)]
    numeric = [field for field in fields if first.types[field] == "float"]
    if len(numeric) < len(fields):
        rest = [f"{field}:{first.types[field]}" for field in fields if field not in numeric]
        notes.append(f"{first.where}: edges carry numbers only, left out: {', '.join(rest)}")
    attributes = {}
    for field in numeric:
        attribute = names.attribute(field)
        if attribute in attributes or attribute in _TAKEN or (attribute != field and attribute in numeric):
            raise InputError(
                f"{first.where}: field {field!r} cannot become the edge attribute {attribute!r}, the name is taken"
            )
        attributes[attribute] = np.concatenate([file.numbers(field).to_numpy() for file in files.values()])
    return InteractionTable(
        user=np.concatenate([users.rows_of(file, names.user_id) for file in files.values()]),
        item=np.concatenate([items.rows_of(file, names.item_id) for file in files.values()]),
        part=np.repeat(np.asarray(list(files), dtype=object), [file.table.num_rows for file in files.values()]),
        attributes=attributes,
        files=list(files.values()),
    )


def _header(file: AtomicFile) -> str:
    return ", ".join(f"{name}:{kind}" for name, kind in file.types.items())


def official_split(raw: RawGraph, rows: InteractionTable, names: RecBoleNames) -> Split:
    """The split that files for each part make.

    Raises:
        InputError: If a user and an item (and a time, if there are any) occur twice; names both lines.
    """
    relation = raw.relations[names.relation]
    user, item = (raw.node_ids.arrow.take(pa.array(end)) for end in relation.edge_index.numpy())
    keys = [rows.item, rows.user, *([rows.attributes["time"]] if "time" in rows.attributes else [])]
    order = np.lexsort(keys)
    same = np.logical_and.reduce([key[order[1:]] == key[order[:-1]] for key in keys])
    if same.any():
        place = int(np.flatnonzero(same)[0])
        one, other = sorted(order[place : place + 2].tolist())
        raise InputError(
            f"{rows.line(other)}: {user[other].as_py()} and {item[other].as_py()} occur a second time"
            f"{' at the same time' if len(keys) == 3 else ''}, the first was {rows.line(one)}"
        )
    table = pa.table(
        {"user": user, "item": item, "split": pa.array(rows.part.tolist(), pa.string()), **rows.attributes}
    )
    about = {
        "relation": names.relation,
        "user_type": names.user_type,
        "item_type": names.item_type,
        "attribute": "time",
    }
    return Split("interaction", table, OFFICIAL, about)
