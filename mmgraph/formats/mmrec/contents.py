"""MMRec's files: tables with tabs, matrices with one row per item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from mmgraph.data.arrays import load_npy
from mmgraph.data.ids import as_ids
from mmgraph.errors import InputError, first_few

USER, ITEM, RATING, TIME, LABEL = "userID", "itemID", "rating", "timestamp", "x_label"
MISSED_IMAGES = "missed_img_itemIDs.csv"
"""Numbers of the items without an image: MMRec's preparation fills their rows with the mean of the others."""

Absent = Literal["zero", "mean", "none"]
ABSENT: tuple[Absent, ...] = ("zero", "mean", "none")
"""Which rows of features stand for items that lack them."""

IdKind = Literal["string", "integer", "prefixed"]
ID_KINDS: tuple[IdKind, ...] = ("string", "integer", "prefixed")
"""Ids are text, or integers, or text that starts with the type of the node and a colon."""


@dataclass(frozen=True)
class MappingFile:
    """The file that says which raw id each number stands for.

    Attributes:
        name: Name of the file.
        raw: Column of raw ids, as MMRec calls it; readers accept any name.
        number: Column of numbers.
    """

    name: str
    raw: str
    number: str


USERS = MappingFile("u_id_mapping.csv", "user_id", USER)
ITEMS = MappingFile("i_id_mapping.csv", "asin", ITEM)


def read_table(path: Path, types: dict[str, pa.DataType], *, optional: Sequence[str] = ()) -> pa.Table:
    """Read a table with a header and tabs (or commas, if the header has no tab).

    Args:
        path: The file.
        types: Types of columns; others are read as text.
        optional: Which of them may be missing.

    Raises:
        InputError: If the file cannot be read, or lacks a column.
    """
    try:
        with open(path, encoding="utf-8") as file:
            header = file.readline()
        table = pa.csv.read_csv(
            path,
            parse_options=pa.csv.ParseOptions(
                delimiter="\t" if "\t" in header else ",", newlines_in_values=True, ignore_empty_lines=False
            ),
            convert_options=pa.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    missing = [name for name in types if name not in table.column_names and name not in optional]
    if missing:
        raise InputError(f"{path}: missing columns {first_few(missing)}; got {first_few(table.column_names, 10)}")
    return table


def read_mapping(folder: Path, mapping: MappingFile, kind: IdKind) -> np.ndarray:
    """Raw ids in the order of their numbers.

    Raises:
        InputError: If the file is missing, or the numbers are not 0, 1, 2, ... each once.
    """
    path = folder / mapping.name
    if not path.is_file():
        raise InputError(
            f"{path}: file not found; without it nobody knows what the numbers in {mapping.number!r} and the rows of "
            "features stand for"
        )
    names = read_table(path, {mapping.number: pa.int64()}).column_names
    raw = [name for name in names if name != mapping.number]
    if len(raw) != 1:
        raise InputError(
            f"{path}: expected two columns, {mapping.raw!r} and {mapping.number!r}, got {first_few(names)}"
        )
    ids = pa.int64() if kind == "integer" else pa.string()
    table = read_table(path, {mapping.number: pa.int64(), raw[0]: ids})
    table = table.sort_by(mapping.number)
    numbers = table[mapping.number]
    if numbers.null_count or not np.array_equal(numbers.to_numpy(), np.arange(len(numbers))):
        found = numbers.to_pylist()
        wrong = next((row for row, number in enumerate(found) if row != number), 0)
        raise InputError(
            f"{path}: expected the numbers 0..{len(found) - 1} once each in {mapping.number!r}, "
            f"number {wrong} is missing or there twice"
        )
    return as_ids(table[raw[0]], where=f"{path}, column {raw[0]!r}")


def read_interactions(path: Path, num_users: int, num_items: int) -> pa.Table:
    """Columns `userID`, `itemID` and `x_label` as int64, `rating` as float64, `timestamp` as int64 or float64.

    Raises:
        InputError: If a column is missing, a number has no id, or a label is none of 0, 1 and 2.
    """
    integers = dict.fromkeys((USER, ITEM, LABEL), pa.int64())
    table = read_table(path, {**integers, RATING: pa.float64()}, optional=(RATING,))
    if TIME in table.column_names:
        kind = table[TIME].type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)) or table[TIME].null_count:
            raise InputError(
                f"{path}, column {TIME!r}: expected a number in each row, got {kind} with {table[TIME].null_count:,} empty"
            )
    for column, count, mapping in ((USER, num_users, USERS), (ITEM, num_items, ITEMS), (LABEL, 3, None)):
        values = table[column]
        bad = pc.or_kleene(pc.less(values, 0), pc.greater_equal(values, count))
        row = pc.index(pc.fill_null(bad, True), True).as_py()
        if row >= 0:
            why = f", as in {mapping.name}" if mapping else " (train, valid, test)"
            raise InputError(
                f"{path}, column {column!r}: expected 0..{count - 1}{why}, got {values[row]} in row {row + 1}"
            )
    return table.select([name for name in (USER, ITEM, RATING, TIME, LABEL) if name in table.column_names])


def read_matrix(path: Path, num_items: int) -> np.ndarray:
    """Features of items `[num_items, dim]`.

    Raises:
        InputError: If the file is no array of floating point numbers with one row per item; pickles are refused.
    """
    values = load_npy(path)
    if values.ndim != 2 or values.dtype.kind != "f":
        raise InputError(
            f"{path}: expected floating point numbers [num_items, dim], got {values.dtype} {list(values.shape)}"
        )
    if len(values) != num_items:
        raise InputError(
            f"{path}: expected one row for each of the {num_items:,} items of {ITEMS.name}, got {len(values):,} rows"
        )
    return values.astype(values.dtype.newbyteorder("="))


def read_missed(path: Path, num_items: int) -> np.ndarray:
    """Which items have no image, `[num_items]`, bool: one number a line, no header.

    Raises:
        InputError: If a line is no number of an item.
    """
    missed = np.zeros(num_items, dtype=bool)
    for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not text.strip().isdecimal() or int(text) >= num_items:
            raise InputError(f"{path}, line {line}: expected the number of an item, 0..{num_items - 1}, got {text!r}")
        missed[int(text)] = True
    return missed
