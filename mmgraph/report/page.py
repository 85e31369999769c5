"""Pages from templates: one style, one set of filters, everything inside of one file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from mmgraph.errors import require
from mmgraph.report.tables import label


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render a template of this package.

    Args:
        template: Name of the file.
        context: What the template names; a name that is missing is an error.
    """
    jinja2 = require("jinja2", extra="demo")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(count=_count, number=_number, seconds=_seconds, percent=_percent, label=label)
    page: str = environment.from_string(_read(template)).render(style=_read("style.css"), **context)
    return page


def _read(name: str) -> str:
    return (resources.files("mmgraph.report") / name).read_text(encoding="utf-8")


def _count(value: float) -> str:
    return f"{value:,}"


def _number(value: float) -> str:
    """A quantity of any size with about three digits: `0.42`, `17`, `1,234`."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)} min {value % 60:.0f} s"
