"""A shop's folder becomes a graph; every defect is told, and costs nothing but itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmgraph.data.raw import RawGraph
from mmgraph.errors import InputError
from mmgraph.formats.tables import ImportedTables, import_tables, read_tables, write_tables
from mmgraph.formats.tables.defects import Defects
from mmgraph.formats.tables.guess import guess_mapping
from mmgraph.formats.tables.mapping import EdgeTable, InteractionTable, NodeTable, TablesMapping
from mmgraph.testing.asserts import assert_same_graph
from mmgraph.testing.shops import DEFECTS, make_shop


def load(folder: Path) -> ImportedTables:
    defects = Defects("quarantine")
    return import_tables(folder, guess_mapping(folder, defects), defects=defects)


def edges(raw: RawGraph, name: str) -> dict[tuple[Any, Any], dict[str, float]]:
    relation = raw.relations[name]
    ends = raw.node_ids.values[relation.edge_index.numpy()].T.tolist()
    values = {key: column.tolist() for key, column in relation.attributes.items()}
    return {tuple(pair): {key: values[key][i] for key in values} for i, pair in enumerate(ends)}


def test_a_clean_shop(tmp_path: Path) -> None:
    folder = make_shop(tmp_path / "shop")
    found = load(folder)
    raw = found.raw
    assert len(found.defects) == 0
    assert raw.name == "shop"
    assert raw.node_ids.values.tolist() == ["p1", "p2", "p3", "p4", "p5", "p6", "u1", "u2", "u3"]
    assert raw.node_types == ("product", "user")
    assert raw.node_type.tolist() == [0] * 6 + [1] * 3
    assert raw.content["text"] == [f"Shoe {i}. made of leather" for i in range(1, 7)] + [None] * 3
    assert raw.content["image"] == [folder / "images" / f"{i}.png" for i in range(1, 7)] + [None] * 3
    assert raw.columns is not None
    assert raw.columns.to_pydict() == {"price": [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, None, None, None]}
    assert found.labels is not None
    assert found.labels.to_pydict() == {"id": raw.node_ids.values.tolist(), "category": [*"bababa", None, None, None]}
    assert edges(raw, "also_bought") == {(f"p{i}", f"p{i + 1}"): {"weight": i} for i in range(1, 6)}
    assert edges(raw, "ratings")["u1", "p2"] == {"time": 104, "rating": 4}
    assert raw.relations["ratings"].source_type == "user"
    assert sorted(found.image_sizes) == [(16, 12)] * 6
    assert read_tables(folder, guess_mapping(folder)).num_nodes == 9


EXPECTED: dict[str, tuple[dict[str, int], str]] = {
    "bad encoding": ({"bad-encoding": 1}, "products.csv, row 7: column title: expected UTF-8, got byte 0xe9"),
    "duplicate id": ({"duplicate-id": 1}, "products.csv, row 7: column sku: duplicate id 'p1'; the first row with it"),
    "dangling edge": ({"dangling-edge": 1}, "also_bought.tsv, row 6: column to: no node has the id 'nowhere'"),
    "missing image": ({"missing-image": 1}, "products.csv, row 7: {0}/images/gone.png: file not found"),
    "zero-byte image": ({"empty-image": 1}, "products.csv, row 7: {0}/images/zero.png: zero bytes"),
    "large image": ({"large-image": 1}, "products.csv, row 7: {0}/images/large.png: 50 megapixels, the limit is 40"),
    "odd ids": ({}, ""),
    "missing column": ({"missing-column": 1}, "similar.csv: expected a column like target, dst, dest, to; found"),
    "mixed types": ({"mixed-types": 2, "missing-id": 1}, "also_bought.tsv, row 6: column count: expected a number"),
    "empty file": ({"empty-file": 1}, "viewed.csv: the file is empty"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_is_told_and_the_rest_survives(tmp_path: Path, defect: str) -> None:
    clean = load(make_shop(tmp_path / "clean"))
    folder = make_shop(tmp_path / "shop", defects=(defect,))
    found = load(folder)
    counts, line = EXPECTED[defect]
    assert found.defects.by_kind() == {kind: counts[kind] for kind in found.defects.by_kind()}
    assert found.defects.by_kind().keys() == counts.keys()
    if line:
        assert any(text.startswith(f"{folder}/{line}".format(folder)) for text in found.defects.lines())
    raw = found.raw
    ids = raw.node_ids.values.tolist()
    assert set(clean.raw.node_ids.values) <= set(ids)
    for name in ("also_bought", "ratings"):
        kept = edges(raw, name)
        assert {pair: kept.get(pair) for pair in edges(clean.raw, name)} == edges(clean.raw, name)
    for modality in ("text", "image"):
        before = dict(zip(clean.raw.node_ids.values, clean.raw.content[modality], strict=True))
        after = dict(zip(ids, raw.content[modality], strict=True))
        names = [item and Path(str(item)).name for item in before.values()]
        assert [after[node] and Path(str(after[node])).name for node in before] == names
    # Without a quarantine the same defect stops the import, unless it is an image, or no defect at all.
    policy = Defects()
    if counts and not all("image" in kind for kind in counts):
        with pytest.raises(InputError) as error:
            import_tables(folder, guess_mapping(folder, policy), defects=policy)
        assert "\n" not in str(error.value)
    else:
        import_tables(folder, guess_mapping(folder, policy), defects=policy)


def test_all_defects_at_once(tmp_path: Path) -> None:
    folder = make_shop(tmp_path / "shop", defects=DEFECTS)
    found = load(folder)
    raw = found.raw
    assert sum(found.defects.by_kind().values()) == 11
    ids = raw.node_ids.values.tolist()
    assert len(ids) == 6 + 3 + 4 + 3  # products, users, rows with a broken cell or image, odd ids
    assert {"a/../b", "line\nbreak", "漢字 😀", "latin", "lost", "zero", "large"} < set(ids)
    assert raw.content["image"][ids.index("lost")] is None
    assert raw.content["text"][ids.index("latin")] == "of paper"
    assert ("a/../b", "漢字 😀") in edges(raw, "also_bought")
    weight = edges(raw, "also_bought")["p6", "p1"]["weight"]
    assert weight != weight  # missing
    # What survived can be written, read again, and is the same; ids with slashes name no file.
    again = read_tables(write_tables(raw, tmp_path / "out"))
    assert again.node_ids.values.tolist() == ids
    assert edges(again, "ratings") == edges(raw, "ratings")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "edges.parquet",
        "graph.json",
        "images",
        "nodes.parquet",
    ]


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    one, two = make_shop(tmp_path / "a" / "shop"), make_shop(tmp_path / "b" / "shop")
    for name in ("products.csv", "also_bought.tsv", "ratings.jsonl"):
        lines = (two / name).read_text().splitlines()
        head = 0 if name.endswith("jsonl") else 1
        (two / name).write_text("\n".join([*lines[:head], *reversed(lines[head:])]) + "\n")
    assert_same_graph(load(two).raw, replace(load(one).raw, name="shop"))


def test_tables_of_several_types_and_formats_by_a_mapping(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"n": pa.array([1, 2]), "t": ["one", None], "emb": [[1.0], [2.0]]}), tmp_path / "items.parquet"
    )
    (tmp_path / "people.tsv").write_text("uid\tjob\n1\tbaker\n2\t\n")
    (tmp_path / "buys.csv").write_text("uid;n;when\n1;1;2024-05-01\n2;1;2024-05-02 10:00:00\n")
    mapping = TablesMapping(
        name="shop",
        nodes=(
            NodeTable("items.parquet", id="n", type="item", prefix="i:", text=("t",), columns=()),
            NodeTable("people.tsv", id="uid", type="user", prefix="u:", labels=("job",)),
        ),
        interactions=(
            InteractionTable("buys.csv", "uid", "n", time="when", relation="buys", user_prefix="u:", item_prefix="i:"),
        ),
    )
    found = import_tables(tmp_path, mapping)
    assert found.raw.node_ids.values.tolist() == ["i:1", "i:2", "u:1", "u:2"]
    assert found.raw.content["text"] == ["one", None, None, None]
    assert found.raw.columns is None
    assert found.labels is not None
    assert found.labels["job"].to_pylist() == [None, None, "baker", None]
    buys = edges(found.raw, "buys")
    assert list(buys) == [("u:1", "i:1"), ("u:2", "i:1")]
    assert buys["u:2", "i:1"]["time"] - buys["u:1", "i:1"]["time"] == (24 + 10) * 3600 * 10**6


def test_users_that_look_like_items_are_refused(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id\n1\n2\n")
    (tmp_path / "buys.csv").write_text("user_id,item_id\n1,2\n3,1\n")
    mapping = guess_mapping(tmp_path)
    with pytest.raises(
        InputError, match=r"buys\.csv, column user_id: 1 should be a 'user', but .* as 'item'; .* give one"
    ):
        import_tables(tmp_path, mapping)
    table = replace(mapping.interactions[0], user_prefix="user:")
    raw = import_tables(tmp_path, replace(mapping, interactions=(table,))).raw
    assert raw.node_ids.values.tolist() == ["1", "2", "user:1", "user:3"]
    assert list(edges(raw, "buys")) == [("user:1", "2"), ("user:3", "1")]


def test_swapped_axes_fail_with_the_name_of_the_id(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id\ni1\ni2\n")
    (tmp_path / "buys.csv").write_text("user_id,item_id\nu1,i2\n")
    swapped = TablesMapping(
        nodes=(NodeTable("items.csv", id="item_id", type="item"),),
        interactions=(InteractionTable("buys.csv", user="item_id", item="user_id"),),
    )
    with pytest.raises(InputError, match="'i2' should be a 'user', but a table of nodes has it as 'item'"):
        import_tables(tmp_path, swapped)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (TablesMapping(nodes=(NodeTable("n.csv", id="key"),)), r"n\.csv: missing column 'key'; found columns: id, t"),
        (TablesMapping(nodes=(NodeTable("m.csv"),)), r"m\.csv: file not found"),
        (TablesMapping(), "expected a table of nodes, got none"),
        (TablesMapping(nodes=(NodeTable("h.csv"),)), r"h\.csv: expected at least one node, got none"),
        (
            TablesMapping(nodes=(NodeTable("n.csv"),), edges=(EdgeTable("e.csv", weight="w"),)),
            r"e\.csv: column w: expected numbers or dates, got 'heavy'",
        ),
        (
            TablesMapping(nodes=(NodeTable("n.csv"), NodeTable("o.jsonl"))),
            r"o\.jsonl, column id: ids are integers here and strings elsewhere; make them alike, or use a prefix",
        ),
        (TablesMapping(nodes=(NodeTable("n.csv"),), symmetric=("x",)), "mapping, symmetric: unknown relation 'x'"),
        (TablesMapping(nodes=(NodeTable("f.jsonl"),)), "expected strings or integers as ids, got double"),
    ],
)
def test_mappings_that_do_not_fit(tmp_path: Path, mapping: TablesMapping, message: str) -> None:
    (tmp_path / "n.csv").write_text("id,t\na,1\nb,2\n")
    (tmp_path / "e.csv").write_text("source,target,w\na,b,heavy\n")
    (tmp_path / "o.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "h.csv").write_text("id\n")
    (tmp_path / "f.jsonl").write_text('{"id": 1.5}\n')
    with pytest.raises(InputError, match=message):
        import_tables(tmp_path, mapping)


def test_several_tables_of_edges_give_one_relation(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("id\na\nb\nc\n")
    (tmp_path / "e1.csv").write_text("source,target,w\na,b,1\n")
    (tmp_path / "e2.jsonl").write_text('{"source": "b", "target": "c", "k": 2}\n')
    tables = (EdgeTable("e1.csv", relation="r"), EdgeTable("e2.jsonl", relation="r"))
    raw = import_tables(tmp_path, TablesMapping(nodes=(NodeTable("n.csv"),), edges=tables)).raw
    found = edges(raw, "r")
    assert found["a", "b"]["w"] == 1
    assert found["b", "c"]["k"] == 2
    assert found["a", "b"]["k"] != found["a", "b"]["k"]


def test_a_node_table_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))
    picture = (make_shop(tmp_path / "shop") / "images" / "1.png").read_bytes()
    (tmp_path / "in").mkdir()
    table = pa.table({"id": ["a", "b", "c"], "image": [picture, None, b"broken"]})
    pq.write_table(table, tmp_path / "in" / "nodes.parquet")
    defects = Defects()
    raw = import_tables(tmp_path / "in", guess_mapping(tmp_path / "in"), defects=defects).raw
    assert [item and Path(item).read_bytes() for item in raw.content["image"]] == [picture, None, None]
    assert defects.by_kind() == {"broken-image": 1}
    again = read_tables(write_tables(raw, tmp_path / "out"), on_defect="quarantine") if raw.relations else None
    assert again is None or again.content["image"][0].read_bytes() == picture


def test_files_can_stay_where_they_are(tmp_path: Path) -> None:
    raw = load(make_shop(tmp_path / "shop")).raw
    folder = write_tables(raw, tmp_path / "out", copy_files=False)
    assert not (folder / "images").exists()
    images = pq.read_table(folder / "nodes.parquet")["image"].to_pylist()
    assert images[0] == "../shop/images/1.png"
    assert read_tables(folder).content["image"][0].read_bytes() == raw.content["image"][0].read_bytes()


def test_labels_are_in_no_table_of_the_graph(tmp_path: Path) -> None:
    found = load(make_shop(tmp_path / "shop"))
    folder = write_tables(found.raw, tmp_path / "out")
    assert pq.read_table(folder / "nodes.parquet").column_names == ["id", "type", "text", "image", "price"]
    assert json.loads((folder / "graph.json").read_text())["name"] == "shop"


def test_a_list_of_texts_is_one_text(tmp_path: Path) -> None:
    rows = [{"asin": "a", "title": "t", "description": ["x", "y"]}, {"asin": "b", "title": "u", "description": []}]
    (tmp_path / "products.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = import_tables(tmp_path, guess_mapping(tmp_path))
    assert found.raw.content["text"] == ["t. x. y", "u"]


def test_missing_and_dangling_ends_are_counted_apart(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text("id\na\nb\n")
    rows = ["source,target", "a,b", *[",b"] * 1500, *["a,zzz"] * 700]
    (tmp_path / "edges.csv").write_text("\n".join(rows) + "\n")
    found = import_tables(tmp_path, guess_mapping(tmp_path), defects=Defects("quarantine"))
    counts = {kind: count for (kind, _), count in found.defects.counts.items()}
    assert counts == {"missing-id": 1500, "dangling-edge": 700}
    assert len(found.defects.lines()) == 2
    assert found.raw.relations["edge"].num_edges == 1
