"""Comparisons of a column with the values of a filter: true, false, or null where the column has nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.errors import unknown_choice
from mmgraph.export.filter_parser import Column, Value, fail

_COMPARE: dict[str, Callable[..., pa.Array]] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
    "contains": pc.match_substring,
    "starts with": pc.starts_with,
}
_ORDERED = ("texts", "numbers", "dates")


def read_column(rows: pa.Table, column: Column) -> pa.Array:
    """A column as one array: codes as what they stand for, NaN as null.

    Raises:
        InputError: If there is no such column; the message lists the columns.
    """
    if column.name not in rows.column_names:
        fail(column.position, str(unknown_choice("column", column.name, rows.column_names)))
    return _plain(one_array(rows.column(column.name)))


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """All chunks of a column in one array."""
    found = column.combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found


def compare(values: pa.Array, column: Column, operator: str, value: Value) -> pa.BooleanArray:
    """Compare every value with one of the filter.

    Args:
        values: What `read_column` gave.
        column: Its name, for messages.
        operator: One of `filter_parser.COMPARISONS`, "contains" or "starts with".
        value: The other side.

    Raises:
        InputError: If the kinds do not fit.
    """
    kind = _kind(values.type)
    if kind == "nothing":
        return pa.nulls(len(values), pa.bool_())
    if kind == "lists" and operator == "contains":
        return _contains(values, column, value)
    _check(kind, column, operator, value)
    if pa.types.is_integer(values.type):
        return _compare_integers(values, operator, value.value)
    if operator in ("contains", "starts with"):
        return _COMPARE[operator](values, value.value)
    return _COMPARE[operator](values, _literal(values.type, column, value))


def is_one_of(values: pa.Array, column: Column, choices: Sequence[Value]) -> pa.BooleanArray:
    """Whether every value is one of those in the filter.

    Raises:
        InputError: If the kinds do not fit.
    """
    kind = _kind(values.type)
    if kind == "nothing":
        return pa.nulls(len(values), pa.bool_())
    for choice in choices:
        _check(kind, column, "in", choice)
    if pa.types.is_integer(values.type):
        low, high = _bounds(values.type)
        numbers: list[Any] = [choice.value for choice in choices]
        wanted = [int(number) for number in numbers if number == math.floor(number) and low <= number <= high]
    else:
        wanted = [_literal(values.type, column, choice).as_py() for choice in choices]
    return _where_known(values, pc.is_in(values, value_set=pa.array(wanted, values.type)))


def _plain(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_string_view(values.type):
        return values.cast(pa.large_string())
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    if pa.types.is_floating(values.type):
        return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    return values


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "texts"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "numbers"
    if pa.types.is_boolean(kind):
        return "true and false"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "dates"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return "lists"
    return "nothing" if pa.types.is_null(kind) else f"values of type {kind}"


def _check(kind: str, column: Column, operator: str, value: Value) -> None:
    holds = f"column {column.name!r} holds {kind}"
    given = (
        "true and false" if isinstance(value.value, bool) else "texts" if isinstance(value.value, str) else "numbers"
    )
    if kind == "lists":
        fail(value.position, f"{holds}; expected contains, got {operator!r}")
    if kind not in (*_ORDERED, "true and false"):
        fail(value.position, f"{holds}; expected 'is null', got {operator!r}")
    if operator in ("contains", "starts with") and kind != "texts":
        fail(value.position, f"{holds}; {operator!r} expects texts")
    if operator in ("<", "<=", ">", ">=") and kind not in _ORDERED:
        fail(value.position, f"{holds}; expected = or !=, got {operator!r}")
    if given != ("texts" if kind == "dates" else kind):
        fail(value.position, f"{holds}, got {value.value!r}")


def _literal(kind: pa.DataType, column: Column, value: Value) -> pa.Scalar:
    """The value in the type of the column: 0.1 then equals the float32 that is nearest to 0.1."""
    try:
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            naive = pa.scalar(value.value).cast(pa.timestamp(kind.unit))
            return pc.assume_timezone(naive, "UTC").cast(kind)
        if pa.types.is_floating(kind):
            return pa.scalar(float(value.value), kind)
        return pa.scalar(value.value).cast(kind)
    except pa.ArrowInvalid:
        expected = "a date as 2020-01-31" if pa.types.is_date(kind) else "a time as 2020-01-31 or 2020-01-31T10:30:00"
        fail(value.position, f"column {column.name!r} holds dates; expected {expected}, got {value.value!r}")
    except OverflowError:
        fail(value.position, f"column {column.name!r} holds {kind}; the number is too large")


def _bounds(kind: pa.DataType) -> tuple[int, int]:
    """Lowest and highest integer of a type."""
    if pa.types.is_signed_integer(kind):
        return -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1
    return 0, 2**kind.bit_width - 1


def _compare_integers(values: pa.Array, operator: str, value: Any) -> pa.BooleanArray:
    """Compare with any number, exactly: by the interval of the integers of this type that fit."""
    if operator == "!=":
        return pc.invert(_compare_integers(values, "=", value))
    low, high = _bounds(values.type)
    if operator in (">", ">=", "="):
        low = max(low, math.floor(value) + 1 if operator == ">" else math.ceil(value))
    if operator in ("<", "<=", "="):
        high = min(high, math.ceil(value) - 1 if operator == "<" else math.floor(value))
    if low > high:
        return _where_known(values, pa.array(np.zeros(len(values), dtype=bool)))
    above = pc.greater_equal(values, pa.scalar(low, values.type))
    return pc.and_kleene(above, pc.less_equal(values, pa.scalar(high, values.type)))


def _contains(lists: pa.Array, column: Column, value: Value) -> pa.BooleanArray:
    """Whether a list has an element that equals the value."""
    equal = compare(_plain(pc.list_flatten(lists)), column, "=", value).fill_null(False)
    owner = pc.list_parent_indices(lists).to_numpy()
    hit = np.zeros(len(lists), dtype=bool)
    hit[owner[equal.to_numpy(zero_copy_only=False)]] = True
    return _where_known(lists, pa.array(hit))


def _where_known(values: pa.Array, found: pa.BooleanArray) -> pa.BooleanArray:
    return pc.if_else(pc.is_valid(values), found, pa.scalar(None, pa.bool_()))
