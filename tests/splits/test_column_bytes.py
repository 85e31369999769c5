"""Splits with columns of every type: the digest tells contents apart and survives saving."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from mmgraph.splits.base import Split
from mmgraph.splits.column_bytes import column_bytes

PAIRS = pa.map_(pa.string(), pa.int64())
COLUMNS = {
    "null": pa.nulls(3),
    "date32": pa.array([1, None, 3], pa.date32()),
    "date64": pa.array([86_400_000, None, 0], pa.date64()),
    "time32": pa.array([1, None, 3], pa.time32("s")),
    "time64": pa.array([1000, None, 3000], pa.time64("ns")),
    "duration": pa.array([1, None, 3], pa.duration("us")),
    "decimal": pa.array([Decimal("1.50"), None, Decimal("7.25")]),
    "decimals": pa.array([Decimal("1.50"), Decimal("7.25"), Decimal("2.00")]),
    "binary": pa.array([b"\xff", None, b""]),
    "fixed binary": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "struct": pa.array([{"a": 1, "b": b"x"}, None, {"a": None, "b": None}]),
    "structs": pa.array([{"a": 1, "b": b"x"}, {"a": 2, "b": b"y"}, {"a": None, "b": None}]),
    "fixed list": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "fixed lists": pa.array([[1.0, 2.0], [1.0, None], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "map": pa.array([[("a", 1)], None, [("b", None), ("c", 2)]], PAIRS),
    "maps": pa.array([[("a", 1)], [], [("b", None), ("c", 2)]], PAIRS),
    "dictionary": pa.array(["a", None, "c"]).dictionary_encode(),
    "dictionary of numbers": pa.array([5, None, 3]).dictionary_encode(),
    "list of decimals": pa.array([[Decimal("1.5")], None, []]),
    "list of nothing": pa.array([[None], None, []], pa.list_(pa.null())),
    "list of structs": pa.array([[{"a": 1}], None, []]),
}


def split_of(column: pa.Array | pa.ChunkedArray) -> Split:
    return Split("node", pa.table({"id": [1, 2, 3], "split": ["train", "valid", "test"], "x": column}), "random")


@pytest.mark.parametrize("name", COLUMNS)
def test_every_type_can_be_saved_and_loaded(name: str, tmp_path: Path) -> None:
    split = split_of(COLUMNS[name])
    again = Split.load(split.save(tmp_path / "s"))
    assert again.table["x"].to_pylist() == split.table["x"].to_pylist()
    assert again.digest == split.digest


@pytest.mark.parametrize("name", COLUMNS)
def test_layout_does_not_matter_and_content_does(name: str) -> None:
    column = COLUMNS[name]
    whole = split_of(column).digest
    chunks = pa.chunked_array([column.slice(0, 1), column.slice(1)])
    shifted = pa.concat_arrays([column.slice(2), column]).slice(1)
    assert split_of(chunks).digest == split_of(shifted).digest == whole
    assert column_bytes(pa.chunked_array([], column.type)) == column_bytes(pa.chunked_array([column.slice(0, 0)]))
    if name != "null":
        assert split_of(pa.concat_arrays([column.slice(2), column.slice(0, 2)])).digest != whole


def test_types_are_told_apart() -> None:
    found = {name: split_of(column).digest for name, column in COLUMNS.items() if name != "date64"}
    assert len(set(found.values())) == len(found)


def test_what_lies_beneath_a_missing_cell_does_not_matter() -> None:
    mask = pa.array([False, True, False])
    structs = [pa.StructArray.from_arrays([pa.array([1, b, 3])], ["a"], mask=mask) for b in (2, 9)]
    lists = [pa.FixedSizeListArray.from_arrays(pa.array([1, b, 3]), 1, mask=mask) for b in (2, 9)]
    for one, other in (structs, lists):
        assert split_of(one).digest == split_of(other).digest


@pytest.mark.parametrize(
    ("column", "digest"),
    [
        (pa.array(["a", None, "c"]), "bc86ccf8002ed815"),
        (pa.array([1, None, 3]), "6d0f84bf41daf8a8"),
        (pa.array([1, None, 3], pa.int8()), "8973c1f736b40a22"),
        (pa.array([1.0, None, 2.0], pa.float32()), "f76818fe4603a105"),
        (pa.array([1.0, None, 2.0], pa.float16()), "16efd27d7b927c17"),
        (pa.array([True, None, False]), "f09a72289a55b69f"),
        (pa.array([1, None, 3], pa.timestamp("us", "UTC")), "2bc69efb0d36ba30"),
        (pa.array([1, 2, 3], pa.date32()), "bf5062efe0691161"),
        (pa.array([1, None, 3], pa.duration("us")), "2ba010ab7079d057"),
        (pa.array([["a", "b"], None, []]), "86444284e684a646"),
        (pa.array([[1, None], None, [3]]), "84a09ebdc18df246"),
        (pa.array([[[1], None], None, [[3]]]), "2e40fe57299a3f4e"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_digests_stay_what_saved_splits_say(column: pa.Array, digest: str) -> None:
    table = pa.table({"id": [1, 2, 3], "split": ["train", "valid", "test"], "x": column})
    assert Split("node", table, "m").digest[:16] == digest
