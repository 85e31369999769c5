"""Tables of edges, read in batches and joined with the nodes by id."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.formats.tables.cells import decode, guess_numbers, is_number, is_numeric, moments, prints_moment
from mmgraph.formats.tables.defects import LISTED, Defects
from mmgraph.formats.tables.mapping import EdgeTable
from mmgraph.formats.tables.node_tables import with_prefix
from mmgraph.formats.tables.relations import DEFAULT_RELATION, EdgeRows
from mmgraph.formats.tables.scratch import ColumnSpool, RowSpool
from mmgraph.formats.tables.source import TableError, TableSource

_BATCH_ROWS = 1 << 19


@dataclass(frozen=True, eq=False)
class IdLookup:
    """Positions of nodes by id, for columns that may hold integers as text.

    Attributes:
        node_ids: The ids.
        printed: Integers of typed columns are compared as they are printed, if ids are strings.
    """

    node_ids: NodeIds
    printed: bool = False

    @cached_property
    def _printed(self) -> pa.Array:
        return self.node_ids.arrow.cast(pa.string())

    def find(self, column: pa.ChunkedArray, *, typed: bool, where: str) -> np.ndarray:
        """Positions `[len(column)]`, -1 where unknown or missing.

        Raises:
            InputError: If a typed column holds integers and ids are strings, or the other way round.
        """
        values = self.node_ids.arrow
        if len(column) == 0 or column.null_count == len(column):
            return np.full(len(column), -1, dtype=np.int32)
        kind = "strings" if pa.types.is_string(column.type) else "integers"
        if pa.types.is_integer(values.type) and kind == "strings":
            if typed:
                raise InputError(
                    f"{where}: {self.node_ids.where} are integers, got strings (first: {_first(column)!r})"
                )
            values = self._printed
        elif pa.types.is_string(values.type) and kind == "integers" and self.printed:
            column = column.cast(pa.string())
        elif pa.types.is_string(values.type) and kind == "integers":
            raise InputError(f"{where}: {self.node_ids.where} are strings, got integers (first: {_first(column)!r})")
        elif kind == "integers":
            column = column.cast(pa.int64(), safe=False) if pa.types.is_uint64(column.type) else column.cast(pa.int64())
        found = pc.index_in(column, value_set=values, skip_nulls=True)
        return np.concatenate([np.asarray(chunk.fill_null(-1)) for chunk in found.chunks])


def _first(column: pa.ChunkedArray) -> object:
    return column.drop_null()[0].as_py()


def read_edges(mapping: EdgeTable, source: TableSource, lookup: IdLookup, defects: Defects) -> EdgeRows:
    """Read one table of edges.

    What is read waits in files (see `scratch`), so memory holds one batch; only attributes that are text, and may turn out
    to be numbers, are whole in memory while that is found out.

    Args:
        mapping: Which column says what.
        source: The file.
        lookup: The nodes.
        defects: Where defects are noted. Edges to unknown ids are left out, and so are edges whose time is none.

    Raises:
        InputError: If a column is missing, or ids are of another type than those of the nodes.
    """
    with (
        RowSpool(np.int32, 2) as ends,
        RowSpool(np.int32) as codes,
        RowSpool(np.int64) as places,
        ColumnSpool() as spool,
    ):
        return _read(mapping, source, lookup, defects, _Spools(ends, codes, places, spool))


@dataclass(frozen=True)
class _Spools:
    """What is read, in files: ends `[n, 2]`, codes of relations `[n]`, positions in the table `[n]`, attributes."""

    ends: RowSpool
    codes: RowSpool
    places: RowSpool
    columns: ColumnSpool


def _read(mapping: EdgeTable, source: TableSource, lookup: IdLookup, defects: Defects, spools: _Spools) -> EdgeRows:
    roles = mapping.roles
    source.require(*roles)
    renamed = {column: name for name, column in mapping.named_attributes.items()}
    named = [*renamed, *(mapping.attributes or ())]
    extra = [name for name in source.names if name not in roles] if mapping.attributes is None else []
    columns = list(dict.fromkeys([*roles, *named, *extra]))
    names: dict[str, int] = {} if mapping.relation_column else {mapping.relation or DEFAULT_RELATION: 0}
    attributes = list(dict.fromkeys((*named, *extra)))
    # Only text can turn out to be no number, and only then it is asked for its row.
    numbered = not source.typed or any(source.holds_text(name) for name in named)
    first = 0
    for batch in source.batches(columns, batch_rows=_BATCH_ROWS):
        cells = {name: _cells(batch[name], name, source, first, defects) for name in columns}
        pair = _ends(mapping, source, lookup, cells, first, defects)
        known = (pair >= 0).all(axis=0)
        mask = None if known.all() else pa.array(known)
        spools.ends.append(pair[:, known].T)
        if mapping.relation_column:
            relation = cells[mapping.relation_column].cast(pa.string()).fill_null(DEFAULT_RELATION)
            coded = relation.combine_chunks().dictionary_encode()
            local = [names.setdefault(name, len(names)) for name in coded.dictionary.to_pylist()]
            spools.codes.append(np.asarray(local, dtype=np.int32)[np.asarray(coded.indices)][known])
        if numbered:
            spools.places.append(np.flatnonzero(known) + first)
        if attributes:
            table = pa.table({name: cells[name] for name in attributes})
            spools.columns.append(table if mask is None else table.filter(mask))
        first += batch.num_rows
    tables, rows = spools.columns.finish(), spools.places.finish()[:, 0]
    merged = {
        name: _merge(name, [table[name] for table in tables], rows, source, defects, named=name in named)
        for name in attributes
    }
    return EdgeRows(
        where=str(source.path),
        ends=spools.ends.finish().T,
        relations=list(names),
        code=spools.codes.finish()[:, 0],
        attributes={renamed.get(name, name): column for name, column in merged.items() if column is not None},
    )


def _cells(column: pa.ChunkedArray, name: str, source: TableSource, first: int, defects: Defects) -> pa.ChunkedArray:
    if not (pa.types.is_binary(column.type) or pa.types.is_string(column.type)):
        return column

    def note(row: int, detail: str) -> None:
        defects.add("bad-encoding", source.path, f"column {name}: {detail}", row=source.row_number(first + row))

    return decode(column, note)


def _ends(
    mapping: EdgeTable,
    source: TableSource,
    lookup: IdLookup,
    cells: dict[str, pa.ChunkedArray],
    first: int,
    defects: Defects,
) -> np.ndarray:
    """Positions of source and target `[2, num_rows]`, -1 where there is none."""
    sides = ((mapping.source, mapping.source_prefix), (mapping.target, mapping.target_prefix))
    columns = [with_prefix(cells[name], prefix) for name, prefix in sides]
    found = [
        lookup.find(column, typed=source.typed and not prefix, where=f"{source.path}, column {name}")
        for column, (name, prefix) in zip(columns, sides, strict=True)
    ]
    bad = np.flatnonzero((found[0] < 0) | (found[1] < 0))
    for row in bad[:LISTED].tolist():
        side = 0 if found[0][row] < 0 else 1
        name, node, number = sides[side][0], columns[side][row].as_py(), source.row_number(first + row)
        if node is None:
            defects.add("missing-id", source.path, f"column {name}: expected an id, got nothing", row=number)
        else:
            detail = f"column {name}: no node has the id {node!r}"
            defects.add("dangling-edge", source.path, detail, row=number, id=node)
    if len(rest := bad[LISTED:]):
        empty = [column.is_null().to_numpy()[rest] for column in columns]
        missing = int(np.where(found[0][rest] < 0, *empty).sum())
        for kind, count in (("missing-id", missing), ("dangling-edge", len(rest) - missing)):
            if count:
                defects.count(kind, source.path, count)
    return np.stack(found)


def _merge(
    name: str,
    parts: list[pa.ChunkedArray],
    rows: np.ndarray,
    source: TableSource,
    defects: Defects,
    *,
    named: bool,
) -> pa.ChunkedArray | None:
    """One column of all batches; `None` if there are no batches.

    Args:
        name: Name of the column.
        parts: Its cells.
        rows: Positions of the cells in the file.
        source: The file.
        defects: Where cells that are no number, or no date, are noted, if most of the others are.
        named: The mapping says that this is a weight, a time or a rating.

    Raises:
        InputError: If a named column does not hold numbers or dates.
    """
    if not parts:
        return None
    column = pa.concat_tables([pa.table({"x": part}) for part in parts], promote_options="permissive")["x"]
    column = guess_numbers(column)
    if not named or is_numeric(column.type) or column.null_count == len(column):
        return column
    if not pa.types.is_string(column.type):
        example = column.drop_null()[0].as_py()
        raise TableError("mixed-types", source.path, f"column {name}: expected numbers or dates, got {example!r}")
    read = moments(column)
    if read is None:
        column = _majority(name, column, rows, source, defects)
        numbers = guess_numbers(column)
        read = moments(column) if pa.types.is_string(numbers.type) else numbers
    if read is not None and pa.types.is_timestamp(read.type):
        return read.cast(pa.timestamp("us"))  # in UTC: the same type in a file with zones and in one without
    return read


def _majority(
    name: str, column: pa.ChunkedArray, rows: np.ndarray, source: TableSource, defects: Defects
) -> pa.ChunkedArray:
    """The text that is numbers, or the text that is dates, whichever is more; other cells are noted and become null.

    Raises:
        InputError: If neither makes most of the column.
    """
    missing = np.asarray(column.is_null().combine_chunks())
    number, moment = (
        np.asarray(pc.fill_null(test(column), False).combine_chunks()) for test in (is_number, prints_moment)
    )
    one, right = ("date", moment) if moment.sum() > number.sum() else ("number", number)
    good = right | missing
    if 2 * int(good.sum()) <= len(column):
        odd = np.flatnonzero(~(missing | number | moment))
        got = repr(column[int(odd[0])].as_py()) if len(odd) else "both"
        raise TableError("mixed-types", source.path, f"column {name}: expected numbers or dates, got {got}")
    bad = np.flatnonzero(~good)
    places = rows[bad[:LISTED]]
    for position, place in zip(bad[:LISTED].tolist(), places.tolist(), strict=True):
        detail = f"column {name}: expected a {one} as in other rows, got {column[position].as_py()!r}"
        defects.add("mixed-types", source.path, detail, row=source.row_number(place))
    if len(bad) > LISTED:
        defects.count("mixed-types", source.path, len(bad) - LISTED)
    return pc.if_else(pa.array(good), column, pa.scalar(None, pa.string()))
