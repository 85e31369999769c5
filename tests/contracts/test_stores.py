"""What every way to write embeddings must keep. A new format is one line in `mmgraph.export.base.FORMATS`."""

from __future__ import annotations

import json
import multiprocessing
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import mmgraph
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.export.base import format_of, open_store, read_table, write_table
from mmgraph.export.filters import parse_filter
from mmgraph.export.formats import FORMATS
from mmgraph.export.qdrant import point_id
from mmgraph.inference.table import EmbeddingTable
from mmgraph.sealed import sealed_json

APPROXIMATE = {"faiss-hnsw": 0.95, "faiss-ivfpq": 0.5, "usearch": 0.95, "compressed": 0.95}
"""Recall@10 that these reach on 2,000 random vectors of 64 dimensions, the hardest case for an index."""
NORMALISED = {"faiss", "faiss-hnsw", "faiss-ivfpq", "compressed"}
LOSSY = {"faiss-ivfpq", "compressed"}
SEARCHABLE = sorted(name for name, kind in FORMATS.items() if "graph" not in kind.options)
KINDS = ("mixed", "integers")


ODD = ["", " ", "\n", "\t", "NA", "null", "None", "%", "0", "00", "A", "a", "a "]
SHAPES = {
    "strings": "n{}",
    "unicode": "\u6f22{} caf\u00e9 \U0001f600",
    "slashes": "a/../{}\\x",
    "quotes": "it's \"{}\" -- ' OR 1=1; %s `",
    "spaces": " {}  ",
}


def some_ids(kind: str, count: int) -> list[Any]:
    """Ids of one shape, integers, or texts of all shapes, the odd ones first."""
    if kind == "integers":
        return [7 * i - 2**40 for i in range(count)]
    if kind == "mixed":
        shapes = list(SHAPES.values())
        return [*ODD, *(shapes[i % len(shapes)].format(i) for i in range(count - len(ODD)))]
    return [SHAPES[kind].format(i) for i in range(count)]


def make_table(ids: list[Any], dim: int = 16, seed: int = 0, **changes: Any) -> EmbeddingTable:
    random = torch.Generator().manual_seed(seed)
    count = len(ids)
    table = EmbeddingTable(
        node_ids=NodeIds(ids),
        vectors=torch.randn(count, dim, generator=random) * 3,
        node_types=("item", "nobody", "it's"),
        node_type=(torch.arange(count) % 5 == 0).long() * 2,
        graph="toy \u6f22",
        model="0123abcd",
        columns=pa.table({"title": [f"t'{i}" if i % 3 else None for i in range(count)], "price": np.arange(count) / 2}),
    )
    return replace(table, **changes)


def expected_vectors(table: EmbeddingTable, format: str) -> torch.Tensor:
    return torch.nn.functional.normalize(table.vectors) if format in NORMALISED else table.vectors


def assert_same(found: EmbeddingTable, table: EmbeddingTable, format: str) -> None:
    assert found.node_ids == table.node_ids
    assert (found.graph, found.model, found.types) == (table.graph, table.model, table.types)
    assert found.columns == table.columns
    if format not in LOSSY:
        torch.testing.assert_close(found.vectors, expected_vectors(table, format), atol=1e-6, rtol=1e-6)


@pytest.fixture(params=SEARCHABLE)
def format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_types_columns_and_vectors_come_back(tmp_path: Path, format: str, kind: str) -> None:
    table = make_table(some_ids(kind, 1000))
    path = write_table(table, tmp_path / "out", format=format)
    assert format_of(path) == format
    assert_same(read_table(path), table, format)
    shuffled = [table.node_ids.values.tolist()[i] for i in torch.randperm(len(table)).tolist()]
    with open_store(path) as store:
        assert store.ids() == table.node_ids.values.tolist()
        assert store.count == len(store) == len(table)
        found = store.vectors(shuffled)
        assert found.dtype == torch.float32
        if format not in LOSSY:
            wanted = expected_vectors(table, format)[table.positions(shuffled)]
            torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)
        else:
            cosine = torch.cosine_similarity(found, table.vectors_of(shuffled))
            assert cosine.mean() > 0.9
        assert store.vectors([]).shape == (0, 16)
        with pytest.raises(InputError, match="1 unknown ids"):
            store.vectors([12345 if kind == "integers" else "who"])


def test_a_node_finds_itself_by_its_id(tmp_path: Path, format: str) -> None:
    table = make_table(some_ids("quotes", 40))
    with open_store(write_table(table, tmp_path / "out", format=format)) as store:
        hits = store.search(store.vectors(table.node_ids.values), 1)
        assert [ids[0] for ids in hits.ids()] == table.node_ids.values.tolist()
        frame = hits.to_pandas()
        assert list(frame.columns) == ["query", "rank", "score", "id", "type", "title", "price"]
        assert frame["price"].tolist() == table.columns["price"].to_pylist()  # type: ignore[index]


@pytest.mark.parametrize("node_type", [None, "it's"])
def test_search_is_that_of_the_table(tmp_path: Path, format: str, node_type: str | None) -> None:
    count, dim = (2000, 64) if format in APPROXIMATE else (300, 16)
    table = make_table(some_ids("quotes", count), dim)
    queries = torch.randn(20, dim, generator=torch.Generator().manual_seed(5))
    expected = table.search(queries, 10, node_type=node_type)
    with open_store(write_table(table, tmp_path / "out", format=format)) as store:
        found = store.search(queries, 10, node_type=node_type)
        assert store.exact == (format not in APPROXIMATE)
        again = store.search(queries, 10, node_type=node_type)
    assert torch.equal(found.positions, again.positions)
    assert (found.positions >= 0).all()
    assert (found.scores.diff(dim=1) <= 0).all()
    if format in APPROXIMATE:
        assert recall(found.ids(), expected.ids()) >= APPROXIMATE[format]
        if node_type:
            assert {table.types[row] for row in found.positions.flatten().tolist()} == {node_type}
    else:
        assert found.ids() == expected.ids()
        torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=1e-5)


def test_more_than_there_are_and_bad_questions(tmp_path: Path, format: str) -> None:
    table = make_table(some_ids("strings", 50))
    with open_store(write_table(table, tmp_path / "out", format=format)) as store:
        every = store.search(table.vectors[0], 1000)
        assert sorted(every.ids()[0]) == sorted(store.ids())
        assert len(store.search(table.vectors[:2], 1000, node_type="it's").ids()[1]) == 10
        assert store.search(table.vectors[:2], node_type="nobody").ids() == [[], []]
        for message, bad in {
            "k must be at least 1": {"k": 0},
            "unknown node type 'itm'": {"node_type": "itm"},
            "must have shape": {"query": torch.ones(3)},
            "query 0 must be a finite vector other than zero": {"query": torch.zeros(16)},
        }.items():
            with pytest.raises(InputError, match=message):
                store.search(**{"query": torch.ones(16), **bad})


FILTERS = {
    "price < 3": lambda row: row["price"] < 3,
    "price >= 20 and title is not null": lambda row: row["price"] >= 20 and row["title"] is not None,
    "price >= 0": lambda row: True,
    "not title contains '7' or price between 10 and 12.5": lambda row: (
        (row["title"] is not None and "7" not in row["title"]) or 10 <= row["price"] <= 12.5
    ),
    "type = 'it''s' and price < 100": lambda row: row["type"] == "it's" and row["price"] < 100,
    "within 1 of ('it''s \"3\" -- '' OR 1=1; %s `')": lambda row: row["price"] in (1.0, 1.5, 2.0),
}
"""Filters of few, many and all nodes, and what they mean; node `i` costs `i / 2` and is next to `i + 1`."""


def among(table: EmbeddingTable, fits: Any, node_type: str | None = None) -> EmbeddingTable:
    """The nodes that may be found, by a loop in Python."""
    assert table.columns is not None
    rows = [{**row, "type": kind} for row, kind in zip(table.columns.to_pylist(), table.types, strict=True)]
    kept = [i for i, row in enumerate(rows) if fits(row) and node_type in (None, row["type"])]
    return table.take(torch.tensor(kept, dtype=torch.int64))


def recall(found: list[list[Any]], expected: list[list[Any]]) -> float:
    shares = [len(set(a) & set(b)) / len(b) for a, b in zip(found, expected, strict=True)]
    return float(np.mean(shares))


@pytest.mark.parametrize("way", ["as measured", "compare", "index"])
def test_a_filter_finds_what_brute_force_finds(tmp_path: Path, format: str, way: str) -> None:
    count, dim = (2000, 64) if format in APPROXIMATE else (300, 16)
    table = make_table(some_ids("quotes", count), dim)
    graph = make_graph(table)
    queries = torch.randn(8, dim, generator=torch.Generator().manual_seed(5))
    with open_store(write_table(table, tmp_path / "out", format=format)) as store:
        if way != "as measured":
            store.compare_up_to = count if way == "compare" else 0
        for where, fits in FILTERS.items():
            for node_type in (None, "it's") if "and" in where else (None,):
                part = among(table, fits, node_type)
                expected = part.search(queries, 10)
                found = store.search(queries, 10, where=where, graph=graph, node_type=node_type)
                assert found.positions.shape == expected.positions.shape
                assert (found.positions >= 0).all()
                assert (found.scores.diff(dim=1) <= 0).all()
                assert {node for row in found.ids() for node in row} <= set(part.node_ids.values)
                if format in LOSSY or (format in APPROXIMATE and way != "compare"):
                    assert recall(found.ids(), expected.ids()) >= APPROXIMATE[format], where
                else:
                    assert found.ids() == expected.ids(), where
                    torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=1e-5)


def test_the_nearest_nodes_do_not_fit(tmp_path: Path, format: str) -> None:
    # The hard case of an index: all that it meets on its way is filtered out.
    count, dim = (2000, 64) if format in APPROXIMATE else (300, 16)
    table = make_table(some_ids("strings", count), dim)
    query = torch.randn(dim, generator=torch.Generator().manual_seed(6))
    rank = torch.argsort(torch.argsort(-torch.nn.functional.normalize(table.vectors) @ query))
    table = replace(table, columns=pa.table({"rank": rank.numpy()}))
    with open_store(write_table(table, tmp_path / "out", format=format)) as store:
        for away in (count // 4, count // 2, count - 20):
            part = among(table, lambda row, away=away: row["rank"] >= away)
            found = store.search(query, 10, where=f"rank >= {away}").ids()
            assert set(found[0]) <= set(part.node_ids.values)
            if format not in LOSSY:  # codes cannot tell nodes apart that are all about as far away
                assert recall(found, part.search(query, 10).ids()) >= APPROXIMATE.get(format, 1.0)


def test_equal_vectors_are_found_in_order_of_position(tmp_path: Path, format: str) -> None:
    table = make_table(some_ids("strings", 300))
    table = replace(table, vectors=table.vectors[torch.arange(300) % 30])
    part = among(table, lambda row: row["price"] >= 20)
    with open_store(write_table(table, tmp_path / "out", format=format)) as store:
        store.compare_up_to = 300
        if store.exact:
            expected = part.search(table.vectors[:30], 12).ids()
            assert store.search(table.vectors[:30], 12, where="price >= 20").ids() == expected


def test_filters_that_fit_nothing_or_not_the_store(tmp_path: Path, format: str) -> None:
    table = make_table(some_ids("strings", 50))
    with open_store(write_table(table, tmp_path / "out", format=format)) as store:
        assert store.search(table.vectors[:2], where="price < 0").ids() == [[], []]
        assert store.search(table.vectors[:2], where="price < 9", node_type="nobody").ids() == [[], []]
        assert store.search(table.vectors[3], 9, where=parse_filter("id in ('n3', 'n4')")).ids() == [["n3", "n4"]]
        for where, message in {
            "prise < 1": "filter, position 1: unknown column 'prise'; choose from: price, type, title, id",
            "price < 'a'": "filter, position 9: column 'price' holds numbers, got 'a'",
            "price <": "filter, position 8: expected a text in quotes",
            "within 2 of 'n3'": "filter, position 1: 'within' needs a graph, give --graph or graph=",
        }.items():
            with pytest.raises(InputError, match=message):
                store.search(table.vectors[0], where=where)


def test_second_upsert_changes_no_count_and_replaces_vectors(tmp_path: Path, format: str) -> None:
    table = make_table(some_ids("quotes", 60))
    path = write_table(table, tmp_path / "out", format=format, upsert=True)
    for _ in range(2):
        write_table(table, path, format=format, upsert=True)
        assert read_table(path).node_ids == table.node_ids
    # Half of the ids again, in another order and with other vectors, and ten new ones of a new type.
    ids = table.node_ids.values.tolist()[::-2] + some_ids("slashes", 10)
    changed = make_table(ids, seed=9, node_types=("new", "item"), node_type=(torch.arange(len(ids)) < 30).long())
    write_table(changed, path, format=format, upsert=True)
    found = read_table(path)
    assert found.node_ids.values.tolist() == table.node_ids.values.tolist() + some_ids("slashes", 10)
    kept = [node for node in table.node_ids.values.tolist() if node not in ids]
    with open_store(path) as store:
        assert store.count == 70
        for part, nodes in ((table, kept), (changed, ids)):
            got, wanted = store.vectors(nodes), part.vectors_of(nodes)
            assert torch.cosine_similarity(got, wanted).min() > (0.5 if format in LOSSY else 0.999999)
            rows = part.positions(nodes)
            assert found.take(found.positions(nodes)).types == part.take(rows).types
            assert found.take(found.positions(nodes)).columns == part.take(rows).columns
        hits = store.search(changed.vectors[-3:], 1, node_type="new")
        assert [row[0] for row in hits.ids()] == ids[-3:]


def test_another_model_width_metric_or_graph_is_refused(tmp_path: Path, format: str) -> None:
    table = make_table(some_ids("strings", 20))
    path = write_table(table, tmp_path / "out", format=format)
    for other, message in (
        (replace(table, model="other"), "expected a store of model 'other', got '0123abcd'"),
        (make_table(some_ids("strings", 20), dim=8), "expected a store of dim 8, got 16"),
        (replace(table, graph="shop"), "expected a store of graph 'shop'"),
        (make_table(some_ids("integers", 20)), "are strings, got integers"),
        (replace(table, columns=None), "expected the columns of the store"),
    ):
        with pytest.raises(InputError, match=message) as error:
            write_table(other, path, format=format, upsert=True)
        assert "\n" not in str(error.value)
    for wrong in ({"model": "other"}, {"dim": 8}, {"metric": "euclidean"}):
        with pytest.raises(InputError, match=f"expected a store of {next(iter(wrong))}"):
            open_store(path, **wrong)  # type: ignore[arg-type]
    open_store(path, model="0123abcd", dim=16).close()
    other_format = "npy" if format != "npy" else "faiss"
    with pytest.raises(InputError, match=f"expected a table in format '{other_format}', got '{format}'"):
        write_table(table, path, format=other_format, upsert=True)
    assert_same(read_table(path), table, format)


@pytest.mark.parametrize("format", [name for name in FORMATS if FORMATS[name].folder])
def test_a_changed_byte_of_any_file_is_refused_by_name(tmp_path: Path, format: str) -> None:
    path = write_table(make_table(some_ids("strings", 20)), tmp_path / "out", format=format)
    for file in sorted(path.rglob("*")):
        data = file.read_bytes() if file.is_file() else b""
        if not data or file.name == ".lock":
            continue
        place = len(data) // 2
        file.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(InputError, match=re.escape(file.name)):
            read_table(path)
        file.write_bytes(data)
    assert len(read_table(path)) == 20


def test_zero_and_nan_are_refused_by_id(tmp_path: Path, format: str) -> None:
    table = make_table(some_ids("strings", 20))
    for value, message in ((0.0, "are zero and have no cosine: 'n3'"), (float("nan"), "hold NaN or infinity: 'n3'")):
        table.vectors[3] = value
        with pytest.raises(InputError, match=message):
            write_table(table, tmp_path / "out", format=format)
    assert list(tmp_path.iterdir()) == []
    if not FORMATS[format].zero:
        with pytest.raises(InputError, match="takes no zero vectors"):
            write_table(table, tmp_path / "out", format=format, allow_zero=True)


@pytest.mark.parametrize("way", ["overwrite", "upsert"])
def test_a_killed_write_leaves_the_old_store(
    tmp_path: Path, format: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = make_table(some_ids("strings", 30)), make_table(some_ids("strings", 40), seed=3)
    path = write_table(old, tmp_path / "out", format=format)
    calls = []

    def die(*args: Any) -> None:
        calls.append(args)
        raise KeyboardInterrupt

    for step in ("os.replace", "_exchange"):  # all is written, nothing is in place
        monkeypatch.setattr(f"mmgraph.files.{step}", die)
    with pytest.raises(KeyboardInterrupt):
        write_table(new, path, format=format, **{way: True})
    monkeypatch.undo()
    assert calls
    assert [item.name for item in tmp_path.iterdir()] == ["out"]
    assert_same(read_table(path), old, format)
    write_table(new, path, format=format, **{way: True})
    assert_same(read_table(path), new, format)


@pytest.mark.skipif(sys.platform != "linux", reason="folders are swapped in one step on Linux only")
@pytest.mark.parametrize("format", ["parquet", "npy", "faiss"])
def test_sigkill_leaves_one_store_or_the_other(tmp_path: Path, format: str) -> None:
    tables = [make_table(some_ids("strings", count), seed=count) for count in (30, 40)]
    path = write_table(tables[0], tmp_path / "out", format=format)

    def write_forever() -> None:
        while True:
            for table in tables:
                write_table(table, path, format=format, overwrite=True)

    fork, found = multiprocessing.get_context("fork"), []
    for seconds in (0.05, 0.06, 0.07, 0.08, 0.09, 0.1):
        process = fork.Process(target=write_forever)
        process.start()
        time.sleep(seconds)
        assert process.is_alive()
        process.kill()
        process.join()
        table = read_table(path)
        found.append(len(table))
        assert_same(table, tables[len(table) == 40], format)
    assert set(found) <= {30, 40}
    with open_store(path) as store:
        assert store.count == found[-1]


def test_overwrite_only_when_asked_and_never_what_is_not_ours(tmp_path: Path, format: str) -> None:
    table = make_table(some_ids("strings", 20))
    path = write_table(table, tmp_path / "out", format=format)
    with pytest.raises(InputError, match="already exists"):
        write_table(table, path, format=format)
    if FORMATS[format].folder:
        if format != "npy":  # one format over another
            write_table(table, tmp_path / "npy", format="npy")
            write_table(table, tmp_path / "npy", format=format, overwrite=True)
            assert format_of(tmp_path / "npy") == format
        (path / "thesis.txt").write_text("years of work")
        with pytest.raises(InputError, match="holds other things: thesis.txt"):
            write_table(table, path, format=format, overwrite=True)
        assert (path / "thesis.txt").exists()


@pytest.mark.parametrize("format", [name for name in SEARCHABLE if FORMATS[name].store])
def test_manifest_says_what_is_in_the_store(tmp_path: Path, format: str) -> None:
    table = make_table(some_ids("strings", 20))
    path = write_table(table, tmp_path / "out", format=format)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    expected = {"store": format, "dim": 16, "metric": "cosine", "model": "0123abcd", "graph": "toy \u6f22", "count": 20}
    assert {name: manifest[name] for name in expected} == expected
    assert manifest["normalised"] == (format in NORMALISED)
    assert len(manifest["libraries"]) == 7
    assert "absent" not in manifest["libraries"].values()
    (path / "manifest.json").write_text(sealed_json({**manifest, "dim": 8}), encoding="utf-8")
    with pytest.raises(
        InputError,
        match=r"manifest says dim 8, the store has 16|expected 20 vectors of 8 numbers, got \(16, 20, 20, 64\)",
    ):
        open_store(path)
    (path / "manifest.json").write_text(sealed_json({**manifest, "store": "sheet"}), encoding="utf-8")
    with pytest.raises(InputError, match="unknown store 'sheet'"):
        open_store(path)


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="format 'faiss' takes no option 'url'; it takes: none"):
        write_table(make_table(["a", "b"]), tmp_path / "out", format="faiss", url="http://localhost")


def test_a_point_has_the_uuid_of_its_id_and_its_row_as_payload(tmp_path: Path) -> None:
    from qdrant_client import QdrantClient

    columns = pa.table({"title": ["x", None, "y"], "price": [1.5, float("nan"), 2.0], "tags": [["a"], [], None]})
    table = replace(make_table([3, 4, 5]), columns=columns)
    path = write_table(table, tmp_path / "out", format="qdrant")
    client = QdrantClient(path=str(path))
    points = client.retrieve("nodes", [point_id(node) for node in (3, 4, 5)])
    client.close()
    assert {point.payload["id"]: point.payload for point in points if point.payload} == {
        3: {"id": 3, "type": "it's", "title": "x", "price": 1.5, "tags": ["a"]},
        4: {"id": 4, "type": "item", "title": None, "price": None, "tags": []},
        5: {"id": 5, "type": "item", "title": "y", "price": 2.0, "tags": None},
    }
    assert point_id(3) == "2b73930c-aff6-5102-9977-a93bd95c397c"  # never changes, or upserts would add points
    assert point_id(3) != point_id("3")


def test_a_collection_on_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import qdrant_client

    class Server(qdrant_client.QdrantClient):
        def close(self, **options: Any) -> None:
            pass

    server, url, calls = Server(":memory:"), "http://qdrant.example:6333", []
    monkeypatch.setattr(qdrant_client, "QdrantClient", lambda **words: calls.append(words) or server)
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    table = make_table(some_ids("slashes", 30))
    path = write_table(table, tmp_path / "shop", format="qdrant", url=url)
    assert calls == [{"url": url, "api_key": "secret"}]
    assert sorted(item.name for item in path.iterdir()) == ["ids.parquet", "manifest.json"]
    assert "secret" not in (path / "manifest.json").read_text()
    for other, count in ((table, 30), (make_table(some_ids("slashes", 35), seed=2), 35)):
        write_table(other, path, format="qdrant", upsert=True)
        assert server.count("shop").count == count
    with open_store(path) as store:
        assert not store.exact
        assert store.search(other.vectors[:5], 1).ids() == [[node] for node in other.node_ids.values[:5]]
        for limit in (0, 100):  # keep those that fit, or say which points may be found
            monkeypatch.setattr("mmgraph.export.qdrant.IDS_PER_FILTER", limit)
            expected = among(other, lambda row: row["price"] >= 12).search(other.vectors[:5], 4)
            assert store.search(other.vectors[:5], 4, where="price >= 12").ids() == expected.ids()
    with pytest.raises(InputError, match=r"expected a collection at http://else, got http://qdrant"):
        write_table(table, path, format="qdrant", upsert=True, url="http://else")
    with pytest.raises(InputError, match="collection 'shop' already exists"):
        write_table(table, tmp_path / "other" / "shop", format="qdrant", url=url)
    write_table(table, path, format="qdrant", overwrite=True, url=url)
    assert server.count("shop").count == 30
    server.create_collection("theirs", vectors_config={})
    with pytest.raises(InputError, match="refusing to overwrite collection 'theirs'"):
        write_table(table, tmp_path / "theirs", format="qdrant", overwrite=True, url=url)
    server.delete_collection("shop")
    with pytest.raises(InputError, match="expected a collection 'shop', found none"):
        open_store(path)


def test_sql_finds_neighbours_and_columns_that_differ_in_case_are_refused(tmp_path: Path) -> None:
    import duckdb

    table = make_table(some_ids("quotes", 50))
    path = write_table(table, tmp_path / "out", format="duckdb")
    with duckdb.connect(str(path / "embeddings.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "SELECT id FROM nodes ORDER BY array_cosine_similarity(vector, (SELECT vector FROM nodes WHERE id = ?)) DESC "
            "LIMIT 3",
            [table.node_ids[7]],
        ).fetchall()
        (manifest,) = connection.execute("SELECT content FROM manifest").fetchone() or ("",)
    assert [node for (node,) in found] == table.search(table.vectors[7], 3).ids()[0]
    assert json.loads(manifest)["model"] == "0123abcd"
    clash = replace(table, columns=pa.table({"ID": range(50)}))
    with pytest.raises(InputError, match="DuckDB does not tell these columns apart: ID, id"):
        write_table(clash, tmp_path / "clash", format="duckdb")


def test_the_projector_gets_one_line_per_node(tmp_path: Path) -> None:
    ids = some_ids("mixed", 20)
    table = make_table(ids)
    path = write_table(table, tmp_path / "out", format="projector")
    lines = (path / "metadata.tsv").read_text(encoding="utf-8").split("\n")
    assert lines[0] == "id\ttype\ttitle\tprice"
    assert lines[3] == "\\n\titem\tt'2\t1.0"
    assert [len(line.split("\t")) for line in lines[1:-1]] == [4] * 20
    assert len((path / "vectors.tsv").read_text().splitlines()) == 20
    assert torch.equal(read_table(path).vectors, table.vectors)
    assert 'tensor_path: "vectors.tsv"' in (path / "projector_config.pbtxt").read_text()


def make_graph(table: EmbeddingTable) -> MultimodalGraph:
    """A ring over the nodes, in another order than the table."""
    order = torch.arange(len(table) - 1, -1, -1)
    ring = torch.stack([torch.arange(len(table)), torch.arange(1, len(table) + 1) % len(table)])
    part = table.take(order)
    columns = pa.table({"title": [f'<{i}> & "x"' for i in range(len(table))], "end": [["a"]] * len(table)})
    relations = {"next": Relation(ring, "a", "a", attributes={"weight": torch.arange(len(table)) / 2})}
    return MultimodalGraph(part.graph, part.node_ids, ("a",), part.node_type * 0, relations, {}, columns)


@pytest.mark.parametrize("format", ["graphml", "gexf"])
@pytest.mark.parametrize("kind", KINDS)
def test_graph_files_hold_ids_edges_and_vectors(tmp_path: Path, format: str, kind: str) -> None:
    import networkx

    table = make_table(some_ids(kind, 30), node_types=("a",), node_type=torch.zeros(30, dtype=torch.int64))
    graph = make_graph(table)
    path = write_table(table, tmp_path / f"out.{format}", format=format, graph=graph)
    found = read_table(path)
    assert found.node_ids == graph.node_ids
    assert torch.equal(found.vectors_of(table.node_ids.values), table.vectors)
    with open_store(path, model=table.model) as store:
        assert store.search(table.vectors[:3], 1).ids() == [[node] for node in table.node_ids.values[:3].tolist()]
    content = getattr(networkx, f"read_{format}")(path)
    first, second = (str(graph.node_ids[i]) for i in (0, 1))
    assert content.number_of_edges() == 30
    assert {(*ends, row["relation"]) for *ends, row in content.edges(data=True) if ends == [first, second]} == {
        (first, second, "next")
    }
    row = content.nodes[first]
    assert row["title"] == '<0> & "x"'
    assert row["end_" if format == "gexf" else "end"] == '["a"]'
    assert [float(text) for text in row["vector"].split()] == pytest.approx(table.vectors[-1].tolist())


@pytest.mark.parametrize("format", ["graphml", "gexf"])
def test_graph_files_say_what_is_wrong(tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one_type: dict[str, Any] = {"node_types": ("a",), "node_type": torch.zeros(30, dtype=torch.int64)}
    table, bad = (
        make_table(some_ids("strings", 30), **one_type),
        make_table(["\x00", "\ufffe", *some_ids("strings", 28)], **one_type),
    )
    graph, path = make_graph(table), tmp_path / f"out.{format}"
    for message, words in {
        "needs the graph": {"table": table, "path": path},
        f"ends in .{format}": {"table": table, "path": tmp_path / "out.xml", "graph": graph},
        r"2 nodes have characters that XML cannot hold: '\\ufffe', '\\x00'": {
            "table": bad,
            "path": path,
            "graph": make_graph(bad),
        },
        "2 unknown ids: 'n29', 'n28'": {"table": bad, "path": path, "graph": graph},
    }.items():
        with pytest.raises(InputError, match=message):
            write_table(**words, format=format)
    assert list(tmp_path.iterdir()) == []
    write_table(table, path, format=format, graph=graph)
    before = path.read_bytes()
    with pytest.raises(InputError, match="already exists"):
        write_table(table, path, format=format, graph=graph)
    with pytest.raises(InputError, match="holds a whole graph and cannot be added to"):
        write_table(table, path, format=format, graph=graph, upsert=True)
    monkeypatch.setattr("mmgraph.files.os.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_table(replace(table, vectors=-table.vectors), path, format=format, graph=graph, overwrite=True)
    monkeypatch.undo()
    assert [item.read_bytes() for item in tmp_path.iterdir()] == [before]
    path.write_bytes(before.replace(b"</node>", b"", 1))
    with pytest.raises(InputError, match="expected a graph with embeddings, got"):
        read_table(path)
    path.write_text("<graph/>")
    with pytest.raises(InputError, match="not written by mmgraph"):
        read_table(path)


def test_the_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "stores.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    node_type = torch.tensor([0, 0, 0, 1])
    table = make_table(["p1", "p2", "p3", "u1"], node_types=("product", "user"), node_type=node_type)
    exec(code, {"mg": mmgraph, "table": table})
    out = capsys.readouterr().out
    assert out.startswith("[['p1', ")
    assert out.rstrip().endswith(" 4")
    assert all(f"`{name}`" in page for name in FORMATS)


@pytest.mark.parametrize("format", sorted(APPROXIMATE))
def test_the_same_table_gives_the_same_index(tmp_path: Path, format: str) -> None:
    table = make_table(some_ids("strings", 500), 32)
    first, second = (write_table(table, tmp_path / name, format=format) for name in ("a", "b"))
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes(), file.name
