"""Footers of Parquet files: read as Arrow reads them, and never the end of the process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmgraph.errors import InputError
from mmgraph.parquet import ParquetTable
from mmgraph.parquet_footer import read_chunks

TABLE = pa.table(
    {
        "id": [f"n{i}" for i in range(50)],
        "number": range(50),
        "vector": [[1.0, 2.0, 3.0]] * 50,
        "maybe": pa.array([None, True] * 25),
        "name": pa.array(["a", "b"] * 25).dictionary_encode(),
        "both": [{"x": 1, "y": ["a", "b"]}] * 50,
    }
)


@pytest.mark.parametrize("version", ["1.0", "2.4", "2.6"])
@pytest.mark.parametrize("encoding", [None, "DELTA_LENGTH_BYTE_ARRAY"])
def test_chunks_are_those_of_arrow(version: str, encoding: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    more = {} if encoding is None else {"use_dictionary": ["name"], "column_encoding": {"id": encoding}}
    pq.write_table(TABLE, path, row_group_size=20, version=version, **more)
    footer = pq.read_metadata(path)
    expected = [
        [
            (chunk.num_values, chunk.total_uncompressed_size, any("DELTA" in one for one in chunk.encodings))
            for chunk in (footer.row_group(group).column(at) for at in range(footer.num_columns))
        ]
        for group in range(footer.num_row_groups)
    ]
    found = [[(one.num_values, one.uncompressed_bytes, one.is_delta) for one in group] for group in read_chunks(path)]
    assert found == expected
    assert len(found) == 3
    assert any(chunk[2] for chunk in found[0]) == (encoding is not None)


def forged(content: bytes, changes: Sequence[tuple[int, int]]) -> bytes:
    data = bytearray(content)
    for at, byte in changes:
        data[at] = byte
    return bytes(data)


def outcome(path: Path) -> str:
    """Read in a child, which a damaged footer may end."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            ParquetTable(path).read()
        except InputError:
            os._exit(1)
        except BaseException:
            os._exit(2)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return {0: "read", 1: "refused"}.get(os.waitstatus_to_exitcode(status), f"status {status}")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_statistics_that_do_not_fit_the_schema_do_not_end_the_process(tmp_path: Path) -> None:
    """Each byte of the schema that can make `id`, which may be empty, a column that may not: its histogram is too long."""
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE.select(["id"]), path, compression="none")
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    outcomes = set()
    for at in range(start, start + 60):
        for byte in (0, 2, 4):
            path.write_bytes(forged(content, [(at, byte)]))
            outcomes.add(outcome(path))
    assert outcomes == {"read", "refused"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_no_damage_to_a_footer_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path, row_group_size=20)
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    random = Random(0)
    for _ in range(400):
        places = [random.randrange(start, len(content) - 8) for _ in range(random.choice((1, 1, 2, 3, 8)))]
        changes = [(at, random.choice((0, 255, content[at] ^ 1 << random.randrange(8)))) for at in places]
        path.write_bytes(forged(content, changes))
        assert outcome(path) in ("read", "refused"), changes
