"""Rows of nodes as JSON, made when they are first asked for."""

from __future__ import annotations

import base64
import datetime
import decimal
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.serve.models import Column

TEXT, IMAGE = "text", "image"
"""Columns with a place of their own in an answer; the path of a picture is never shown."""
MAX_VALUES = 200
"""A column of texts with at most so many distinct values is a category."""
KEPT = 100_000
"""Rows that are kept as Python objects."""


class NodeRows:
    """Type, text and columns of nodes by position.

    Args:
        rows: Columns `id`, `type` and others, as a `Store` has them.
    """

    def __init__(self, rows: pa.Table) -> None:
        # One chunk per column: looking a row up is then one step.
        self._columns = {name: _one_chunk(rows.column(name)) for name in rows.column_names}
        self._ids, self._types = (self._columns.pop(name) for name in rows.column_names[:2])
        self._text = self._columns.pop(TEXT, None)
        self.images = self._columns.pop(IMAGE, None)
        self.count = rows.num_rows
        self._made: dict[int, dict[str, Any]] = {}

    def __getitem__(self, position: int) -> dict[str, Any]:
        """`id`, `type`, `text` and `columns` of a node; shared, do not change it."""
        found = self._made.get(position)
        if found is None:
            text = None if self._text is None else plain(self._text[position].as_py())
            found = {
                "id": self._ids[position].as_py(),
                "type": self._types[position].as_py(),
                "text": None if text is None else str(text),
                "columns": {name: plain(column[position].as_py()) for name, column in self._columns.items()},
            }
            if len(self._made) >= KEPT:
                self._made.clear()
            self._made[position] = found
        return found

    def has_text(self) -> np.ndarray:
        """Which nodes have a text, `[num_nodes]`, bool."""
        return np.zeros(self.count, dtype=bool) if self._text is None else np.asarray(self._text.is_valid())

    def describe(self) -> list[Column]:
        """Names and kinds of the columns."""
        return [_describe(name, column) for name, column in self._columns.items()]

    def groups(self, name: str) -> tuple[np.ndarray, list[str]] | None:
        """Codes `[num_nodes]` and names of a categorical column or of `type`; `None` if it is neither."""
        column = self._types if name == "type" else self._columns.get(name)
        if column is None or (name != "type" and _describe(name, column).kind != "category"):
            return None
        coded = pc.dictionary_encode(column.cast(pa.string()).fill_null(""))
        names = [value or "(none)" for value in coded.dictionary.to_pylist()]
        return np.asarray(coded.indices), names


def plain(value: Any) -> Any:
    """A value that JSON can hold; NaN and infinity become `None`."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        return plain(float(value))
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    return whole.cast(whole.type.value_type) if pa.types.is_dictionary(whole.type) else whole


def _describe(name: str, column: pa.Array) -> Column:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Column(name=name, kind="number")
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind)):
        return Column(name=name, kind="text")
    values = pc.unique(column.drop_null())
    if 0 < len(values) <= MAX_VALUES:
        return Column(name=name, kind="category", values=sorted(str(plain(value)) for value in values.to_pylist()))
    return Column(name=name, kind="text")
