from __future__ import annotations

import html

import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mmgraph.sharing.markdown import Markdown, code, escape, fenced, front_matter, number, quoted, table

TEXT = st.text(alphabet=st.sampled_from("ab `|<>&*_[]#\n\\~$"), max_size=20)


@given(TEXT)
def test_a_cell_stays_one_cell(text: str) -> None:
    markdown = MarkdownIt("commonmark").enable("table")
    for cell in (text, Markdown(code(text))):
        page = markdown.render(table(["name", "second"], [[cell, "end"]]))
        assert page.count("<td") == 2
        assert "<td>end</td>" in page


@given(TEXT)
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    render = MarkdownIt("commonmark").render
    page = html.unescape(render(f"x{escape(text)}x"))
    shown = " ".join(text.split())
    assert page == f"<p>x{shown}x</p>\n"


@given(TEXT)
def test_a_fence_cannot_be_closed_from_inside(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(fenced(text, "yaml"))
    assert [token.type for token in tokens] == ["fence"]
    assert tokens[0].content.strip() == text.strip()


def test_front_matter_leaves_out_what_is_unknown() -> None:
    text = front_matter({"license": "mit", "metrics": [], "language": None, "name": "a: b"})
    assert text.startswith("---\n")
    assert text.endswith("\n---\n")
    assert yaml.safe_load(text.split("---\n")[1]) == {"license": "mit", "name": "a: b"}


def test_numbers_are_aligned_and_readable() -> None:
    assert [number(x) for x in (0.5, 12345, 3.0, 1234.56, 0)] == ["0.5000", "12,345", "3", "1,234.6", "0"]
    assert table(["a", "b"], [["x", 1], ["y", ""]]).splitlines()[1] == "|---|---:|"


def test_quotations_have_no_headings_and_no_html() -> None:
    assert quoted("# Title\n\n<b>bold</b>\n") == "> Title\n>\n> &lt;b>bold&lt;/b>"
