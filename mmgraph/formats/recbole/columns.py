"""Fields of users and items as columns of the graph."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from mmgraph.errors import InputError, first_few
from mmgraph.formats.recbole.nodes import TokenNodes


def with_links(items: TokenNodes, item_of: Mapping[str, str], entity_field: str) -> pa.Table:
    """The fields of items, and which entity each one is.

    Raises:
        InputError: If the items have a field of that name.
    """
    fields = {name: items.fields[name] for name in items.fields.column_names}
    if not item_of:
        return pa.table(fields)
    if entity_field in fields:
        raise InputError(f"{items.where}: a field cannot be named {entity_field!r}, that of the links is")
    entity_of = {item: entity for entity, item in item_of.items()}
    linked = [entity_of.get(token) for token in items.tokens.values.tolist()]
    return pa.table({**fields, entity_field: pa.array(linked, pa.string())})


def node_columns(users: pa.Table, items: pa.Table, sizes: tuple[int, int, int]) -> dict[str, pa.ChunkedArray]:
    """Columns for all nodes: users, items, entities.

    Args:
        users: Fields of the users.
        items: Fields of the items.
        sizes: How many users, items and entities there are.

    Raises:
        InputError: If users and items have fields of one name and different types.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    for field in dict.fromkeys([*users.column_names, *items.column_names]):
        given = [table[field] if field in table.column_names else None for table in (users, items)]
        kinds = list(dict.fromkeys(column.type for column in given if column is not None))
        if set(kinds) == {pa.int64(), pa.float64()}:
            kinds = [pa.float64()]
        if len(kinds) > 1:
            raise InputError(
                f"field {field!r} is of other types for users and items, {first_few(list(map(str, kinds)))}; rename one"
            )
        blocks = [
            pa.nulls(size, kinds[0]) if column is None else column.cast(kinds[0])
            for column, size in zip([*given, None], sizes, strict=True)
        ]
        columns[field] = pa.chunked_array(
            [chunk for block in blocks for chunk in (block.chunks if isinstance(block, pa.ChunkedArray) else [block])],
            kinds[0],
        )
    return columns


def take_text(columns: dict[str, pa.ChunkedArray], field: str) -> list[str | None]:
    """Take the field of texts out of the columns; words of a sequence are joined by blanks.

    Raises:
        InputError: If there is no such field, or it holds numbers.
    """
    if field not in columns:
        raise InputError(f"no field {field!r} for the text; fields: {first_few(list(columns), 10) or '(none)'}")
    cells = columns.pop(field).to_pylist()
    texts = [" ".join(map(str, cell)) or None if isinstance(cell, list) else cell for cell in cells]
    if any(not (text is None or isinstance(text, str)) for text in texts):
        raise InputError(f"field {field!r} holds numbers, expected token or token_seq for the text")
    return texts
