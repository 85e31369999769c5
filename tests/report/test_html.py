from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mmgraph.errors import InputError
from mmgraph.report.html import write_report

VOID = {"meta", "img", "br", "line", "polyline", "input", "hr", "link"}


class _Page(HTMLParser):
    """Checks nesting and collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _edit(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    path = folder / "results" / f"{name}.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_the_page_is_whole_and_self_contained(demo_folder: Path) -> None:
    path = write_report(demo_folder)
    text = path.read_text()
    page = _Page(text)
    assert path == demo_folder / "report.html"
    for tag, attrs in page.elements:
        for name in ("src", "href", "xlink:href"):
            if attrs.get(name) is not None:
                assert str(attrs[name]).startswith(("data:", "#")), (tag, attrs[name])
        assert tag != "link"
    assert not re.search(r"url\(|@import", text)
    assert len(text) < 6_000_000


def test_accessible(demo_folder: Path) -> None:
    elements = _Page(write_report(demo_folder).read_text()).elements
    assert [attrs.get("lang") for tag, attrs in elements if tag == "html"] == ["en"]
    assert all("alt" in attrs for tag, attrs in elements if tag == "img")
    assert all(attrs.get("scope") in ("row", "col") for tag, attrs in elements if tag == "th")
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for tag, attrs in elements if tag == "svg")
    ids = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [str(attrs["href"])[1:] for tag, attrs in elements if tag == "a"]
    assert links
    assert set(links) <= set(ids)
    levels = [int(tag[1]) for tag, _ in elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_number_of_the_evaluation_is_shown(demo_folder: Path) -> None:
    text = _Page(write_report(demo_folder).read_text()).text
    for record in json.loads((demo_folder / "results" / "evaluation.json").read_text()):
        for value in record["metrics"].values():
            assert (f"{value:.1f}" if value >= 10 else f"{value:.3f}") in text


def test_names_are_escaped(demo_folder: Path) -> None:
    def poison(value: Any) -> None:
        value["names"][0] = "</script><script>alert(1)</script>"

    _edit(demo_folder, "map", poison)
    _edit(demo_folder, "recommendations", lambda v: v["users"][0].update(history=["<img src=x>"]))
    text = write_report(demo_folder).read_text()
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert "&lt;img src=x&gt;" in text
    names = re.search(r'<script type="application/json" id="names">(.*?)</script>', text, re.DOTALL)
    assert names is not None
    assert "</script><script>alert(1)</script>" in {entry[2] for entry in json.loads(names[1])}


@pytest.mark.parametrize("name", ["summary", "graphs", "evaluation", "experts", "map", "neighbours", "recommendations"])
def test_a_missing_result_is_an_error(demo_folder: Path, name: str) -> None:
    path = demo_folder / "results" / f"{name}.json"
    path.unlink()
    with pytest.raises(InputError, match=re.escape(f"{path}: file not found")):
        write_report(demo_folder)
    assert not (demo_folder / "report.html").exists()


def test_missing_metrics_and_pictures_are_errors(demo_folder: Path) -> None:
    picture = demo_folder / "pictures" / "3.png"
    content = picture.read_bytes()
    picture.unlink()
    with pytest.raises(InputError, match=r"3\.png: file not found"):
        write_report(demo_folder)
    picture.write_bytes(content[:40])
    with pytest.raises(InputError, match=r"3\.png: expected a picture"):
        write_report(demo_folder)
    picture.write_bytes(content)
    (demo_folder / "runs" / "joint" / "metrics.jsonl").unlink()
    with pytest.raises(InputError, match=r"joint.metrics\.jsonl: file not found"):
        write_report(demo_folder)


def test_a_missing_key_is_an_error(demo_folder: Path) -> None:
    _edit(demo_folder, "evaluation", lambda rows: rows[2].pop("model"))
    with pytest.raises(InputError, match=r"evaluation\.json, entry 2: missing key 'model'"):
        write_report(demo_folder)


def test_an_empty_result_is_an_error(demo_folder: Path) -> None:
    _edit(demo_folder, "evaluation", lambda rows: rows.clear())
    with pytest.raises(InputError, match=r"evaluation\.json: expected a list that is not empty"):
        write_report(demo_folder)
