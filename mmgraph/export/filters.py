"""Filters of a search: which nodes may be found at all, by id, type, columns and neighbourhood.

    year >= 1990 and (genre in ("comedy", "drama") or title starts with "The ") and within 2 of "p7"

`filter_parser.py` has the grammar. Missing values are those of SQL (Kleene's logic): a comparison with a missing value is
neither true nor false, nor is its negation, so only `is null` finds it; NaN is missing. Texts are compared by character,
upper and lower case apart. `contains` looks for a part of a text, or for an element of a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.neighbourhood import neighbourhood_of
from mmgraph.export.filter_parser import Comparison, Condition, Junction, Membership, Missing, Not, Within, fail, parse
from mmgraph.export.filter_values import compare, is_one_of, one_array, read_column
from mmgraph.untrusted import reading


@dataclass(frozen=True)
class Filter:
    """A parsed filter; it fits any number of tables.

    Attributes:
        text: As it was written.
        condition: Its tree.
    """

    text: str
    condition: Condition

    def __str__(self) -> str:
        return self.text

    @property
    def needs_graph(self) -> bool:
        """Whether it asks for a neighbourhood."""
        return _needs_graph(self.condition)

    def mask(self, rows: pa.Table, *, graph: MultimodalGraph | None = None) -> np.ndarray:
        """Positions of the rows that fit, ascending, int64.

        Args:
            rows: One row per node, with the columns `id`, `type` and any others (`Store.rows`).
            graph: For `within`; nodes are joined by id, and those that it lacks are near nothing.

        Raises:
            InputError: If a column is unknown, a value is of another kind than its column, or `within` has no graph or
                an id that the graph lacks. The message names the position in the filter.
        """
        with reading("filter", "values that can be compared with the columns"):
            found = _evaluate(self.condition, rows, graph)
        positions: np.ndarray = np.flatnonzero(found.fill_null(False).to_numpy(zero_copy_only=False))
        return positions


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises:
        InputError: Names the position, what was expected there and what was found.

    Example:
        >>> parse_filter('year >= 1990 and genre in ("comedy", "drama")').mask(store.rows)  # doctest: +SKIP
    """
    return Filter(text, parse(text))


def _needs_graph(condition: Condition) -> bool:
    if isinstance(condition, Junction):
        return any(map(_needs_graph, condition.conditions))
    return _needs_graph(condition.condition) if isinstance(condition, Not) else isinstance(condition, Within)


def _evaluate(condition: Condition, rows: pa.Table, graph: MultimodalGraph | None) -> pa.BooleanArray:
    """True, false or null for each row."""
    if isinstance(condition, Junction):
        parts = (_evaluate(part, rows, graph) for part in condition.conditions)
        return reduce(pc.and_kleene if condition.word == "and" else pc.or_kleene, parts)
    if isinstance(condition, Not):
        return pc.invert(_evaluate(condition.condition, rows, graph))
    if isinstance(condition, Within):
        return _near(condition, rows, graph)
    values = read_column(rows, condition.column)
    if isinstance(condition, Missing):
        return pc.is_null(values)
    if isinstance(condition, Membership):
        return is_one_of(values, condition.column, condition.values)
    assert isinstance(condition, Comparison)
    return compare(values, condition.column, condition.operator, condition.value)


def _near(condition: Within, rows: pa.Table, graph: MultimodalGraph | None) -> pa.BooleanArray:
    """Whether a node is among those that a walk of so many edges, in either direction, can reach."""
    if graph is None:
        fail(condition.position, "'within' needs a graph, give --graph or graph=")
    kind = int if pa.types.is_integer(graph.node_ids.arrow.type) else str
    known = "integers" if kind is int else "texts"
    for value in condition.ids:
        if type(value.value) is not kind:
            fail(value.position, f"the ids of graph {graph.name!r} are {known}, got {value.value!r}")
    ids = one_array(rows.column("id"))
    if (kind is int) != pa.types.is_integer(ids.type):
        fail(condition.position, f"the ids of graph {graph.name!r} are {known}, those of the table {ids.type}")
    where = f"filter, position {condition.ids[0].position}: graph {graph.name!r}"
    start = graph.node_ids.positions([value.value for value in condition.ids], where=where)
    near = neighbourhood_of(graph).within(start, condition.hops)
    return pc.is_in(ids, value_set=graph.node_ids.arrow.take(pa.array(near)).cast(ids.type))
