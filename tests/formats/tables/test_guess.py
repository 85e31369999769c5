from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mmgraph.errors import InputError
from mmgraph.formats.tables import import_tables
from mmgraph.formats.tables.guess import guess_mapping, singular
from mmgraph.formats.tables.mapping import EdgeTable, InteractionTable, NodeTable
from mmgraph.formats.tables.writing import write_tables
from mmgraph.testing.factories import make_raw_graph
from mmgraph.testing.shops import make_shop


def test_a_shop(tmp_path: Path) -> None:
    mapping = guess_mapping(make_shop(tmp_path / "shop"))
    assert mapping.nodes == (
        NodeTable(
            "products.csv",
            id="sku",
            type="product",
            text=("title", "description"),
            image="photo",
            image_folder="images",
            labels=("category",),
        ),
    )
    assert mapping.edges == (
        EdgeTable("also_bought.tsv", source="from", target="to", relation="also_bought", weight="count"),
    )
    assert mapping.interactions == (
        InteractionTable("ratings.jsonl", user="user_id", item="sku", time="ts", rating="stars", relation="ratings"),
    )


def test_what_we_wrote_is_taken_by_its_word(tmp_path: Path) -> None:
    folder = write_tables(make_raw_graph(tmp_path / "pictures"), tmp_path / "toy")
    mapping = guess_mapping(folder)
    assert mapping.name == "toy"
    assert mapping.nodes[0].type_column == "type"
    assert mapping.symmetric == ("similar",)
    assert mapping.edges[0].relation_column == "relation"


@pytest.mark.parametrize(
    ("name", "header", "expected"),
    [
        ("users.csv", "User-ID,name", NodeTable("users.csv", id="User-ID", type="user", text=("name",))),
        ("n.csv", "node_id,node_type,x", NodeTable("n.csv", id="node_id", type_column="node_type")),
        ("movies.csv", "movie_id,title", NodeTable("movies.csv", id="movie_id", type="movie", text=("title",))),
        ("categories.csv", "id,label", NodeTable("categories.csv", type="category", labels=("label",))),
    ],
)
def test_names_of_columns(tmp_path: Path, name: str, header: str, expected: NodeTable) -> None:
    (tmp_path / name).write_text(f"{header}\n")
    assert guess_mapping(tmp_path).nodes == (expected,)


def test_paths_that_lead_from_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").touch()
    (tmp_path / "items.csv").write_text("id,image\na,images/a.png\n")
    assert guess_mapping(tmp_path).nodes[0].image_folder is None
    (tmp_path / "items.csv").write_text("id,image\na,a.png\n")
    assert guess_mapping(tmp_path).nodes[0].image_folder == "images"
    (tmp_path / "items.csv").write_text("id\na\n")
    assert guess_mapping(tmp_path).nodes[0].image_folder == "images"  # named by id


def test_what_is_not_understood_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="expected a table with one row per node and a column of ids, found no table"):
        guess_mapping(tmp_path)
    (tmp_path / "notes.csv").write_text("remark,x\n")
    with caplog.at_level(logging.WARNING), pytest.raises(InputError, match=r"found 'notes\.csv'"):
        guess_mapping(tmp_path)
    assert caplog.messages == [f"{tmp_path}/notes.csv: ignored, no column of ids was found among: remark, x"]
    (tmp_path / "links.csv").write_text("to,remark\n")
    with pytest.raises(
        InputError, match=r"links\.csv: expected a column like source, src, from, head; found columns: to"
    ):
        guess_mapping(tmp_path)
    with pytest.raises(InputError, match="expected a folder with tables, found nothing"):
        guess_mapping(tmp_path / "nowhere")


def write_purchases(folder: Path, customers: str = "customer_id,country\nc1,NL\nc2,FR\n") -> Path:
    (folder / "products.csv").write_text("product_id,title\np1,one\np2,two\n")
    (folder / "customers.csv").write_text(customers)
    (folder / "purchases.csv").write_text("customer_id,product_id,date\nc1,p2,2024-05-01\nc2,p1,2024-05-02\n")
    return folder


@pytest.mark.parametrize("id_column", ["customer_id", "Customer-ID", "id"])
def test_users_have_the_type_of_their_table(tmp_path: Path, id_column: str) -> None:
    folder = write_purchases(tmp_path, f"{id_column},country\nc1,NL\nc2,FR\n")
    mapping = guess_mapping(folder)
    assert mapping.interactions[0].user_type == "customer"
    raw = import_tables(folder, mapping).raw
    types = [raw.node_types[number] for number in raw.node_type.tolist()]
    assert dict(zip(raw.node_ids.values.tolist(), types, strict=True)) == {
        "c1": "customer",
        "c2": "customer",
        "p1": "product",
        "p2": "product",
    }
    purchases = raw.relations["purchases"]
    assert (purchases.source_type, purchases.target_type) == ("customer", "product")
    ends = [[raw.node_ids.values.tolist()[row] for row in side] for side in purchases.edge_index.tolist()]
    assert ends == [["c1", "c2"], ["p2", "p1"]]


@pytest.mark.parametrize(
    ("tables", "user", "expected"),
    [
        ({"people": "uid,job"}, "uid", "people"),
        ({"customers": "customer_id,x", "addresses": "customer_id,street"}, "customer_id", "customer"),
        ({"members": "customer_id,x", "addresses": "customer_id,street"}, "customer_id", "user"),  # nobody knows
        ({"i": "id,title"}, "user_id", "user"),  # `i` is a part of `userid`, and no type of users
        ({"customers": "customer_id,type"}, "customer_id", "user"),  # a column says the types
        ({"nodes": "user_id,country"}, "user_id", "user"),
    ],
)
def test_which_table_holds_the_users(tmp_path: Path, tables: dict[str, str], user: str, expected: str) -> None:
    for stem, header in tables.items():
        (tmp_path / f"{stem}.csv").write_text(f"{header}\n")
    (tmp_path / "buys.csv").write_text(f"{user},item_id\n")
    mapping = guess_mapping(tmp_path)
    assert mapping.interactions[0].user_type == expected
    if list(tables) == ["nodes"]:
        assert mapping.nodes[0].type == "user"


def test_encoding_and_delimiter(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes("id|title\na|caf\u00e9\n".encode("utf-16"))
    with pytest.raises(InputError, match="the header is no utf-8"):
        guess_mapping(tmp_path, delimiter="|")
    mapping = guess_mapping(tmp_path, encoding="utf-16", delimiter="|")
    assert mapping.nodes == (NodeTable("items.csv", type="item", text=("title",)),)
    assert import_tables(tmp_path, mapping).raw.content["text"] == ["caf\u00e9"]
    (tmp_path / "items.csv").rename(tmp_path / "nodes.csv")
    (tmp_path / "edges.csv").write_bytes("source|target\n".encode("utf-16"))
    (tmp_path / "graph.json").write_text("{}")
    mapping = guess_mapping(tmp_path, encoding="utf-16", delimiter="|")
    assert (mapping.nodes[0].file, mapping.encoding, mapping.delimiter) == ("nodes.csv", "utf-16", "|")


def test_singular() -> None:
    words = {
        "products": "product",
        "categories": "category",
        "class": "class",
        "node": "node",
        "My Items": "my_item",
        "...": "node",
    }
    assert {word: singular(word) for word in words} == words
