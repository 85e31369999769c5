from __future__ import annotations

import json
import re
from pathlib import Path

from mmgraph.formats.tables import import_tables
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.guess import guess_mapping
from mmgraph.report.data_report import DataReport, report_on_import, text_tables, write_data_report
from mmgraph.testing.shops import DEFECTS, make_shop


def report(folder: Path, *, defects: tuple[str, ...] = ()) -> DataReport:
    make_shop(folder, defects=defects)
    collected = Defects("quarantine")
    return report_on_import(import_tables(folder, guess_mapping(folder, collected), defects=collected))


def test_the_page_tells_what_was_set_aside(tmp_path: Path) -> None:
    found = report(tmp_path / "shop", defects=DEFECTS)
    page = write_data_report(found, tmp_path / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "16 nodes" in text
    assert "11 things were set aside" in text
    assert "50 megapixels, the limit is 40" in text
    assert "3 ids hold slashes" not in text
    assert "2 ids hold slashes, line breaks or other control characters" in text
    for kind in found.defects:
        assert f"{found.defects[kind]}" in text
    assert 'src="http' not in page
    assert page.count("<table>") == page.count("</table>")


def test_a_clean_shop_has_nothing_set_aside(tmp_path: Path) -> None:
    found = report(tmp_path / "shop")
    page = write_data_report(found, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Nothing had to be set aside" in page
    assert found.labels == {"category": {"labelled": 6, "classes": 2, "largest": "a (3)"}}
    assert found.image_size["width"].median == 16
    tables = {title: (columns, rows) for title, columns, rows in text_tables(found)}
    assert tables["nodes"][1] == [["product", 6, 0, 2, 3, 3], ["user", 3, 0, 1, 2, 2]]
    assert [row[0] for row in tables["tables"][1]] == ["products.csv", "also_bought.tsv", "ratings.jsonl"]
    assert "set aside" not in tables
    json.dumps(found.to_dict())


def test_names_from_the_data_cannot_inject_markup(tmp_path: Path) -> None:
    folder = make_shop(tmp_path / "shop")
    (folder / "products.csv").write_text("sku,title\n<script>alert(1)</script>,x\n<script>alert(1)</script>,y\np1,z\n")
    for name in ("also_bought.tsv", "ratings.jsonl"):
        (folder / name).unlink()
    defects = Defects("quarantine")
    found = report_on_import(import_tables(folder, guess_mapping(folder, defects), defects=defects))
    page = write_data_report(found, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
