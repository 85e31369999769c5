from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx
import pytest

from mmgraph.errors import InputError
from mmgraph.formats.networkx import raw_from_networkx, split_from_networkx


def shop() -> networkx.DiGraph:
    graph = networkx.DiGraph(name="shop")
    graph.add_node(
        "p2", node_type="product", title="Red shoe", body="Light.", picture="p2.png", label="shoe", split="val"
    )
    graph.add_node("u1", node_type="user")
    graph.add_node("p1", node_type="product", title=" ", body="A hat", label="hat", split="train", price=3)
    graph.add_node("p3", node_type="product", title="Boot", picture=Path("/other/p3.png"), label="shoe")
    graph.add_node("p4", node_type="product", split="test")
    graph.add_edge("u1", "p2", relation="likes", stars=4)
    graph.add_edge("p2", "p3", relation="near")
    return graph


def test_attributes_become_modalities_and_labels_stay_out() -> None:
    source = shop()
    raw = raw_from_networkx(source, text=["title", "body"], image="picture", root="pictures", columns=["price"])
    at = {node: i for i, node in enumerate(raw.node_ids.values.tolist())}
    assert raw.name == "shop"
    assert {node: raw.content["text"][i] for node, i in at.items()} == {
        "p2": "Red shoe. Light.",
        "u1": None,
        "p1": "A hat",
        "p3": "Boot",
        "p4": None,
    }
    assert raw.content["image"][at["p2"]] == Path("pictures/p2.png")
    assert raw.content["image"][at["p3"]] == Path("/other/p3.png")
    assert raw.content["image"][at["p1"]] is None
    assert raw.columns is not None
    assert raw.columns.column_names == ["price"]
    assert raw.columns["price"][at["p1"]].as_py() == 3
    assert [raw.node_types[code] for code in raw.node_type.tolist()] == ["product", "user", *["product"] * 3]
    ends = raw.node_ids.values[raw.relations["likes"].edge_index.numpy()]
    assert ends.tolist() == [["u1"], ["p2"]]
    assert raw.relations["likes"].attributes["stars"].tolist() == [4]
    assert source.nodes["p2"]["label"] == "shoe"  # the graph that was given is not changed


def test_one_text_and_no_image() -> None:
    raw = raw_from_networkx(shop(), text="title", name="other")
    assert raw.name == "other"
    assert list(raw.content) == ["text"]
    assert raw.columns is None


def test_split_by_id() -> None:
    split = split_from_networkx(shop())
    assert {row["id"]: (row["label"], row["split"]) for row in split.table.to_pylist()} == {
        "p1": ("hat", "train"),
        "p2": ("shoe", "valid"),
        "p3": ("shoe", "unused"),
        "p4": (None, "test"),
    }
    assert (split.kind, split.method) == ("node", "official")


def test_own_names_of_parts_and_lists_of_labels() -> None:
    graph = networkx.Graph(name="g")
    graph.add_node(7, topics=["a", "b"], fold=0)
    graph.add_node(3, topics=[], fold=1)
    split = split_from_networkx(graph, label="topics", part="fold", parts={0: "train", 1: "test"})
    assert split.table.to_pydict() == {"id": [3, 7], "label": [[], ["a", "b"]], "split": ["test", "train"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "titel"}, "NetworkX graph 'shop': unknown node attribute 'titel'; choose from: title, "),
        ({"text": ["title"], "columns": ["title"]}, "node attributes named more than once: 'title'"),
        ({"text": "price"}, "NetworkX graph 'shop', node 'p1', attribute 'price': expected a text, got int"),
        ({"image": "price"}, "NetworkX graph 'shop', node 'p1', attribute 'price': expected a path, got int"),
    ],
)
def test_bad_content(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        raw_from_networkx(shop(), **arguments)
    assert message in str(error.value)


def test_bad_splits() -> None:
    with pytest.raises(InputError, match="unknown node attribute 'labels'; choose from: label, "):
        split_from_networkx(shop(), label="labels")
    graph = shop()
    graph.nodes["p3"]["split"] = "trian"
    with pytest.raises(
        InputError, match="NetworkX graph 'shop', node 'p3': unknown part 'trian'; choose from: train, "
    ):
        split_from_networkx(graph)
    graph = shop()
    graph.nodes["p1"]["label"] = 1
    with pytest.raises(InputError, match="node attribute 'label': fits no column: "):
        split_from_networkx(graph)
