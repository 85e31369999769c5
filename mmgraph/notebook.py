"""Small HTML tables for notebooks. Everything that comes from data is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice
from numbers import Integral, Real

MAX_ROWS = 20
MAX_CHARACTERS = 80


def html_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    total: int | None = None,
    thousands: bool = False,
) -> str:
    """A table of at most twenty rows, with cells of at most 80 characters.

    Args:
        caption: Stands above it.
        columns: Names of the columns.
        rows: Only as many are read as are shown.
        total: Number of all rows, to say how many are left out.
        thousands: Separate thousands; not for ids and years.
    """
    shown = [list(row) for row in islice(rows, MAX_ROWS)]
    if thousands:
        shown = [[f"{cell:,}" if _is_whole(cell) else cell for cell in row] for row in shown]
    head = "".join(f'<th style="text-align: left">{_cell(column)}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(map(_data, row))}</tr>" for row in shown)
    rest = (len(shown) if total is None else total) - len(shown)
    more = f'<tr><td colspan="{len(columns)}">and {rest:,} more</td></tr>' if rest > 0 else ""
    return (
        f'<table><caption style="text-align: left; font-weight: bold">{_cell(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}{more}</tbody></table>"
    )


def counts_html(
    caption: str, node_types: Mapping[str, int], relations: Mapping[str, object], modalities: Mapping[str, str]
) -> str:
    """A graph in numbers: nodes by type, edges by relation, and what is known of its modalities."""
    rows: list[tuple[str, str, object]] = [("nodes", name, count) for name, count in node_types.items()]
    rows += [("edges", name, count) for name, count in relations.items()]
    rows += [("modality", name, text) for name, text in modalities.items()]
    return html_table(caption, ["what", "name", "count"], rows, total=len(rows), thousands=True)


def _data(value: object) -> str:
    numeric = isinstance(value, Real) and not isinstance(value, bool)
    return f'<td style="text-align: {"right" if numeric else "left"}">{_cell(value)}</td>'


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{float(value):.4g}"
    text = str(value)
    return escape(text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…")
