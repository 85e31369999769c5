"""Compressed stores: by id, in every form, inside every format, with queries of full width."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.export.base import format_of, open_store, read_table, write_table
from mmgraph.export.formats import FORMATS, INNER
from mmgraph.inference.table import EmbeddingTable
from mmgraph.sealed import sealed_json

Make = Callable[..., EmbeddingTable]
FORMS = ("float32", "float16", "int8", "binary", "pq:8", "dims:12", "dims:12+int8", "first:16", "dims:16+binary")


def shared(found: list[list[str]], expected: list[list[str]]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, expected, strict=True)]))


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_opened_and_searched_with_full_queries(make_table: Make, tmp_path: Path, form: str) -> None:
    table = make_table()
    queries = make_table(count=310).vectors[300:]
    path = write_table(table, tmp_path / "out", format="compressed", form=form)
    assert format_of(path) == "compressed"
    with open_store(path, model="0123abcd", dim=16) as store:
        assert (store.manifest["form"], store.dim, store.exact) == (form, 16, False)
        expected = table.search(queries, 10)
        hits = store.search(queries, 10)
        assert shared(hits.ids(), expected.ids()) > 0.8
        torch.testing.assert_close(hits.scores, expected.scores, atol=0.12, rtol=0)
        users = store.search(queries, 10, node_type="user")
        assert {table.types[row] for row in users.positions.flatten().tolist()} == {"user"}
        # By id, in an order of our own.
        ids = ["n00200", "n00003", "n00111"]
        found = store.vectors(ids)
        assert found.shape == (3, 16)
        assert torch.cosine_similarity(found, table.vectors_of(ids)).min() > 0.9
        assert [row[0] for row in store.search(table.vectors_of(ids), 1).ids()] == ids
        with pytest.raises(InputError, match=r"must have shape \[num_queries, 16\]"):
            store.search(torch.ones(store.manifest["width"] - 1))
    back = read_table(path)
    assert back.node_ids == table.node_ids
    assert (back.types, back.columns) == (table.types, table.columns)


@pytest.mark.parametrize("inner", INNER)
def test_fewer_dimensions_inside_another_format(make_table: Make, tmp_path: Path, inner: str) -> None:
    table = make_table()
    # A projection to all dimensions but the weakest four, in the library's own format, under the same queries.
    path = write_table(table, tmp_path / "out", format="compressed", form="dims:12", inner=inner)
    assert format_of(path) == "compressed"
    assert format_of(path / "vectors") == inner
    with open_store(path) as store, open_store(path / "vectors") as inside:
        assert (store.dim, inside.dim) == (16, 12)
        plain = write_table(table, tmp_path / "plain", format="compressed", form="dims:12")
        with open_store(plain) as codes:
            expected = codes.search(table.vectors[:30], 5)
            found = store.search(table.vectors[:30], 5)
            assert shared(found.ids(), expected.ids()) >= (0.6 if inner == "faiss-ivfpq" else 0.99)
            if inner != "faiss-ivfpq":
                torch.testing.assert_close(store.vectors(["n00007"]), codes.vectors(["n00007"]), atol=1e-5, rtol=0)
        users = store.search(table.vectors[:3], 4, node_type="user").positions.flatten().tolist()
        assert {table.types[row] for row in users} == {"user"}


@pytest.mark.parametrize(
    ("form", "inner"), [("int8", None), ("dims:12+binary", None), ("dims:12", "parquet"), ("dims:12", "faiss")]
)
def test_an_upsert_keeps_the_codec_and_all_other_codes(
    make_table: Make, tmp_path: Path, form: str, inner: str | None
) -> None:
    table = make_table()
    path = write_table(table, tmp_path / "out", format="compressed", form=form, inner=inner)
    codec = (path / "codec.safetensors").read_bytes()
    with open_store(path) as store:
        before = store.vectors(table.node_ids.values)
    new = make_table(table.vectors[[5, 4, 3]] * 7, ids=["n00299", "new b", "new a"])
    write_table(new, path, format="compressed", upsert=True)
    assert (path / "codec.safetensors").read_bytes() == codec
    with open_store(path) as store:
        assert store.ids() == [*table.node_ids.values.tolist(), "new b", "new a"]
        after = store.vectors(table.node_ids.values)
        if inner == "faiss":  # brings vectors to unit length again
            torch.testing.assert_close(after[:299], before[:299], atol=1e-6, rtol=0)
        else:
            assert torch.equal(after[:299], before[:299])
        copies = store.vectors(["n00299", "new b", "new a"])
        torch.testing.assert_close(copies, store.vectors(["n00005", "n00004", "n00003"]), atol=1e-6, rtol=0)
        assert store.manifest["form"] == form
    for wrong in ({"form": "float16"}, {"inner": "npy"}):
        with pytest.raises(InputError, match=f"expected a store of {next(iter(wrong))}"):
            write_table(new, path, format="compressed", upsert=True, **wrong)


def test_files_hold_what_the_manifest_says(make_table: Make, tmp_path: Path) -> None:
    path = write_table(make_table(), tmp_path / "out", format="compressed", form="dims:8+binary")
    codes, signs = np.load(path / "codes.npy"), np.load(path / "signs.npy")
    assert (codes.dtype, codes.shape, signs.dtype, signs.shape) == (np.int8, (300, 8), np.uint8, (300, 1))
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["bytes_per_vector"], manifest["width"], manifest["dim"]) == (9, 8, 16)
    assert sorted(item.name for item in path.iterdir()) == sorted(["manifest.json", "ids.parquet", *manifest["files"]])
    np.save(path / "codes.npy", codes[:-1])
    with pytest.raises(InputError, match=r"codes\.npy: the file was changed"):
        open_store(path)
    del manifest["digests"]  # as an earlier version wrote it
    (path / "manifest.json").write_text(sealed_json(manifest), encoding="utf-8")
    with pytest.raises(InputError, match="manifest says count 300, the store has 299"):
        open_store(path)
    (path / "codes.npy").write_bytes(b"words")
    with pytest.raises(InputError, match=r"codes\.npy: expected an array"):
        open_store(path)
    np.save(path / "codes.npy", codes.astype(np.float32))
    with pytest.raises(InputError, match="manifest says bytes_per_vector 9"):
        open_store(path)
    (path / "manifest.json").write_text(sealed_json({**manifest, "form": "int8"}), encoding="utf-8")
    with pytest.raises(InputError, match="manifest says form"):
        open_store(path)


def test_what_does_not_fit_is_refused(make_table: Make, tmp_path: Path) -> None:
    table = make_table()
    for options, message in (
        ({"form": "int4"}, "unknown form 'int4'"),
        ({"form": "dims:17"}, "at most 16 dimensions"),
        ({"form": "dims:4+int8", "inner": "npy"}, "only dims:K and first:K can be kept in another format"),
        ({"form": "int8", "inner": "npy"}, "only dims:K and first:K"),
        ({"form": "dims:4", "inner": "qdrant"}, "unknown inner format 'qdrant'"),
    ):
        with pytest.raises(InputError, match=message):
            write_table(table, tmp_path / "out", format="compressed", **options)
    table.vectors[7, 0] = 0
    table.vectors[7, 1:] = torch.tensor([0.0] * 14 + [1.0])
    with pytest.raises(InputError, match="zero and have no cosine: 'n00007'"):
        write_table(table, tmp_path / "out", format="compressed", form="first:4", inner="faiss")
    assert list(tmp_path.iterdir()) == []
    assert set(INNER) < set(FORMATS)
