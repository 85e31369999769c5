"""Csv, tsv, jsonl and parquet: the same table, the same cells; every kind of broken row is told by its number."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.errors import InputError
from mmgraph.formats.tables.cells import decode
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.source import TableError, TableSource, open_source
from mmgraph.table_limit import LIMIT_VARIABLE

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=6)
ROWS = st.lists(st.tuples(CELLS, CELLS), max_size=8)


def read(source: TableSource) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for table in source.batches():
        columns = {}
        for name in table.column_names:
            column = table[name]
            columns[name] = decode(column, lambda *_: None) if pa.types.is_binary(column.type) else column
        rows += pa.table(columns).to_pylist()
    return rows


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        pq.write_table(
            pa.table(
                {"a": [r[0] or None for r in rows], "b": [r[1] or None for r in rows]},
                schema=pa.schema([("a", pa.string()), ("b", pa.string())]),
            ),
            path,
        )
        return path
    text = io.StringIO(newline="")
    if name.endswith(".jsonl"):
        text.writelines(json.dumps({"a": a or None, "b": b or None}) + "\n" for a, b in rows)
    else:
        writer = csv.writer(text, delimiter="\t" if name.endswith(".tsv") else ",")
        writer.writerows([("a", "b"), *rows])
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".jsonl.gz"])
@given(rows=ROWS)
@settings(max_examples=15, deadline=None)
def test_every_format_gives_the_same_cells(
    tmp_path_factory: pytest.TempPathFactory, ending: str, rows: list[tuple[str, str]]
) -> None:
    defects = Defects()
    rows = [("x", "y"), *rows]  # the first row of jsonl names its columns and their types
    source = open_source(write(tmp_path_factory.mktemp("t") / f"t{ending}", rows), defects)
    assert source.names == ["a", "b"]
    assert read(source) == [{"a": a or None, "b": b or None} for a, b in rows]
    assert source.count_rows() == len(rows)
    assert len(defects) == 0


def test_rows_of_another_width_are_left_out_and_numbers_stay_right(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,x\na,1\nb\n"c\nd",2\n1,2,3\ne,5\n')
    defects = Defects("quarantine")
    source = open_source(path, defects)
    assert [row["id"] for row in read(source)] == ["a", "c\nd", "e"]
    assert [str(d) for d in defects] == [
        f"{path}, row 2: expected 2 columns, got 1",
        f"{path}, row 4: expected 2 columns, got 3",
    ]
    assert [source.row_number(i) for i in range(3)] == [1, 3, 5]
    source.count_rows()
    assert len(defects) == 2  # reading it once more notes nothing anew


def test_a_semicolon_is_found_and_a_delimiter_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id;text\na;b, c\n")
    assert read(open_source(tmp_path / "t.csv", Defects())) == [{"id": "a", "text": "b, c"}]
    (tmp_path / "p.csv").write_text("id|text\na|b\n")
    assert read(open_source(tmp_path / "p.csv", Defects(), delimiter="|")) == [{"id": "a", "text": "b"}]


def test_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("id,text\na,Käse\n".encode("latin-1"))
    assert read(open_source(path, Defects(), encoding="latin-1")) == [{"id": "a", "text": "Käse"}]
    path.write_bytes("id,text\na,Käse\n".encode("utf-16"))
    with pytest.raises(TableError, match="the header is no utf-8: .*; it looks like utf-16: save it as utf-8"):
        open_source(path, Defects())
    assert read(open_source(path, Defects(), encoding="utf-16")) == [{"id": "a", "text": "Käse"}]
    with pytest.raises(InputError, match="unknown encoding 'utf-9'"):
        open_source(path, Defects(), encoding="utf-9")


def test_cells_that_are_no_text_are_missing_and_told(tmp_path: Path) -> None:
    told: list[tuple[int, str]] = []
    column = decode(
        pa.chunked_array([pa.array([b"a", b"\xff", None, b"c"])]), lambda row, what: told.append((row, what))
    )
    assert column.to_pylist() == ["a", None, None, "c"]
    assert told == [(1, "expected UTF-8, got byte 0xff")]
    # A parquet file can hold bytes that are no text in a column of strings.
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pq.write_table(pa.table({"a": bad}), tmp_path / "t.parquet")
    batch = next(iter(open_source(tmp_path / "t.parquet", Defects()).batches()))
    told.clear()
    assert decode(batch["a"], lambda row, what: told.append((row, what))).to_pylist() == [None]
    assert told == [(0, "expected UTF-8, got byte 0xff")]


def test_what_jsonl_can_say(tmp_path: Path) -> None:
    lines = [
        {"id": None, "n": None},
        {"id": "a", "n": 1, "tags": ["x", "y"], "ok": True, "more": {"b": [1], "a": 2}},
        {"id": "b", "n": 2.5, "tags": [], "ok": None, "nested": [[1], [2]]},
        {"id": 3, "n": "4", "tags": ["z", 5], "ok": 1},
        {"id": "d", "n": 2**70},
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n[1]\n{\n")
    with open(path, "ab") as file:
        file.write(b'{"id": "\xff"}\n')
    defects = Defects("quarantine")
    source = open_source(path, defects)
    rows = read(source)
    assert [row["id"] for row in rows] == [None, "a", "b", None, "d"]
    assert [row["n"] for row in rows] == [None, 1.0, 2.5, None, float(2**70)]
    assert [row["tags"] for row in rows] == [None, ["x", "y"], [], None, None]
    assert [row["ok"] for row in rows] == [None, True, None, None, None]
    assert rows[1]["more"] == '{"a": 2, "b": [1]}'
    assert rows[2]["nested"] == "[[1], [2]]"
    assert source.holds_text("id")
    assert not source.holds_text("n")
    assert [f"{d.row}: {d.detail}" for d in defects] == [
        "7: expected a JSON object, got list",
        "8: expected a JSON object, got: Expecting property name enclosed in double quotes",
        "9: expected utf-8, got byte 0xff",
        "4: column id: expected strings as in the rows before, got 3",
        '4: column n: expected numbers as in the rows before, got "4"',
        '4: column tags: expected lists of strings as in the rows before, got ["z", 5]',
        "4: column ok: expected true or false as in the rows before, got 1",
    ]


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("t.csv", b"", "empty-file", "t.csv: the file is empty"),
        ("t.parquet", b"x", "unreadable-file", "t.parquet: cannot be read: "),
        ("t.csv", b"a,a\n1,2\n", "unreadable-file", "t.csv: duplicate columns 'a'"),
        ("t.xlsx", b"x", None, "t.xlsx: unknown ending of a table '.xlsx'; choose from: "),
        ("t.csv.gz", b"no gzip", "unreadable-file", "t.csv.gz: cannot be read: "),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, content: bytes, kind: str | None, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        open_source(tmp_path / name, Defects())
    assert str(error.value).startswith(f"{tmp_path}/{message}")
    assert "\n" not in str(error.value)
    assert getattr(error.value, "kind", None) == kind


@pytest.mark.parametrize("ending", [".csv.gz", ".jsonl.gz"])
def test_what_unpacks_to_more_than_the_limit_is_refused(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / f"t{ending}", [("a" * 10_000, "b")] * 2_000)
    assert path.stat().st_size < 200_000
    assert len(read(open_source(path, Defects()))) == 2_000
    monkeypatch.setenv(LIMIT_VARIABLE, "1000000")
    with pytest.raises(TableError, match=f"cannot be read: expected a table .* at most 1,000,000 .*{LIMIT_VARIABLE}"):
        read(open_source(path, Defects()))
    plain = write(tmp_path / f"t{ending}".removesuffix(".gz"), [("a" * 10_000, "b")] * 2_000)
    assert len(read(open_source(plain, Defects()))) == 2_000  # as large as it looks


def test_no_file_and_no_column(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"t\.csv: file not found$"):
        open_source(tmp_path / "t.csv", Defects())
    with pytest.raises(TableError, match="expected a file, found a folder"):
        open_source(tmp_path, Defects())
    (tmp_path / "t.csv").write_text("id,x\n")
    with pytest.raises(TableError, match=r"t\.csv: missing column 'y'; found columns: id, x") as error:
        list(open_source(tmp_path / "t.csv", Defects()).batches(["y"]))
    assert error.value.kind == "missing-column"
