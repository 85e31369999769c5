"""What holds for the files of the page, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[2] / "mmgraph" / "serve" / "static"
FILES = sorted(STATIC.iterdir())
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|\beval\(|new Function"
)
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_short_and_need_nobody_else(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 300
    assert re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]+", text.replace(NAMESPACE, "")) == []


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".js"], ids=lambda path: path.name)
def test_data_never_becomes_markup(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert MARKUP.findall(text) == []
    for name in re.findall(r'from "\./([^"]+)"', text):
        assert (STATIC / name).is_file(), name


def test_page_needs_nothing_inline() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert "<style" not in page
    assert not re.search(r"\s(style|on\w+)=", page)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))
    for name in re.findall(r'"static/([^"]+)"', page):
        assert (STATIC / name).is_file(), name
