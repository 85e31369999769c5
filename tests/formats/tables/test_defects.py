from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mmgraph.errors import InputError
from mmgraph.formats.tables import defects as module
from mmgraph.formats.tables.defects import Defects


def test_the_first_kind_is_told_and_the_others_counted() -> None:
    defects = Defects()
    defects.check()
    defects.add("duplicate-id", "n.csv", "duplicate id 'a'", row=3, id="a")
    with pytest.raises(InputError, match=r"^n\.csv, row 3: duplicate id 'a'$"):
        defects.check()
    defects.add("duplicate-id", "n.csv", "duplicate id 'b'", row=5, id="b")
    defects.add("bad-row", "e.csv", "expected 3 columns, got 2", row=1)
    with pytest.raises(
        InputError, match=r"^n\.csv: 2 duplicate ids: 'a', 'b' \(first in row 3\); and 1 defects of other"
    ):
        defects.check()
    assert defects.by_kind() == {"bad-row": 1, "duplicate-id": 2}
    assert len(defects) == 3
    assert defects.lines()[0] == "e.csv, row 1: expected 3 columns, got 2"


def test_what_is_set_aside_is_no_error() -> None:
    images = Defects()
    images.add("broken-image", "n.csv", "x.png: not readable", row=1, id="a")
    images.check()  # images never stop an import
    tolerant = Defects(tolerated=("dangling-edge",))
    tolerant.add("dangling-edge", "e.csv", "no node has the id 'x'", row=1, id="x")
    tolerant.check()
    tolerant.add("bad-row", "e.csv", "expected 3 columns, got 2", row=2)
    with pytest.raises(InputError, match="expected 3 columns"):
        tolerant.check()
    everything = Defects("quarantine")
    everything.add("bad-row", "e.csv", "expected 3 columns, got 2", row=2)
    everything.check()
    with pytest.raises(InputError, match="unknown on_defect 'ignore'; choose from: "):
        Defects("ignore")  # type: ignore[arg-type]


def test_only_so_many_are_listed_but_all_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTED", 3)
    defects = Defects("quarantine")
    for row in range(1, 6):
        defects.add("dangling-edge", "e.csv", f"no node has the id 'x{row}'", row=row, id=f"x{row}")
    defects.count("dangling-edge", "e.csv", 10)
    with defects.muted():
        defects.add("bad-row", "e.csv", "not noted")
        defects.count("bad-row", "e.csv", 5)
    assert len(list(defects)) == 3
    assert len(defects) == 15
    assert defects.lines() == ["e.csv: 15 edges name ids that are no nodes: 'x1', 'x2', 'x3' (first in row 1)"]
    defects.write(tmp_path / "q.csv")
    rows = list(csv.reader((tmp_path / "q.csv").open(encoding="utf-8")))
    assert rows[0] == ["kind", "file", "row", "id", "detail"]
    assert rows[1] == ["dangling-edge", "e.csv", "1", "x1", "no node has the id 'x1'"]
    assert rows[-1] == ["dangling-edge", "e.csv", "", "", "and 12 more"]
