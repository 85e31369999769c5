"""Relations from rows of tables: the same, however few rows are sorted at a time."""

from __future__ import annotations

import errno
import re
import tempfile
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.formats.tables import relations as module
from mmgraph.formats.tables import scratch
from mmgraph.formats.tables.relations import EdgeRows, build_relations

NUM_NODES = 12
TYPES = torch.zeros(NUM_NODES, dtype=torch.int64)


def rows(count: int, seed: int, **other: Any) -> EdgeRows:
    """Rows of three relations with repeated pairs, hubs, numbers that are missing, and lists."""
    random = np.random.default_rng(seed)
    ends = np.minimum(random.geometric(0.25, (2, count)) - 1, NUM_NODES - 1).astype(np.int32)
    holes = random.random(count) < 0.2
    attributes = {
        "rating": pa.chunked_array([pa.array(random.integers(0, 3, count), mask=holes)]),
        "half": pa.chunked_array([pa.array(random.integers(0, 2, count).astype(np.float32))]),
        "note": pa.chunked_array([pa.array(["x"] * count)]),
        "pair": pa.chunked_array(
            [pa.FixedSizeListArray.from_arrays(pa.array(random.integers(0, 2, 2 * count).astype(np.float32)), 2)]
        ),
    } | other
    return EdgeRows("t", ends, ["a", "b", "never"], random.integers(0, 2, count).astype(np.int32), attributes)


def same(found: dict[str, Relation], expected: dict[str, Relation]) -> None:
    assert list(found) == list(expected)
    for name, relation in expected.items():
        other = found[name]
        assert torch.equal(other.edge_index, relation.edge_index)
        assert other.edge_index.is_contiguous()
        assert (other.symmetric, other.source_type) == (relation.symmetric, relation.source_type)
        assert list(other.attributes) == list(relation.attributes)
        for key, values in relation.attributes.items():
            assert other.attributes[key].dtype == values.dtype
            assert np.array_equal(other.attributes[key].numpy(), values.numpy(), equal_nan=True)


@pytest.mark.parametrize(("at_once", "chunk"), [(1, 1000), (7, 5), (60, 64), (100, 1000)])
def test_ranges_and_files_change_nothing(monkeypatch: pytest.MonkeyPatch, at_once: int, chunk: int) -> None:
    tables = [rows(200, 0), rows(90, 1, rating=pa.chunked_array([pa.array([0.5] * 90)]))]
    expected = build_relations(tables, ("node",), TYPES, symmetric=["b"])
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(module, "_CHUNK", chunk)
    monkeypatch.setattr(scratch, "SMALLEST", 64)
    same(build_relations(tables, ("node",), TYPES, symmetric=["b"]), expected)


def test_against_sorting_in_python() -> None:
    table = rows(150, 3)
    found = build_relations([table], ("node",), TYPES, symmetric=["b"])
    columns = [table.attributes[key].to_pylist() for key in ("half", "pair")]
    ratings = [float("nan") if value is None else value for value in table.attributes["rating"].to_pylist()]
    for code, name in enumerate(("a", "b")):
        facts = []
        for i in np.flatnonzero(table.code == code).tolist():
            pair = table.ends[:, i].tolist()
            facts.append(
                (*(sorted(pair) if name == "b" else pair), columns[0][i], tuple(columns[1][i]), str(ratings[i]))
            )
        relation = found[name]
        got = [
            (*pair, half, tuple(two), str(rating if rating != rating else int(rating)))
            for pair, half, two, rating in zip(
                relation.edge_index.t().tolist(),
                relation.attributes["half"].tolist(),
                relation.attributes["pair"].tolist(),
                relation.attributes["rating"].tolist(),
                strict=True,
            )
        ]
        assert sorted(got) == sorted(set(facts) if name == "b" else facts)
        assert [entry[:2] for entry in got] == sorted(entry[:2] for entry in got)
    assert "never" not in found


def test_lists_with_holes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 2)
    kind = pa.list_(pa.float32(), 2)
    ends = np.zeros((2, 4), dtype=np.int32)
    for cells, count in (([[1, 2], None, [3, 4], None], 2), ([[1, 2], [None, 1], [3, 4], [5, None]], 2)):
        table = EdgeRows("t", ends, ["a"], np.empty(0), {"v": pa.chunked_array([pa.array(cells, kind)])})
        message = f"t, column v, relation 'a': {count} lists of numbers are missing or incomplete"
        with pytest.raises(InputError, match=re.escape(message)):
            build_relations([table], ("node",), TYPES)
    empty = EdgeRows("t", ends, ["a"], np.empty(0), {"v": pa.chunked_array([pa.nulls(4, kind)])})
    assert build_relations([empty], ("node",), TYPES)["a"].attributes == {}


def test_several_types_are_told_before_anything_is_sorted() -> None:
    one, other = (
        EdgeRows("t", np.zeros((2, 1), dtype=np.int32), ["a"], np.empty(0), {"v": pa.chunked_array([column])})
        for column in (pa.array([1]), pa.array([0], pa.timestamp("us")))
    )
    with pytest.raises(InputError, match="t, column v, relation 'a': has several types"):
        build_relations([one, other], ("node",), TYPES)


def test_a_full_disk_is_an_error_that_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scratch.os, "posix_fallocate", full)
    with pytest.raises(OSError, match=re.escape(tempfile.gettempdir())):
        scratch.Scratch().empty((2**21,), np.dtype(np.int8))


def test_columns_of_changing_types_and_nothing_at_all() -> None:
    with scratch.ColumnSpool() as spool:
        assert spool.finish() == []
    with scratch.ColumnSpool() as spool:
        for cells in ([1, None], [2], ["x"], [3]):
            spool.append(pa.table({"v": cells}))
        tables = spool.finish()
    assert [table["v"].to_pylist() for table in tables] == [[1, None, 2], ["x"], [3]]
    with scratch.RowSpool(np.int32, 2) as rows_:
        assert rows_.finish().shape == (0, 2)
