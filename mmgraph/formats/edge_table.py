"""Relations from and to the rows of an edge table."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.formats.table_file import TableFile

logger = logging.getLogger(__name__)

RESERVED = ("source", "target", "relation")
"""Columns that cannot be attributes."""


def read_relations(
    edges: TableFile, ends: np.ndarray, node_types: Sequence[str], node_type: Tensor, *, symmetric: Collection[str]
) -> dict[str, Relation]:
    """Group the rows of an edge table by relation, sorted by the ends and then by the attributes.

    Args:
        edges: The table; columns of numbers become attributes of the relations that have values in them.
        ends: `[2, num_edges]`: positions of source and target.
        node_types: Names of the node types.
        node_type: `[num_nodes]`: type of each node.
        symmetric: Relations that read the same both ways.

    Raises:
        InputError: If a relation joins several pairs of node types.
    """
    names = edges.strings("relation", default="edge").combine_chunks().dictionary_encode()
    codes = np.asarray(names.indices)
    columns = {name: edges.column(name) for name in edges.table.column_names if name not in RESERVED}
    for name in [name for name, column in columns.items() if not _is_numeric(column.type)]:
        logger.info("%s: column %r is not numeric and is ignored", edges.path, name)
        del columns[name]
    relations = {}
    for code, relation in enumerate(names.dictionary.to_pylist()):
        rows = np.flatnonzero(codes == code)
        pairs = np.unique(node_type.numpy()[ends[:, rows]], axis=1).T
        if len(pairs) > 1:
            found = ", ".join(f"{node_types[a]} to {node_types[b]}" for a, b in pairs)
            raise InputError(
                f"{edges.path}: relation {relation!r} joins several pairs of node types ({found}); "
                "give each pair its own relation"
            )
        chosen = {name: column.take(pa.array(rows)) for name, column in columns.items()}
        attributes = {
            name: _numbers(column, f"{edges.path}, column {name}, relation {relation!r}")
            for name, column in chosen.items()
            if column.null_count < len(rows)
        }
        source_type, target_type = (node_types[int(code)] for code in pairs[0])
        edge_index = ends[:, rows]
        is_symmetric = relation in symmetric
        if is_symmetric and source_type == target_type:
            edge_index = np.sort(edge_index, axis=0)
        order = _canonical_order(edge_index, attributes, once=is_symmetric)
        relations[relation] = Relation(
            edge_index=torch.from_numpy(edge_index[:, order]),
            source_type=source_type,
            target_type=target_type,
            symmetric=is_symmetric,
            attributes={name: torch.from_numpy(values[order]) for name, values in attributes.items()},
        )
    return relations


def edge_table(relations: Mapping[str, Relation], node_ids: NodeIds) -> pa.Table:
    """Write relations as rows; the inverse of `read_relations`.

    Raises:
        InputError: If an attribute is named like another column, or has different widths in two relations.
    """
    empty = pa.array([], pa.string() if node_ids.values.dtype == object else pa.int64())
    tables = [pa.table({"source": empty, "target": empty, "relation": pa.array([], pa.string())})]
    for name, relation in relations.items():
        source, target = (pa.array(node_ids.values[ends]) for ends in relation.edge_index.numpy(force=True))
        columns = {"source": source, "target": target, "relation": pa.array([name] * relation.num_edges, pa.string())}
        for key, values in relation.attributes.items():
            if key in RESERVED:
                raise InputError(f"relation {name!r}: an edge attribute cannot be named {key!r}")
            columns[key] = _attribute_column(values)
        if relation.num_edges:
            tables.append(pa.table(columns))
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise InputError(f"edge attributes of the same name must have the same width: {error}") from None


def _attribute_column(values: Tensor) -> pa.Array:
    array = (values.float() if values.dtype == torch.bfloat16 else values).numpy(force=True)
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])


def _is_numeric(kind: pa.DataType) -> bool:
    if pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, _is_moment)
    return any(test(kind) for test in tests)


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


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
    if _is_moment(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    if column.null_count:
        column = column if pa.types.is_floating(column.type) else column.cast(pa.float64())
        column = pc.fill_null(column, float("nan"))
    values = np.array(column.to_numpy(zero_copy_only=False))
    # Torch computes little with these; the values fit into the wider type.
    wider = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}.get(values.dtype.name)
    return values if wider is None else values.astype(wider)


def _canonical_order(edge_index: np.ndarray, attributes: Mapping[str, np.ndarray], *, once: bool) -> np.ndarray:
    """Order that does not depend on the order of rows; the first of equal pairs only, if `once`."""
    keys = [row for _, values in sorted(attributes.items()) for row in values.reshape(len(values), -1).T]
    order: np.ndarray = np.lexsort([*keys, edge_index[1], edge_index[0]])  # the last key counts most
    if not once or not len(order):
        return order
    ordered = edge_index[:, order]
    first = np.append(True, (ordered[:, 1:] != ordered[:, :-1]).any(axis=0))
    return np.asarray(order[first])
