"""Writing one RecBole atomic file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.errors import InputError


def format_atomic(table: pa.Table, *, where: str) -> bytes:
    """Write an atomic file.

    Args:
        table: A column per field, of types that `field_type` knows.
        where: Named in errors.

    Raises:
        InputError: If a value cannot be held: a tab or line break in a token, a blank in an element of a sequence,
            an empty token, a number that is not finite.
    """
    types = {name: field_type(table[name].type) or "token" for name in table.column_names}
    for name in types:
        if re.search(r"[\t\r\n:]", name) or not name:
            raise InputError(f"{where}: a field cannot be named {name!r}")
    cells = [_cells(table[name].to_pylist(), kind, f"{where}, field {name!r}") for name, kind in types.items()]
    lines = ["\t".join(f"{name}:{kind}" for name, kind in types.items())]
    lines += ["\t".join(row) for row in zip(*cells, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def field_type(column: pa.DataType) -> str | None:
    """Type of the field that holds a column; `None` if there is none."""
    if pa.types.is_list(column) or pa.types.is_large_list(column):
        inner = field_type(column.value_type)
        return f"{inner}_seq" if inner in ("token", "float") else None
    if pa.types.is_string(column) or pa.types.is_large_string(column):
        return "token"
    return "float" if pa.types.is_integer(column) or pa.types.is_floating(column) else None


def _cells(values: Sequence[Any], kind: str, where: str) -> Iterable[str]:
    one: Callable[[Any, str], str] = _token if kind.startswith("token") else _number
    if not kind.endswith("_seq"):
        return ["" if value is None else one(value, where) for value in values]
    return [" ".join(_element(one(item, where), where) for item in value or ()) for value in values]


def _token(value: Any, where: str) -> str:
    if not value or re.search(r"[\t\r\n]", value):
        raise InputError(f"{where}: a token can neither be empty nor hold a tab or a line break, got {value!r}")
    return str(value)


def _element(cell: str, where: str) -> str:
    if " " in cell:
        raise InputError(f"{where}: an element of a sequence cannot hold a blank, got {cell!r}")
    return cell


def _number(value: Any, where: str) -> str:
    if value is None or not np.isfinite(value):
        raise InputError(f"{where}: expected a finite number, got {value!r}")
    return repr(value)
