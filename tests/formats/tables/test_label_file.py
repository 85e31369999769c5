from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.formats.tables.label_file import read_labels

IDS = NodeIds(["a", "b", "c", "d"])


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "name,kind,year,born,text\nb,x,1990,2001-02-03,12 o'clock\na,,1991,2001-02-04,\nd,y z,,,x\nc, ,5,,x\n"
    )
    table = read_labels(path, "kind", IDS, id="name", others=("year", "born", "text", "nothing"))
    assert table.to_pylist() == [
        {"id": "b", "label": "x", "year": 1990, "born": datetime.datetime(2001, 2, 3), "text": "12 o'clock"},
        {"id": "d", "label": "y z", "year": None, "born": None, "text": "x"},
    ]


def test_a_column_may_be_the_label_and_something_else_too(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,year\na,3\nb,4\n")
    table = read_labels(path, "year", IDS, others=("year",))
    assert table.to_pydict() == {"id": ["a", "b"], "label": ["3", "4"], "year": [3, 4]}


def test_integer_ids(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id,kind\n3,x\n1,y\n")
    numbers, texts = NodeIds([1, 2, 3]), NodeIds(["1", "2", "3"])
    assert read_labels(tmp_path / "labels.csv", "kind", numbers)["id"].to_pylist() == [3, 1]
    assert read_labels(tmp_path / "labels.csv", "kind", texts)["id"].to_pylist() == ["3", "1"]


def test_lists_of_labels(tmp_path: Path) -> None:
    lists = pa.array([["x", "y"], [], None, ["y"]], pa.list_(pa.string()))
    pq.write_table(pa.table({"id": ["a", "b", "c", "d"], "tags": lists}), tmp_path / "labels.parquet")
    (tmp_path / "labels.jsonl").write_text('{"id": "a", "tags": ["x", "y"]}\n{"id": "d", "tags": ["y"]}\n')
    expected = {"id": ["a", "d"], "label": [["x", "y"], ["y"]]}
    assert read_labels(tmp_path / "labels.parquet", "tags", IDS).to_pydict() == expected
    assert read_labels(tmp_path / "labels.jsonl", "tags", IDS).to_pydict() == expected


def test_numbers(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id,price\na, 3\nb,-1e2\nc,\nd,nan\n")
    expected = {"id": ["a", "b"], "label": [3.0, -100.0]}
    assert read_labels(tmp_path / "labels.csv", "price", IDS, numbers=True).to_pydict() == expected
    for column in (pa.array([3, -100, None]), pa.array([3.0, -100.0, float("nan")], pa.float32())):
        pq.write_table(pa.table({"id": ["a", "b", "c"], "price": column}), tmp_path / "labels.parquet")
        assert read_labels(tmp_path / "labels.parquet", "price", IDS, numbers=True).to_pydict() == expected
    pq.write_table(pa.table({"id": ["a"], "price": [[3.0]]}), tmp_path / "labels.parquet")
    with pytest.raises(InputError, match="column price: expected numbers, got list"):
        read_labels(tmp_path / "labels.parquet", "price", IDS, numbers=True)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"id,kind\na,x\n", {"label": "kinds"}, "missing column 'kinds'; found columns: id, kind"),
        (b"id,kind\na,x\nz,y\n", {}, "column id: 1 unknown ids: 'z'"),
        (b"id,kind\na,x\na,y\n", {}, "column id: 1 duplicate ids: 'a'"),
        (b"id,kind\na,x\n,y\n", {}, "column id: missing id in row 1"),
        (
            b"id,kind\na,1\nb,\nc,2 EUR\nd,x\n",
            {"numbers": True},
            "kind: expected a finite number, got '2 EUR' for id 'c'",
        ),
        (b"id,kind\na,1\nb,-inf\n", {"numbers": True}, "expected a finite number, got '-inf' for id 'b'"),
        (b"id,kind\n", {}, "expected at least one row, got none"),
        (b"", {}, "the file is empty"),
        (b"id,kind\na,x\nb,\xff\n", {}, "row 2: column kind: expected UTF-8, got byte 0xff"),
    ],
)
def test_bad_input(tmp_path: Path, content: bytes, options: dict[str, Any], message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_labels(path, **{"label": "kind", "node_ids": IDS, **options})
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
