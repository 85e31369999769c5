from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mmgraph.errors import InputError
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
