"""Cells of tables: one representation per kind of value, guessed types for text files, valid Unicode."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Without leading zeros, plus signs and spaces: reading and printing such a number gives the same text again.
_INTEGER = r"^(0|-?[1-9][0-9]{0,18})$"
_NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
_LEADING_ZERO = r"^[-+]?0[0-9]"

# Exactly what Arrow can cast, days of each month and leap years included, so that a cast of what matches cannot fail.
_DATE = (
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3])(?::[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?)?"
_ZONE = r"(?:Z|[-+](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_MOMENT = rf"^{_DATE}(?:[T ]{_CLOCK}{_ZONE}?)?$"
_ZONED = rf"[T ]{_CLOCK}{_ZONE}$"


def plain(table: pa.Table) -> pa.Table:
    """Undo encodings that different writers choose for the same values."""
    columns = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
            column = column.cast(pa.string())
        if pa.types.is_large_binary(column.type) or pa.types.is_binary_view(column.type):
            column = column.cast(pa.binary())
        columns.append(column)
    return pa.table(columns, names=table.column_names)


def decode(column: pa.ChunkedArray, on_bad: Callable[[int, str], None]) -> pa.ChunkedArray:
    """Turn bytes, or strings that nobody has checked, into valid strings; a cell that is no UTF-8 becomes null.

    Args:
        column: Binary or string column.
        on_bad: Told the position and what is wrong with it.
    """
    if pa.types.is_string(column.type):
        column = column.cast(pa.binary())
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        cells: list[str | None] = []
        for row, value in enumerate(column.to_pylist()):
            try:
                cells.append(None if value is None else value.decode())
            except UnicodeDecodeError as error:
                on_bad(row, f"expected UTF-8, got byte 0x{value[error.start]:02x}")
                cells.append(None)
        return pa.chunked_array([pa.array(cells, pa.string())])


def guess_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turn strings into integers or floats if *all* of them are; "007" stays a string, null stays null."""
    if not pa.types.is_string(column.type) or column.null_count == len(column):
        return column
    if is_integers(column):
        return column.cast(pa.int64())
    return column.cast(pa.float64()) if pc.all(is_number(column)).as_py() else column


def is_number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which strings print a number without leading zeros; null where there is none."""
    return pc.and_not(pc.match_substring_regex(column, _NUMBER), pc.match_substring_regex(column, _LEADING_ZERO))


def is_integers(column: pa.ChunkedArray) -> bool:
    """Whether every string prints an integer of 64 bits without leading zeros."""
    if not pc.all(pc.match_substring_regex(column, _INTEGER), min_count=0).as_py():
        return False
    try:
        column.cast(pa.int64())
    except pa.ArrowInvalid:  # 19 digits, but more than 64 bits
        return False
    return True


def is_numeric(kind: pa.DataType) -> bool:
    """Whether values of a type can be an attribute of edges: numbers, booleans, moments, or lists of equal length."""
    if pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, is_moment)
    return any(test(kind) for test in tests)


def is_moment(kind: pa.DataType) -> bool:
    """Whether a type holds dates or points in time."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def prints_moment(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which strings print a date, or a date and a time with or without a zone, by ISO 8601; null where there is none."""
    return pc.match_substring_regex(column, _MOMENT)


def moments(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Read strings as dates or times by ISO 8601; `None` if some are not.

    If some cells name a zone, those without one are taken for UTC.
    """
    for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC")):  # fast, if all cells are alike
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            pass
    if not pc.all(prints_moment(column), min_count=0).as_py():
        return None
    column = pc.replace_substring_regex(column, r"(\.[0-9]{6})[0-9]+", r"\1")  # no finer than microseconds
    zoned = pc.match_substring_regex(column, _ZONED)
    nothing = pa.scalar(None, pa.string())
    utc = pc.if_else(zoned, column, nothing).cast(pa.timestamp("us", tz="UTC"))
    local = pc.if_else(zoned, nothing, column).cast(pa.timestamp("us"))
    return pc.coalesce(utc, local.cast(pa.timestamp("us", tz="UTC"))) if pc.any(zoned).as_py() else local


def blank_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null for strings without a visible character."""
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), pa.scalar(None, pa.string()), column)


def first_occurrences(column: pa.ChunkedArray) -> np.ndarray:
    """Which cells hold a value that no cell before them holds, `[len(column)]`, bool."""
    codes = np.asarray(column.combine_chunks().dictionary_encode().indices)
    first = np.zeros(len(codes), dtype=bool)
    first[np.unique(codes, return_index=True)[1]] = True
    return first
