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

logger = logging.getLogger(__name__)

RESERVED = ("source", "target", "relation")
"""Columns that cannot be attributes."""

DEFAULT_RELATION = "edge"
_CHUNK = 1 << 20


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
    names = dict.fromkeys(name for table in tables for name in table.relations if table.ends.shape[1])
    return {name: _relation(name, tables, node_types, node_type.numpy(), name in symmetric) for name in names}


def _relation(
    name: str, tables: Sequence[EdgeRows], node_types: Sequence[str], node_type: np.ndarray, symmetric: bool
) -> Relation:
    parts = [(table, _rows_of(table, name)) for table in tables if name in table.relations]
    where = parts[0][0].where
    ends = np.concatenate([table.ends[:, rows] for table, rows in parts], axis=1)
    width = len(node_types)
    pairs = np.unique(node_type[ends[0]] * width + node_type[ends[1]])
    if len(pairs) > 1:
        found = ", ".join(f"{node_types[pair // width]} to {node_types[pair % width]}" for pair in pairs.tolist())
        raise InputError(
            f"{where}: relation {name!r} joins several pairs of node types ({found}); give each pair its own relation"
        )
    source_type, target_type = node_types[pairs[0] // width], node_types[pairs[0] % width]
    if symmetric and source_type == target_type:
        ends = np.sort(ends, axis=0)
    order, first = _order_of_ends(ends, len(node_type))
    attributes = _attributes(name, parts)
    if not first.all() and attributes:
        _order_equal_pairs(order, first, ends, attributes)
    if symmetric:
        order = order[first | ~_as_before(order, ~first, attributes)]
    return Relation(
        edge_index=torch.from_numpy(ends[:, order].astype(np.int64, copy=False)),
        source_type=source_type,
        target_type=target_type,
        symmetric=symmetric,
        attributes={key: torch.from_numpy(values[order]) for key, values in attributes.items()},
    )


def _rows_of(table: EdgeRows, name: str) -> np.ndarray | slice:
    """Rows of a relation; all of them without a copy if there is no other."""
    if len(table.relations) == 1:
        return slice(None)
    return np.flatnonzero(table.code == list(table.relations).index(name))


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


def _attributes(name: str, parts: Sequence[tuple[EdgeRows, np.ndarray | slice]]) -> dict[str, np.ndarray]:
    attributes = {}
    keys = dict.fromkeys(
        key for table, _ in parts for key, column in table.attributes.items() if is_numeric(column.type)
    )
    for key in keys:
        columns = []
        for table, rows in parts:
            count = table.ends.shape[1] if isinstance(rows, slice) else len(rows)
            column = table.attributes.get(key)
            if column is None or not is_numeric(column.type):
                column = pa.chunked_array([pa.nulls(count)])
            elif not isinstance(rows, slice):
                column = column.take(pa.array(rows))
            columns.append(column)
        where = f"{parts[0][0].where}, column {key}, relation {name!r}"
        try:
            merged = pa.concat_tables([pa.table({key: c}) for c in columns], promote_options="permissive")[key]
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            raise InputError(f"{where}: has several types: {' '.join(str(error).split())}") from None
        if merged.null_count < len(merged):
            attributes[key] = _numbers(merged, where)
    return attributes


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


def _numbers(column: pa.ChunkedArray, where: str) -> np.ndarray:
    """Values `[num_rows]` or `[num_rows, width]`; a missing number among others is NaN."""
    column = column.combine_chunks()
    if pa.types.is_fixed_size_list(column.type):
        flat = column.flatten()
        if column.null_count or flat.null_count:
            raise InputError(
                f"{where}: {column.null_count or flat.null_count} lists of numbers are missing or incomplete"
            )
        return np.array(flat.to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size))
    if is_moment(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    if column.null_count:
        column = column if pa.types.is_floating(column.type) else column.cast(pa.float64())
        column = pc.fill_null(column, float("nan"))
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    # Torch computes little with these; the values fit into the wider type.
    wider = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}.get(values.dtype.name)
    return values if wider is None else values.astype(wider)
