"""Results on standard output, notes on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from mmgraph.errors import visible


def write_line(text: str) -> None:
    """Write one line to standard output."""
    sys.stdout.write(f"{visible(text)}\n")


def note(text: str) -> None:
    """Write one line to standard error, where progress goes."""
    sys.stderr.write(f"{visible(text)}\n")


def write_json_line(value: Any) -> None:
    """Write a value as one line of JSON to standard output."""
    sys.stdout.write(visible(json.dumps(value, ensure_ascii=False), form=r"\u{:04x}") + "\n")


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Write a table to standard output; numbers are right-aligned, long cells are folded, never cut."""
    body = [list(row) for row in rows]
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = bool(body) and all(isinstance(row[index], (int, float)) or row[index] == "" for row in body)
        table.add_column(visible(column), justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(_text(cell) for cell in row))
    # Outside a terminal rich would assume 80 columns and fold everything.
    console = Console(file=sys.stdout, highlight=False, markup=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.4f}"
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return visible(str(cell))


def human_bytes(count: int) -> str:
    """Format a number of bytes, for example `12.3 MB`."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
