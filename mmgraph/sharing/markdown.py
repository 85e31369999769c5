"""The few pieces of Markdown that cards are made of; whatever comes from data is escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

NOT_MEASURED = "Not measured."


def front_matter(values: Mapping[str, Any]) -> str:
    """YAML between two lines of dashes, as hubs read it; keys without a value are left out."""
    kept = {key: value for key, value in values.items() if value not in (None, [], {})}
    return f"---\n{yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)}---\n"


def escape(text: object) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", line)


def code(text: object) -> str:
    """Text as inline code; backticks and pipes cannot end it."""
    line = re.sub(r"\s+", " ", str(text)).strip().replace("|", "¦")
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{ticks} {line} {ticks}" if "`" in line else f"`{line or ' '}`"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; numbers are right-aligned. Cells are escaped, except those that are `Markdown`."""
    body = [list(row) for row in rows]
    numeric = [bool(body) and all(_is_number(row[i]) or row[i] == "" for row in body) for i in range(len(columns))]
    lines = [
        f"| {' | '.join(escape(column) for column in columns)} |",
        f"|{'|'.join('---:' if right else '---' for right in numeric)}|",
        *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in body),
    ]
    return "\n".join(lines)


class Markdown(str):
    """Text that is Markdown already, such as what `code` makes."""


def fenced(text: str, language: str = "") -> str:
    """A block of code, whatever backticks are in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.strip()}\n{fence}"


def quoted(text: str) -> str:
    """Somebody else's text as a quotation, without HTML and without headings of its own."""
    lines = [re.sub(r"^\s*#+\s*", "", line).rstrip() for line in text.strip().splitlines()]
    return "\n".join(f"> {line.replace('<', '&lt;')}".rstrip() for line in lines)


def number(value: float) -> str:
    """Four decimals for shares, one for large values, thousands separated."""
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or (value == int(value) and abs(value) >= 2):
        return f"{int(value):,}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def _is_number(cell: object) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _cell(cell: object) -> str:
    if isinstance(cell, Markdown):
        return str(cell)
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return number(cell)
    return escape(cell)
