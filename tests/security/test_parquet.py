"""Parquet files that are small on the disk and large in memory are refused before they are; all others are read as they are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mmgraph.parquet as parquet
from mmgraph.errors import InputError
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.source import TableError, open_source
from mmgraph.parquet import ParquetTable, read_parquet
from mmgraph.table_limit import LIMIT_VARIABLE, SMALL_BYTES

LIMIT = 10_000_000


def repeated(value: Any, rows: int, kind: pa.DataType | None = None) -> pa.Array:
    """One value so many times, as numbers into a dictionary: takes no room here either."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value], kind))


def bombs() -> dict[str, Callable[[Path], None]]:
    """Files of a few kilobytes that stand for more than `LIMIT` bytes."""

    def texts(path: Path) -> None:
        pq.write_table(pa.table({"id": repeated("x" * 10_000, 2_000)}), path, store_schema=False)

    def numbers(path: Path) -> None:
        pq.write_table(pa.table({"id": repeated(7, 2_000_000)}), path, store_schema=False)

    def one_text(path: Path) -> None:
        pq.write_table(pa.table({"id": ["x" * 20_000_000]}), path, compression="zstd", use_dictionary=False)

    def text_of_each_group(path: Path) -> None:
        with pq.ParquetWriter(path, pa.schema({"id": pa.string()}), compression="zstd") as writer:
            for _ in range(30):
                writer.write_table(pa.table({"id": ["x" * 500_000]}))

    def lists(path: Path) -> None:
        values = repeated("x" * 1000, 20_000).dictionary_decode()
        column = pa.ListArray.from_arrays(pa.array([0, 20_000], pa.int32()), values)
        pq.write_table(pa.table({"id": column}), path, compression="zstd")

    def nothing(path: Path) -> None:
        pq.write_table(pa.table({"id": pa.nulls(LIMIT + 1)}), path)

    def differences(path: Path) -> None:
        table = pa.table({"id": ["x" * 10_000] * 2_000})
        pq.write_table(table, path, use_dictionary=False, column_encoding={"id": "DELTA_BYTE_ARRAY"})

    makers = (texts, numbers, one_text, text_of_each_group, lists, nothing, differences)
    return {maker.__name__: maker for maker in makers}


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "nodes.parquet"
    bombs()[name](path)
    assert path.stat().st_size < 200_000
    monkeypatch.setenv(LIMIT_VARIABLE, str(LIMIT))
    before = pa.total_allocated_bytes()
    with pytest.raises(InputError, match=f"nodes.parquet: expected a table .* at most 10,000,000 .*{LIMIT_VARIABLE}"):
        read_parquet(path)
    assert pa.total_allocated_bytes() - before < 3 * LIMIT
    with pytest.raises(TableError, match="nodes.parquet: cannot be read: expected a table that takes at most"):
        list(open_source(path, Defects()).batches())
    monkeypatch.setenv(LIMIT_VARIABLE, str(5 * LIMIT))
    assert read_parquet(path).num_rows > 0


def test_a_bomb_of_many_gigabytes_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "nodes.parquet"
    pq.write_table(
        pa.table({"id": repeated("x" * 1_000_000, 1_000_000)}), path, store_schema=False, write_statistics=False
    )  # 1 TB
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(InputError, match=f"at most {SMALL_BYTES:,} bytes"):
        read_parquet(path)
    assert pa.default_memory_pool().max_memory() - before < 2**28
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_wide_rows_and_groups_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({str(at): [1, 2] for at in range(20)}), path, row_group_size=1)
    monkeypatch.setattr(parquet, "CHUNKS", 39)
    with pytest.raises(InputError, match="a.parquet: expected at most .* got 20 columns and 2 row groups"):
        read_parquet(path)
    monkeypatch.setattr(parquet, "CHUNKS", 40)
    assert read_parquet(path).shape == (2, 20)


def test_ten_million_rows_are_read_by_default(tmp_path: Path) -> None:
    """By the footer: nothing else is looked at before rows come."""
    path = tmp_path / "edges.parquet"
    rows = 10_000_000
    columns = {name: repeated("n0000001", rows) for name in ("source", "target", "relation")}
    pq.write_table(pa.table(columns), path, store_schema=False)
    table = ParquetTable(path)
    assert table.num_rows == rows
    assert next(table.batches()).num_rows == 2**16


def test_tables_are_read_as_pyarrow_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the types, the encodings and the sizes of batches."""
    draw = np.random.default_rng(0)
    rows = 500
    words = np.array(["a", "bb", "", "漢字", "x" * 300])
    table = pa.table(
        {
            "id": [f"n{at}" for at in range(rows)],
            "text": pa.array(words[draw.integers(0, 5, rows)], pa.large_string(), mask=draw.random(rows) < 0.2),
            "raw": pa.array([b"\xff"] * rows, pa.binary()),
            "kind": pa.array(words[draw.integers(0, 5, rows)]).dictionary_encode(),
            "labels": [None if at % 7 == 0 else words[: at % 4].tolist() for at in range(rows)],
            "deep": [{"a": "x", "b": [at]} for at in range(rows)],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(draw.random(2 * rows)), 2),
            "number.with.dots": pa.array(draw.integers(0, 9, rows), pa.int8()),
            "time": pa.array(draw.integers(0, 9, rows), pa.timestamp("us")),
            "flag": draw.random(rows) < 0.5,
            "nothing": pa.nulls(rows),
        }
    ).replace_schema_metadata({"a": "b"})
    for number, options in enumerate(
        [{}, {"use_dictionary": False}, {"row_group_size": 7}, {"column_encoding": {"id": "DELTA_BYTE_ARRAY"}}]
    ):
        if "column_encoding" in options:
            options["use_dictionary"] = False
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table, path, write_page_checksum=True, **options)
        expected = pq.read_table(path, partitioning=None)
        for batch_bytes in (2**28, 1000):
            monkeypatch.setattr(parquet, "BATCH_BYTES", batch_bytes)
            found = read_parquet(path, verify=True)
            assert found.schema.equals(expected.schema, check_metadata=True)
            assert found.equals(expected)
        some = read_parquet(path, ["flag", "id"])
        assert some.equals(expected.select(["flag", "id"]))
    empty = tmp_path / "empty.parquet"
    pq.write_table(table.slice(0, 0), empty)
    assert read_parquet(empty).equals(pq.read_table(empty))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 100])
def test_what_is_no_parquet_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match="a.parquet: expected a parquet file, got: "):
        read_parquet(path)
    with pytest.raises(InputError, match="b.parquet: file not found"):
        read_parquet(tmp_path / "b.parquet")


def test_the_limit_is_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1]}), path)
    monkeypatch.setenv(LIMIT_VARIABLE, "4GB")
    with pytest.raises(InputError, match="MMGRAPH_TABLE_BYTES: expected a number of bytes, got '4GB'"):
        read_parquet(path)


def test_every_reader_of_parquet_goes_through_the_limit() -> None:
    """No other file of the package opens one."""
    package = Path(parquet.__file__).parent
    calls = ("pq.read_table(", "pq.ParquetFile(", "pq.ParquetDataset(", "pq.read_schema(", "read_parquet as pd")
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(call in path.read_text(encoding="utf-8") for call in calls)
    }
    assert found == {"parquet.py", "testing/mutations.py", "testing/resealing.py"}
