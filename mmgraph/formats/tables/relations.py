"""Relations from and to the rows of tables of edges."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.formats.arrays import differs
from mmgraph.formats.tables.cells import is_moment, is_numeric
from mmgraph.formats.tables.scratch import Scratch

logger = logging.getLogger(__name__)

RESERVED = ("source", "target", "relation")
"""Columns that cannot be attributes."""

DEFAULT_RELATION = "edge"
_CHUNK = 1 << 20
_ROWS_AT_ONCE = 1 << 20
"""Rows that are sorted together."""


@dataclass(frozen=True, eq=False)
class EdgeRows:
    """Rows that say which nodes are joined by which relation.

    Attributes:
        where: The file, or what else messages should name.
        ends: `[2, num_edges]`, integers: positions of source and target.
        relations: Names of the relations.
        code: `[num_edges]`, integers: index into `relations`.
        attributes: Columns of further facts. Those that are not numeric are ignored.
    """

    where: str
    ends: np.ndarray
    relations: Sequence[str]
    code: np.ndarray
    attributes: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)

    @classmethod
    def from_table(cls, where: str, table: pa.Table, ends: np.ndarray) -> EdgeRows:
        """Rows of a table whose column `relation` (`edge` where absent) names the relation."""
        names = (
            table["relation"].cast(pa.string()).fill_null(DEFAULT_RELATION)
            if "relation" in table.column_names
            else pa.chunked_array([pa.array([DEFAULT_RELATION] * table.num_rows, pa.string())])
        )
        coded = names.combine_chunks().dictionary_encode()
        attributes = {name: table[name] for name in table.column_names if name not in RESERVED}
        return cls(where, ends, coded.dictionary.to_pylist(), np.asarray(coded.indices), attributes)


def build_relations(
    tables: Sequence[EdgeRows], node_types: Sequence[str], node_type: Tensor, *, symmetric: Collection[str] = ()
) -> dict[str, Relation]:
    """Group rows by relation, sorted by the ends and then by the attributes.

    A relation of many rows is sorted a range of sources at a time, and all large arrays lie in files (see `scratch`):
    memory holds 8 bytes per node and one range, which is `_ROWS_AT_ONCE` rows or the edges of one source.

    Args:
        tables: Rows; a relation may be spread over several tables. Numeric columns become attributes of the relations
            that have values in them.
        node_types: Names of the node types.
        node_type: `[num_nodes]`: type of each node.
        symmetric: Relations that read the same both ways; a pair is kept once, or once for each of its attributes
            (an edge at two times is two edges).

    Raises:
        InputError: If a relation joins several pairs of node types, or an attribute has several types.
    """
    for table in tables:
        for name, column in table.attributes.items():
            if not is_numeric(column.type):
                logger.info("%s: column %r is not numeric and is ignored", table.where, name)
    scratch, relations = Scratch(), {}
    for name in dict.fromkeys(name for table in tables for name in table.relations if table.ends.shape[1]):
        rows = _Rows(name, [table for table in tables if name in table.relations], len(node_type))
        relation = _relation(rows, node_types, node_type.numpy(), name in symmetric, scratch)
        if relation is not None:
            relations[name] = relation
    return relations


class _Rows:
    """The rows of one relation in all tables, a block at a time.

    Attributes:
        where: For messages.
        turned: The smaller end comes first.
    """

    def __init__(self, name: str, tables: Sequence[EdgeRows], num_nodes: int) -> None:
        self.name, self.tables, self.num_nodes, self.turned = name, tables, num_nodes, False
        self.where = tables[0].where
        self.types = _attribute_types(self)

    def __iter__(self) -> Iterator[tuple[EdgeRows, slice, np.ndarray, np.ndarray]]:
        """The table, which block of its rows, which of them are of the relation, and the ends of these."""
        for table in self.tables:
            code = list(table.relations).index(self.name)
            for start in range(0, table.ends.shape[1], _CHUNK):
                block = slice(start, min(start + _CHUNK, table.ends.shape[1]))
                ends = table.ends[:, block]
                if len(table.relations) == 1:
                    mine = np.ones(ends.shape[1], dtype=bool)
                else:
                    mine = np.asarray(table.code[block] == code)
                    ends = ends[:, mine]
                yield table, block, mine, np.sort(ends, axis=0) if self.turned else ends

    def column(self, key: str, table: EdgeRows, block: slice, mine: np.ndarray) -> pa.ChunkedArray:
        """Cells of an attribute."""
        column = table.attributes.get(key)
        if column is None or not is_numeric(column.type):
            return pa.chunked_array([pa.nulls(int(mine.sum()))])
        return column.slice(block.start, block.stop - block.start).filter(pa.array(mine))

    def range(self, first: int, last: int, keys: Collection[str]) -> tuple[np.ndarray, dict[str, pa.ChunkedArray]]:
        """Ends and attributes of the rows whose source is one of the nodes `first .. last - 1`."""
        found = []
        columns: dict[str, list[pa.ChunkedArray]] = {key: [] for key in keys}
        for table, block, mine, ends in self:
            inside = (ends[0] >= first) & (ends[0] < last)
            if not inside.any():
                continue
            found.append(ends[:, inside])
            mine[mine] = inside
            for key, parts in columns.items():
                parts.append(self.column(key, table, block, mine))
        return np.concatenate(found, axis=1), {
            key: _joined([pa.chunked_array([], self.types[key]), *parts]) for key, parts in columns.items()
        }


def _attribute_types(rows: _Rows) -> dict[str, pa.DataType]:
    """Type of each attribute in all tables together."""
    types = {}
    for key in dict.fromkeys(k for t in rows.tables for k, column in t.attributes.items() if is_numeric(column.type)):
        nothing = [rows.column(key, table, slice(0, 0), np.empty(0, dtype=bool)) for table in rows.tables]
        try:
            types[key] = _joined(nothing).type
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            where = f"{rows.where}, column {key}, relation {rows.name!r}"
            raise InputError(f"{where}: has several types: {' '.join(str(error).split())}") from None
    return types


def _joined(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pa.concat_tables([pa.table({"x": column}) for column in columns], promote_options="permissive")["x"]


def _relation(
    rows: _Rows, node_types: Sequence[str], node_type: np.ndarray, symmetric: bool, scratch: Scratch
) -> Relation | None:
    pairs, count, missing = _facts(rows, node_type, len(node_types))
    if not count:
        return None
    width = len(node_types)
    if len(pairs) > 1:
        found = ", ".join(f"{node_types[pair // width]} to {node_types[pair % width]}" for pair in sorted(pairs))
        raise InputError(
            f"{rows.where}: relation {rows.name!r} joins several pairs of node types ({found}); "
            "give each pair its own relation"
        )
    source, target = divmod(pairs.pop(), width)
    rows.turned = symmetric and source == target
    # Both lines in one: edges that come again are left out, and lines of an array have no gap between them.
    flat = scratch.empty((2 * count,), np.dtype(np.int64))
    keys = [key for key in rows.types if missing[key] < count]
    attributes: dict[str, np.ndarray] = {}
    size = 0
    for first, last in _ranges(rows, count):
        ends, columns = rows.range(first, last, keys)
        values = {key: _numbers(column, missing[key]) for key, column in columns.items()}
        del columns
        order, new = _order_of_ends(ends, rows.num_nodes)
        if not new.all() and values:
            _order_equal_pairs(order, new, ends, values)
        if symmetric:
            order = order[new | ~_as_before(order, ~new, values)]
        stop = size + len(order)
        flat[size:stop], flat[count + size : count + stop] = ends[:, order]
        for key, numbers in values.items():
            if key not in attributes:
                attributes[key] = scratch.empty((count, *numbers.shape[1:]), numbers.dtype)
            attributes[key][size:stop] = numbers[order]
        size = stop
    for start in range(0, size if size < count else 0, _CHUNK):
        stop = min(start + _CHUNK, size)
        flat[size + start : size + stop] = flat[count + start : count + stop]
    return Relation(
        edge_index=torch.from_numpy(flat[: 2 * size].reshape(2, size)),
        source_type=node_types[source],
        target_type=node_types[target],
        symmetric=symmetric,
        attributes={key: torch.from_numpy(values[:size]) for key, values in attributes.items()},
    )


def _facts(rows: _Rows, node_type: np.ndarray, width: int) -> tuple[set[int], int, dict[str, int]]:
    """Pairs of node types that occur, number of rows, and how many of them lack each attribute.

    Raises:
        InputError: If lists of numbers are missing or incomplete, but not all of them.
    """
    pairs: set[int] = set()
    count, missing, incomplete = 0, dict.fromkeys(rows.types, 0), dict.fromkeys(rows.types, 0)
    for table, block, mine, ends in rows:
        count += ends.shape[1]
        pairs.update(np.unique(node_type[ends[0]] * width + node_type[ends[1]]).tolist())
        for key, kind in rows.types.items():
            whole = table.attributes.get(key)
            if whole is None or whole.null_count or pa.types.is_fixed_size_list(kind) or not is_numeric(whole.type):
                column = rows.column(key, table, block, mine)
                missing[key] += column.null_count
                if pa.types.is_fixed_size_list(column.type):
                    incomplete[key] += sum(chunk.flatten().null_count for chunk in column.chunks)
    for key, kind in rows.types.items():
        wrong = missing[key] or incomplete[key]
        if pa.types.is_fixed_size_list(kind) and wrong and missing[key] < count:
            where = f"{rows.where}, column {key}, relation {rows.name!r}"
            raise InputError(f"{where}: {wrong} lists of numbers are missing or incomplete")
    return pairs, count, missing


def _ranges(rows: _Rows, count: int) -> list[tuple[int, int]]:
    """Nodes `first, last` whose edges are sorted together."""
    if count <= _ROWS_AT_ONCE:
        return [(0, rows.num_nodes)]
    start = np.zeros(rows.num_nodes + 1, dtype=np.int64)
    for _, _, _, ends in rows:
        start[1:] += np.bincount(ends[0], minlength=rows.num_nodes)
    np.cumsum(start, out=start)
    ranges, first = [], 0
    while start[first] < count:
        last = max(first + 1, int(np.searchsorted(start, start[first] + _ROWS_AT_ONCE, side="right")) - 1)
        if start[last] > start[first]:
            ranges.append((first, last))
        first = last
    return ranges


def _order_of_ends(ends: np.ndarray, num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Order by source, then target; and which edges in that order join a pair that none before them joins."""
    keys = torch.from_numpy(ends[0].astype(np.int64) * num_nodes + ends[1])
    ordered, positions = torch.sort(keys, stable=True)
    first = torch.ones(keys.numel(), dtype=torch.bool)
    torch.ne(ordered[1:], ordered[:-1], out=first[1:])
    return positions.numpy(), first.numpy()


def _order_equal_pairs(
    order: np.ndarray, first: np.ndarray, ends: np.ndarray, attributes: Mapping[str, np.ndarray]
) -> None:
    """Bring edges that join the same pair into the order of their attributes, in place.

    Without it the order of rows would decide, and with it every random number that is drawn later.
    """
    equal = ~first
    equal[:-1] |= ~first[1:]
    rows = order[equal]
    values = [row for _, column in sorted(attributes.items()) for row in column[rows].reshape(len(rows), -1).T]
    # The last key counts most. Pairs are in order already: only rows of the same pair change places.
    order[equal] = rows[np.lexsort([*values, ends[1, rows], ends[0, rows]])]


def _as_before(order: np.ndarray, again: np.ndarray, attributes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which of the edges that join the pair of the one before them have its attributes too, `[num_edges]`, bool."""
    places = np.flatnonzero(again)
    if not len(places):
        return again
    same = np.ones(len(places), dtype=bool)
    for values in attributes.values():
        here, before = (values[order[rows]].reshape(len(rows), -1) for rows in (places, places - 1))
        same &= ~differs(here, before).any(axis=1)
    result = np.zeros(len(order), dtype=bool)
    result[places] = same
    return result


def edge_tables(relations: Mapping[str, Relation], node_ids: NodeIds) -> Iterator[pa.Table]:
    """Write relations as rows, about a million at a time; the inverse of `build_relations`.

    All tables have the columns of `edge_schema`.

    Raises:
        InputError: If an attribute is named like another column, or has different types in two relations.
    """
    schema = edge_schema(relations, node_ids)
    ids = node_ids.arrow
    for name, relation in relations.items():
        for start in range(0, relation.num_edges, _CHUNK):
            ends = relation.edge_index[:, start : start + _CHUNK].numpy(force=True)
            columns: dict[str, pa.Array] = {
                "source": ids.take(pa.array(ends[0])),
                "target": ids.take(pa.array(ends[1])),
                "relation": pa.repeat(name, ends.shape[1]),
            }
            for key, values in relation.attributes.items():
                columns[key] = _attribute_column(values[start : start + _CHUNK])
            yield pa.table(
                {f.name: columns[f.name] if f.name in columns else pa.nulls(ends.shape[1], f.type) for f in schema}
            ).cast(schema)


def edge_schema(relations: Mapping[str, Relation], node_ids: NodeIds) -> pa.Schema:
    """Columns of a table that holds all relations.

    Raises:
        InputError: If an attribute is named like another column, or has different types in two relations.
    """
    kind = pa.string() if node_ids.values.dtype == object else pa.int64()
    schemas = [pa.schema([("source", kind), ("target", kind), ("relation", pa.string())])]
    for name, relation in relations.items():
        for key in relation.attributes:
            if key in RESERVED:
                raise InputError(f"relation {name!r}: an edge attribute cannot be named {key!r}")
        if relation.num_edges:  # without edges there is nothing to write, and no type to keep
            fields = [(key, _attribute_column(values[:1]).type) for key, values in relation.attributes.items()]
            schemas.append(pa.schema(fields))
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise InputError(f"edge attributes of the same name must have the same width: {error}") from None


def _attribute_column(values: Tensor) -> pa.Array:
    array = (values.float() if values.dtype == torch.bfloat16 else values).numpy(force=True)
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])


def _numbers(column: pa.ChunkedArray, missing: int) -> np.ndarray:
    """Values `[num_rows]` or `[num_rows, width]`; if some are missing, here or in other rows, they are NaN."""
    column = column.combine_chunks()
    if pa.types.is_fixed_size_list(column.type):
        return np.array(column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size))
    if is_moment(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    if missing:
        column = column if pa.types.is_floating(column.type) else column.cast(pa.float64())
        column = pc.fill_null(column, float("nan"))
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    # Torch computes little with these; the values fit into the wider type.
    wider = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}.get(values.dtype.name)
    return values if wider is None else values.astype(wider)
