from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError
from mmgraph.export import parquet as parquet_module
from mmgraph.export.base import read_table, write_table
from mmgraph.files import file_digest
from mmgraph.inference.table import EmbeddingTable

# Formats that keep every bit and every type; what holds for all formats is in tests/contracts/test_stores.py.
FORMATS = ("npy", "parquet")

IDS: dict[str, list[Any]] = {
    "integers": [7, -3, 2**62, 0],
    "strings": ["a", "b", "10", "010"],
    "unicode": ["caf\u00e9", "cafe\u0301", "\u6f22\u5b57", "\U0001f600 \u200d"],
    "slashes": ["movie/1", "../../etc/passwd", "a\\b", "a.1.jpg"],
    "odd": ["", " ", "\n", '"quoted", comma'],
}


def make_table(ids: list[Any] | None = None, columns: pa.Table | None = None, dim: int = 3) -> EmbeddingTable:
    ids = IDS["strings"] if ids is None else ids
    return EmbeddingTable(
        node_ids=NodeIds(ids),
        vectors=torch.randn(len(ids), dim),
        node_types=("item", "nobody", "user"),
        node_type=torch.arange(len(ids)) % 2 * 2,
        graph="toy \u6f22",
        model="0123abcd",
        columns=columns,
    )


def assert_equal(found: EmbeddingTable, expected: EmbeddingTable) -> None:
    assert found.node_ids == expected.node_ids
    assert found.node_ids.values.dtype == expected.node_ids.values.dtype
    assert torch.equal(found.vectors.view(torch.int32), expected.vectors.view(torch.int32))  # every bit
    assert found.node_types == expected.node_types
    assert torch.equal(found.node_type, expected.node_type)
    assert (found.graph, found.model) == (expected.graph, expected.model)
    assert (found.columns is None) == (expected.columns is None)
    if expected.columns is not None:
        assert found.columns.equals(expected.columns)


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(params=sorted(FORMATS))
def format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("kind", IDS)
def test_round_trip_is_exact(tmp_path: Path, format: str, kind: str) -> None:
    table = make_table(IDS[kind])
    path = write_table(table, tmp_path / "deep" / "out", format=format)
    assert path == tmp_path / "deep" / "out"
    assert_equal(read_table(path), table)


@given(
    ids=st.one_of(
        st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=8, unique=True),
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8, unique=True),
    ),
    dim=st.integers(1, 5),
    format=st.sampled_from(sorted(FORMATS)),
)
@settings(max_examples=25, deadline=None)
def test_round_trip_of_any_ids(tmp_path_factory: pytest.TempPathFactory, ids: list[Any], dim: int, format: str) -> None:
    table = make_table(ids, dim=dim)
    path = write_table(table, tmp_path_factory.mktemp("any") / "out", format=format)
    assert_equal(read_table(path), table)


def test_columns_keep_names_and_types(tmp_path: Path, format: str) -> None:
    columns = pa.table(
        {
            "title": ["x", None, "", "\u6f22"],
            "price": pa.array([1.5, None, float("nan"), -0.0]),
            "tags": [["a"], [], None, ["b", "c"]],
            "colour": pa.array(["red", "red", None, "blue"]).dictionary_encode(),
            "id": [1, 2, 3, 4],
            "id_": [5, 6, 7, 8],
            "vector": ["not", "a", "vector", "!"],
            "type": [True, False, None, True],
        }
    )
    table = make_table(columns=columns)
    found = read_table(write_table(table, tmp_path / "out", format=format))
    assert found.columns is not None
    assert found.columns.schema == columns.schema
    assert found.columns.drop_columns("price").equals(columns.drop_columns("price"))
    np.testing.assert_array_equal(found.columns["price"].to_numpy(), columns["price"].to_numpy())
    assert replace(found, columns=None).node_ids == table.node_ids


def test_columns_without_any_column(tmp_path: Path, format: str) -> None:
    table = make_table(columns=pa.table({"x": [1, 2, 3, 4]}).select([]))
    found = read_table(write_table(table, tmp_path / "out", format=format))
    assert found.columns is not None
    assert found.columns.num_columns == 0
    assert found.columns.num_rows == 4


def test_special_floats_keep_their_bits(tmp_path: Path, format: str) -> None:
    table = make_table()
    table.vectors[0] = torch.tensor([-0.0, 1e-38, 3e38])
    assert_equal(read_table(write_table(table, tmp_path / "out", format=format)), table)


def test_vectors_that_are_not_contiguous_or_need_a_gradient(tmp_path: Path, format: str) -> None:
    table = replace(make_table(), vectors=torch.randn(3, 4).t().requires_grad_())
    found = read_table(write_table(table, tmp_path / "out", format=format))
    assert torch.equal(found.vectors, table.vectors.detach())


def test_several_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_module, "ROWS_PER_GROUP", 4)
    table = make_table(list(range(10)), pa.table({"title": [f"t{i}" for i in range(10)]}))
    path = write_table(table, tmp_path / "out.parquet")
    assert pq.ParquetFile(path).num_row_groups == 3
    assert_equal(read_table(path), table)


def test_manifest(tmp_path: Path, format: str) -> None:
    table = make_table(columns=pa.table({"title": list("abcd")}))
    path = write_table(table, tmp_path / "out", format=format)
    if format == "npy":
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    else:
        manifest = json.loads(pq.read_schema(path).metadata[b"mmgraph"])
    libraries = manifest.pop("libraries")
    assert len(manifest.pop("sha256")) == 64
    if format == "npy":
        files = {name: file_digest(path / name) for name in ("ids.parquet", "vectors.npy")}
        assert manifest.pop("digests") == files
    else:
        assert len(manifest.pop("rows_sha256")) == 64
    assert manifest == {
        "format": "mmgraph.embeddings",
        "version": 1,
        "dim": 3,
        "metric": "cosine",
        "model": "0123abcd",
        "graph": "toy \u6f22",
        "count": 4,
        "id_type": "string",
        "node_types": ["item", "nobody", "user"],
        "columns": ["title"],
        "has_columns": True,
        "vectors_sha256": hashlib.sha256(table.vectors.numpy().tobytes()).hexdigest(),
    }
    assert set(libraries) == {"python", "mmgraph", "torch", "torch-geometric", "numpy", "pyarrow"}
    assert libraries["numpy"] == np.__version__


def test_other_tools_can_read_it(tmp_path: Path) -> None:
    table = make_table(columns=pa.table({"title": list("abcd")}))
    rows = pq.read_table(write_table(table, tmp_path / "out.parquet"))
    assert rows.column_names == ["id", "type", "title", "vector"]
    assert rows["id"].to_pylist() == IDS["strings"]
    assert rows["type"].to_pylist() == ["item", "user", "item", "user"]
    assert rows.schema.field("vector").type == pa.list_(pa.field("item", pa.float32(), nullable=False), 3)
    assert rows["vector"].to_pylist() == table.vectors.tolist()
    folder = write_table(table, tmp_path / "out", format="npy")
    assert files_in(folder) == ["ids.parquet", "manifest.json", "vectors.npy"]
    np.testing.assert_array_equal(np.load(folder / "vectors.npy"), table.vectors.numpy())
    assert pq.read_table(folder / "ids.parquet")["id"].to_pylist() == IDS["strings"]


def test_same_table_same_bytes(tmp_path: Path, format: str) -> None:
    table = make_table()
    a, b = (write_table(table, tmp_path / name, format=format) for name in "ab")
    for one, other in [(a, b)] if format == "parquet" else [(a / name, b / name) for name in os.listdir(a)]:
        assert one.read_bytes() == other.read_bytes()


def test_zero_vectors_are_refused_by_id(tmp_path: Path, format: str) -> None:
    table = make_table()
    table.vectors[[1, 3]] = 0.0
    with pytest.raises(InputError, match=r"vectors of 2 nodes are zero and have no cosine: 'b', '010'"):
        write_table(table, tmp_path / "out", format=format)
    assert files_in(tmp_path) == []
    assert_equal(read_table(write_table(table, tmp_path / "out", format=format, allow_zero=True)), table)


@pytest.mark.parametrize("allow_zero", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_always_refused_by_id(tmp_path: Path, format: str, value: float, allow_zero: bool) -> None:
    table = make_table(IDS["integers"])
    table.vectors[2, 1] = value
    with pytest.raises(InputError, match=f"vectors of 1 nodes hold NaN or infinity: {2**62}"):
        write_table(table, tmp_path / "out", format=format, allow_zero=allow_zero)
    assert files_in(tmp_path) == []


def test_overwrite_only_when_asked(tmp_path: Path, format: str) -> None:
    first, second = make_table(), make_table(IDS["integers"])
    path = write_table(first, tmp_path / "out", format=format)
    with pytest.raises(InputError, match=r"out already exists; give another (file|folder) or ask to overwrite it"):
        write_table(second, path, format=format)
    assert_equal(read_table(path), first)
    write_table(second, path, format=format, overwrite=True)
    assert_equal(read_table(path), second)
    assert os.listdir(tmp_path) == ["out"]


def test_overwrite_never_takes_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for path, format, message in (
        ("home", "npy", "refusing to overwrite a folder that holds other things: thesis.txt"),
        ("home", "parquet", "expected the name of a file, got a folder"),
        ("file", "npy", "expected the name of a folder, got a file"),
    ):
        with pytest.raises(InputError, match=message):
            write_table(make_table(), tmp_path / path, format=format, overwrite=True)
    assert files_in(tmp_path) == ["file", "home", "home/thesis.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")], ids=str)
@pytest.mark.parametrize("existing", [False, True])
def test_interrupted_write_leaves_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, existing: bool, error: Any
) -> None:
    old = make_table(IDS["integers"])
    if existing:
        write_table(old, tmp_path / "out", format=format)
    before = files_in(tmp_path)

    close, calls = pq.ParquetWriter.close, []

    def fail(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) == 1:
            raise error
        close(*args)  # the garbage collector closes the writer again

    # The last step of each format: by then data has been written.
    monkeypatch.setattr("mmgraph.export.numpy.write_sealed_json", fail)
    if format == "parquet":
        monkeypatch.setattr(pq.ParquetWriter, "close", fail)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else OSError):
        write_table(make_table(), tmp_path / "out", format=format, overwrite=True)
    monkeypatch.undo()
    assert calls
    assert files_in(tmp_path) == before
    if existing:
        assert_equal(read_table(tmp_path / "out"), old)


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format 'parket'; choose from: parquet, "):
        write_table(make_table(), tmp_path / "out", format="parket")


def damage(path: Path, *, keep: float = 1.0, flip: bool = False) -> None:
    data = bytearray(path.read_bytes())
    data = data[: int(len(data) * keep)]
    if flip:
        data[-2] ^= 1
    path.write_bytes(bytes(data))


def test_reading_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    path = write_table(make_table(), tmp_path / "out", format="npy")

    def refused(message: str, **options: Any) -> None:
        with pytest.raises(InputError, match=message):
            read_table(path, **options)
        write_table(make_table(), path, format="npy", overwrite=True)

    damage(path / "vectors.npy", flip=True)
    assert read_table(path, verify=False).dim == 3
    refused("vectors.npy: the file was changed")
    damage(path / "ids.parquet", flip=True)
    refused("ids.parquet: the file was changed")
    (path / "vectors.npy").unlink()
    refused("vectors.npy: the file is missing")
    # What an earlier version wrote has no digests of files; the checks below are all that it has.
    damage(path / "vectors.npy", keep=0.9)
    refused(r"vectors.npy: expected an array, got", verify=False)
    (path / "vectors.npy").unlink()
    refused(r"vectors.npy: file not found", verify=False)
    np.save(path / "vectors.npy", np.zeros((4, 3)))
    refused("expected float32, got float64", verify=False)
    np.save(path / "vectors.npy", np.zeros((5, 3), dtype=np.float32))
    refused(r"the manifest says 4 x 3, got 4 ids and vectors \[5, 3\]", verify=False)
    damage(path / "ids.parquet", keep=0.5)
    refused("ids.parquet: expected a parquet file, got", verify=False)
    pq.write_table(pa.table({"id": list("abcd")}), path / "ids.parquet")
    refused(r"expected id, type and columns \[\], got \['id'\]", verify=False)
    pq.write_table(pa.table({"id": list("abcd"), "type": ["item", "user", "x", None]}), path / "ids.parquet")
    refused("unknown node types 'None', 'x'; the manifest has", verify=False)
    (path / "manifest.json").unlink()
    refused("manifest.json: file not found")
    (path / "manifest.json").write_text("{}")
    refused("expected a manifest of format 'mmgraph.embeddings', got None")
    (path / "manifest.json").write_text('{"format": "mmgraph.embeddings", "version": 2}')
    refused("expected version 1 of the format, got 2")
    (path / "manifest.json").write_text('{"format": "mmgraph.embeddings", "version": 1, "dim": "3"}')
    refused("manifest field 'dim' must be int, got '3'")


def test_reading_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with pytest.raises(InputError, match=r"out.parquet: file or folder not found"):
        read_table(path)
    path.write_text("id,vector\n")
    with pytest.raises(InputError, match="expected a parquet file, got"):
        read_table(path)
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(InputError, match="not written by mmgraph"):
        read_table(path)
    write_table(make_table(), path, overwrite=True)
    schema = pq.read_schema(path)
    pq.write_table(pa.table({"id": ["a"]}).replace_schema_metadata(schema.metadata), path)
    with pytest.raises(InputError, match="the last column must be 'vector'"):
        read_table(path)
    write_table(make_table(), path, overwrite=True)
    damage(path, keep=0.7)
    with pytest.raises(InputError, match="expected a parquet file, got"):
        read_table(path)


def test_changed_vectors_in_a_file_are_noticed(tmp_path: Path) -> None:
    path = write_table(make_table(), tmp_path / "out.parquet")
    rows = pq.read_table(path)
    pq.write_table(rows.take([1, 0, 2, 3]), path)  # keeps the metadata
    with pytest.raises(InputError, match="the vectors are not those that were written"):
        read_table(path)
    assert len(read_table(path, verify=False)) == 4
