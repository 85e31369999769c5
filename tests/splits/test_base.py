from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmgraph.errors import InputError
from mmgraph.files import file_digest
from mmgraph.sealed import sealed_json
from mmgraph.splits.base import PARTS, Split, load_splits, save_splits
from mmgraph.splits.column_bytes import column_bytes

EDGES = {
    "source": ["b", "a", "a", "c"],
    "target": ["c", "c", "b", "d"],
    "relation": ["likes"] * 4,
    "split": ["test", "train", "valid", "unused"],
}


def edge_split(order: list[int] | None = None, **other: Any) -> Split:
    table = pa.table({**EDGES, **other})
    return Split("edge", table if order is None else table.take(pa.array(order)), "random", {"seed": 0})


def test_rows_come_into_canonical_order_and_parts_are_explicit() -> None:
    split = edge_split()
    assert split.table["source"].to_pylist() == ["a", "a", "b", "c"]
    assert split.counts == dict.fromkeys(PARTS, 1)
    assert split.part("test").to_pylist() == [{"source": "b", "target": "c", "relation": "likes", "split": "test"}]
    assert split.part("train", "valid").num_rows == 2
    assert repr(split) == "Split(edge, random: train 1, valid 1, test 1, unused 1)"
    with pytest.raises(InputError, match="unknown part of a split 'tset'"):
        split.part("tset")


def test_the_digest_depends_on_the_rows_and_not_on_their_order_or_chunks() -> None:
    split = edge_split()
    chunks = pa.concat_tables([split.table.slice(0, 1), split.table.slice(1, 2), split.table.slice(3)])
    assert edge_split([3, 1, 0, 2]).digest == split.digest
    assert Split("edge", chunks, "random", {"seed": 0}).digest == split.digest
    others = [
        Split("edge", split.table, "random", {"seed": 1}),
        Split("edge", split.table, "time", {"seed": 0}),
        edge_split(split=["test", "train", "valid", "train"]),
        edge_split(target=["c", "c", "b", "e"]),
        edge_split(negatives=[["a"], None, ["d", "b"], []]),
        edge_split(negatives=[["a"], None, ["d"], ["b"]]),
    ]
    assert len({split.digest, *(other.digest for other in others)}) == len(others) + 1


def test_bytes_of_columns_tell_missing_cells_and_boundaries_apart() -> None:
    columns = [
        pa.array(["ab", "c"]),
        pa.array(["a", "bc"]),
        pa.array(["abc", ""]),
        pa.array(["abc", None]),
        pa.array([1, 0]),
        pa.array([1, None]),
        pa.array([1.0, 0.0]),
        pa.array([["a"], ["b"]]),
        pa.array([["a", "b"], []]),
        pa.array([["a", "b"], None]),
    ]
    assert len({tuple(column_bytes(pa.chunked_array([column]))) for column in columns}) == len(columns)
    assert column_bytes(pa.chunked_array([], pa.string())) == column_bytes(
        pa.chunked_array([pa.array([], pa.string())])
    )


@pytest.mark.parametrize("ids", [["z", "a\n/ä", "m"], [3, 1, 2]])
def test_save_and_load(tmp_path: Path, ids: list[Any]) -> None:
    table = pa.table({"id": ids, "label": ["x", "y", None], "split": ["train", "test", "valid"]})
    split = Split("node", table, "stratified", {"shares": {"train": 0.5}, "seed": 3})
    folder = split.save(tmp_path / "s")
    again = Split.load(folder)
    assert again.table.equals(split.table)
    assert (again.kind, again.method, again.settings, again.digest) == (
        "node",
        "stratified",
        split.settings,
        split.digest,
    )
    with pytest.raises(InputError, match="already exists"):
        split.save(folder)
    assert json.loads((folder / "split.json").read_text())["counts"] == {"train": 1, "valid": 1, "test": 1, "unused": 0}


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    folder = edge_split().save(tmp_path / "s")
    table = pq.read_table(folder / "split.parquet")
    parts = ["train"] * table.num_rows
    pq.write_table(table.set_column(3, "split", pa.array(parts)), folder / "split.parquet")
    with pytest.raises(InputError, match=r"split.parquet: the file was changed"):
        Split.load(folder)
    header = json.loads((folder / "split.json").read_text())
    header["file"] = {"split.parquet": file_digest(folder / "split.parquet")}
    (folder / "split.json").write_text(sealed_json(header))
    with pytest.raises(InputError, match="the split was changed"):
        Split.load(folder)
    (folder / "split.parquet").unlink()
    with pytest.raises(InputError, match=r"split\.parquet: file not found"):
        Split.load(folder)


def test_edges_may_repeat_at_other_times() -> None:
    rows = {"source": [1, 1], "target": [2, 2], "relation": ["r", "r"], "split": ["train", "unused"]}
    with pytest.raises(InputError, match="'source': 1, 'target': 2, 'relation': 'r'} occurs more than once"):
        Split("edge", pa.table(rows), "time")
    assert Split("edge", pa.table({**rows, "time": [5, 9]}), "time").key[-1] == "time"
    with pytest.raises(InputError, match="occurs more than once"):
        Split("edge", pa.table({**rows, "time": [5, 5]}), "time")
    with pytest.raises(InputError, match="1 rows have no time"):
        Split("edge", pa.table({**rows, "time": [5, None]}), "time")


@pytest.mark.parametrize(
    ("kind", "columns", "message"),
    [
        ("edges", {"id": ["a"], "split": ["train"]}, "unknown kind of split 'edges'"),
        ("node", {"id": ["a"]}, "missing columns 'split'; got 'id'"),
        ("node", {"id": ["a"], "split": ["tests"]}, "expected train, valid, test, unused, got 'tests'"),
        ("node", {"id": ["a", None], "split": ["train", "test"]}, "column 'id': missing id in row 1"),
        ("node", {"id": [0.5], "split": ["train"]}, "expected all strings or all integers"),
        ("interaction", {"user": ["a"], "item": ["b"], "split": [1]}, "column 'split': expected strings, got integers"),
    ],
)
def test_bad_tables(kind: Any, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Split(kind, pa.table(columns), "random")


def test_an_empty_split_and_integers_of_other_widths() -> None:
    empty = Split("node", pa.table({"id": pa.array([], pa.string()), "split": pa.array([], pa.string())}), "random")
    assert empty.counts == dict.fromkeys(PARTS, 0)
    narrow = pa.table({"id": pa.array(np.array([2, 1], dtype=np.int32)), "split": ["train", "test"]})
    assert Split("node", narrow, "random").table["id"].type == pa.int64()


def test_splits_of_a_dataset_folder(tmp_path: Path) -> None:
    assert load_splits(tmp_path) == {}
    nodes = Split("node", pa.table({"id": [1], "split": ["train"]}), "random")
    save_splits({"links": edge_split(), "labels": nodes}, tmp_path)
    loaded = load_splits(tmp_path)
    assert list(loaded) == ["labels", "links"]
    assert loaded["links"].digest == edge_split().digest
    with pytest.raises(InputError, match="links already exists"):
        save_splits({"links": nodes}, tmp_path)
    save_splits({"links": nodes}, tmp_path, overwrite=True)
    assert load_splits(tmp_path)["links"].kind == "node"
    with pytest.raises(InputError, match="split name '../x': expected letters"):
        save_splits({"../x": nodes}, tmp_path)


def test_a_time_that_is_no_number_is_no_time() -> None:
    with pytest.raises(InputError, match="1 rows have no time"):
        edge_split(time=[1.0, float("nan"), 2.0, 3.0])
