from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.recbole import RecBoleNames, looks_like_recbole, read_recbole, write_recbole
from mmgraph.splits.base import Split
from mmgraph.splits.interactions import split_leave_last_out
from mmgraph.tasks.from_split import task_from_split
from mmgraph.tasks.recommendation import RecommendationTask

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
SHOP = {
    "inter": INTER + "2\t10\t4\t100\n1\t2\t3.5\t50\n2\t2\t5\t100\n",
    "user": "user_id:token\tage:float\tjob:token\n1\t24\tcook\n2\t\t\n3\t31\tbaker of bread\n",
    "item": 'item_id:token\ttitle:token_seq\tprice:float\tsize:float_seq\n10\tSay "Yes"\t1.5\t1 2.5\n2\t\t\t\n7\tNew\t2\t3\n',
    "link": "item_id:token\tentity_id:token\n10\tm.1\n7\tm.7\n",
    "kg": "head_id:token\trelation_id:token\ttail_id:token\nm.1\tmade_by\tm.9\nm.9\tmakes\tm.1\nm.1\tlike\tm.7\nm.9\tlike\tm.8\n",
}
PARTS = {
    "train.inter": INTER + "1\t2\t3.5\t50\n2\t10\t4\t100\n",
    "valid.inter": INTER + "2\t2\t5\t120\n",
    "test.inter": INTER + "2\t7\t1\t130\n1\t10\t2\t60\n",
}


def write(folder: Path, files: dict[str, str], *, name: str = "shop") -> Path:
    folder.mkdir(exist_ok=True)
    for ending, text in files.items():
        (folder / f"{name}.{ending}").write_bytes(text.encode("utf-8", "surrogateescape"))
    return folder


def edges(raw: RawGraph, name: str) -> list[tuple[Any, ...]]:
    """Edges by id, with their attributes in alphabetical order."""
    relation = raw.relations[name]
    ends = [raw.node_ids.values[row].tolist() for row in relation.edge_index.numpy()]
    return sorted(zip(*ends, *(relation.attributes[key].tolist() for key in sorted(relation.attributes)), strict=True))


def raw_of(bundle: Bundle) -> RawGraph:
    assert isinstance(bundle.graph, RawGraph)
    return bundle.graph


def cells(raw: RawGraph, column: str) -> dict[str, Any]:
    assert raw.columns is not None
    return dict(zip(raw.node_ids.values.tolist(), raw.columns[column].to_pylist(), strict=True))


def test_users_and_items_get_their_fields_and_interactions_their_numbers(tmp_path: Path) -> None:
    bundle = read_recbole(write(tmp_path / "a", SHOP))
    raw = raw_of(bundle)
    assert bundle.splits == {}
    assert raw.name == "shop"
    kinds = {n: raw.node_types[int(k)] for n, k in zip(raw.node_ids.values.tolist(), raw.node_type, strict=True)}
    assert kinds == {
        **dict.fromkeys(["user:1", "user:2", "user:3"], "user"),
        **dict.fromkeys(["item:10", "item:2", "item:7"], "item"),
        **dict.fromkeys(["entity:m.8", "entity:m.9"], "entity"),
    }
    assert edges(raw, "interacts") == [
        ("user:1", "item:2", 3.5, 50),
        ("user:2", "item:10", 4.0, 100),
        ("user:2", "item:2", 5.0, 100),
    ]
    assert raw.relations["interacts"].attributes["time"].dtype == torch.int64
    assert cells(raw, "job") == dict.fromkeys(kinds) | {"user:1": "cook", "user:3": "baker of bread"}
    assert cells(raw, "age")["user:2"] is None
    assert cells(raw, "title") == dict.fromkeys(kinds) | {"item:10": ["Say", '"Yes"'], "item:2": [], "item:7": ["New"]}
    assert cells(raw, "size")["item:10"] == [1.0, 2.5]
    assert cells(raw, "entity_id") == dict.fromkeys(kinds) | {"item:10": "m.1", "item:7": "m.7"}


def test_triples_lead_to_items_and_to_entities(tmp_path: Path) -> None:
    raw = raw_of(read_recbole(write(tmp_path / "a", SHOP)))
    assert edges(raw, "made_by") == [("item:10", "entity:m.9")]
    assert raw.relations["made_by"].reverse == "makes"
    assert raw.relations["makes"].reverse == "made_by"
    assert edges(raw, "item__like__item") == [("item:10", "item:7")]
    assert edges(raw, "entity__like__entity") == [("entity:m.9", "entity:m.8")]
    assert "like" not in raw.relations
    assert raw.relations["item__like__item"].reverse is None


def test_a_triple_that_occurs_twice_is_one_and_told(tmp_path: Path) -> None:
    bundle = read_recbole(write(tmp_path / "a", SHOP | {"kg": SHOP["kg"] + "m.1\tmade_by\tm.9\n"}))
    assert raw_of(bundle).relations["made_by"].num_edges == 1
    assert any("1 triples occur more than once" in note for note in bundle.notes)


def test_without_lists_the_nodes_are_those_that_interact(tmp_path: Path) -> None:
    raw = raw_of(read_recbole(write(tmp_path / "a", {"inter": SHOP["inter"], "link": SHOP["link"]})))
    assert set(raw.node_ids.values) == {"user:1", "user:2", "item:10", "item:2", "item:7"}
    assert cells(raw, "entity_id")["item:7"] == "m.7"


def test_a_field_becomes_the_text(tmp_path: Path) -> None:
    raw = raw_of(read_recbole(write(tmp_path / "a", SHOP), text_field="title"))
    assert raw.columns is not None
    texts = dict(zip(raw.node_ids.values.tolist(), raw.content["text"], strict=True))
    assert {node: text for node, text in texts.items() if text} == {"item:10": 'Say "Yes"', "item:7": "New"}
    assert texts["item:2"] is None
    assert "title" not in raw.columns.column_names


def test_names_are_arguments(tmp_path: Path) -> None:
    files = {"inter": "u:token\ti:token\tstars:float\n1\t1\t2\n", "item": "i:token\n1\n"}
    names = RecBoleNames(
        user_id="u", item_id="i", rating="stars", item_type="film", relation="sees", user_prefix="", item_prefix="f"
    )
    raw = raw_of(read_recbole(write(tmp_path / "a", files), names=names))
    assert edges(raw, "sees") == [("1", "f1", 2)]
    assert list(raw.relations["sees"].attributes) == ["rating"]
    with pytest.raises(InputError, match="duplicate ids: '1'"):
        read_recbole(tmp_path / "a", names=replace(names, item_prefix=""))


def test_some_names_by_what_they_name(tmp_path: Path) -> None:
    raw = raw_of(read_recbole(write(tmp_path / "a", SHOP), names={"relation": "sees", "user_prefix": "u-"}))
    assert {pair[0] for pair in edges(raw, "sees")} == {"u-1", "u-2"}
    for names, message in [
        ({"relatoin": "sees"}, "unknown name in RecBole's files 'relatoin'; choose from: relation, "),
        ({"relation": 3}, "names, relation: expected a string, got 3"),
        ("sees", "names: expected them by what they name, got str"),
    ]:
        with pytest.raises(InputError, match=message):
            read_recbole(tmp_path / "a", names=names)  # type: ignore[arg-type]


def test_parts_of_a_benchmark_are_a_split_and_held_out_edges_are_gone(tmp_path: Path) -> None:
    bundle = read_recbole(write(tmp_path / "a", SHOP | PARTS))
    split = bundle.splits["official"]
    assert (split.kind, split.method) == ("interaction", "official")
    assert [tuple(row.values()) for row in split.table.select(["user", "item", "time", "split", "rating"]).to_pylist()] == [
        ("user:1", "item:10", 60, "test", 2.0),
        ("user:1", "item:2", 50, "train", 3.5),
        ("user:2", "item:10", 100, "train", 4.0),
        ("user:2", "item:2", 120, "valid", 5.0),
        ("user:2", "item:7", 130, "test", 1.0),
    ]  # fmt: skip
    assert edges(raw_of(bundle), "interacts") == [("user:1", "item:2", 3.5, 50), ("user:2", "item:10", 4.0, 100)]
    task = task_from_split("recommend", split)
    assert isinstance(task, RecommendationTask)
    assert (task.relation, task.user_type, task.item_type) == ("interacts", "user", "item")
    assert task.num_examples("test") == 2
    assert len(bundle.notes) == 1
    assert "shop.inter: not read" in bundle.notes[0]


def test_a_pair_that_is_asked_again_later_is_not_in_the_graph(tmp_path: Path) -> None:
    bundle = read_recbole(write(tmp_path / "a", PARTS | {"test.inter": INTER + "1\t2\t4\t70\n"}))
    assert edges(raw_of(bundle), "interacts") == [("user:2", "item:10", 4.0, 100)]
    assert bundle.notes == (
        f"{tmp_path / 'a'}: 1 training edges are not in the graph, because valid or test ask the pair again",
    )


def test_fields_of_edges_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    files = {"inter": "user_id:token\titem_id:token\tsession:token\n1\t2\ts\n"}
    bundle = read_recbole(write(tmp_path / "a", files))
    assert "left out: session:token" in bundle.notes[0]
    assert raw_of(bundle).relations["interacts"].attributes == {}


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    files = {"inter": "\ufeff" + SHOP["inter"].replace("\n", "\r\n")}
    assert raw_of(read_recbole(write(tmp_path / "a", files))).relations["interacts"].num_edges == 3


def test_large_times_keep_their_last_digit(tmp_path: Path) -> None:
    files = {"inter": INTER + "1\t2\t3\t1577836800123456789\n"}
    assert edges(raw_of(read_recbole(write(tmp_path / "a", files))), "interacts")[0][-1] == 1577836800123456789


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"inter": ""}, r"shop\.inter, line 1: expected a header of name:type, got an empty line"),
        ({"inter": "1\t2\n"}, r"shop\.inter, line 1: expected a header of name:type, got '1'"),
        ({"inter": "user_id:token\titem_id:tokens\n"}, r"line 1, 'item_id': unknown field type 'tokens'; choose from: token"),
        ({"inter": "user_id:token\tuser_id:token\n"}, r"line 1: field 'user_id' occurs twice"),
        ({"inter": "user_id:token\trating:float\n1\t2\n"}, r"shop\.inter: missing field 'item_id'; got 'user_id', 'rating'"),
        ({"inter": "user_id:token\titem_id:float\n1\t2\n"}, r"field 'item_id' must be token, got 'float'"),
        ({"inter": INTER + "1\t2\t3\t4\n1\t7\t3\n"}, r"shop\.inter, line 3: expected 4 cells, got 3"),
        ({"inter": INTER + "1\t2\tfive\t4\n"}, r"shop\.inter, line 2: expected a number as rating:float, got 'five'"),
        ({"inter": INTER + "1\t2\t3\tnan\n"}, r"line 2: expected a number as timestamp:float, got 'nan'"),
        ({"inter": INTER + "1\t2\t3\t4\n1\t7\t3\t\n"}, r"shop\.inter, line 3: expected a number as timestamp, got an empty"),
        ({"inter": INTER + "1\t\t3\t4\n"}, r"shop\.inter, line 2: expected a item_id, got an empty cell"),
        ({"inter": INTER + "1\t2\t3\t4\n9\t2\t3\t4\n"}, r"shop\.inter, line 3: user '9' is not in .*shop\.user"),
        ({"inter": INTER + "1\t99\t3\t4\n"}, r"shop\.inter, line 2: item '99' is not in .*shop\.item"),
        ({"user": "user_id:token\n1\n2\n1\n"}, r"shop\.user, line 4: user_id '1' occurs a second time, the first was line 2"),
        ({"link": SHOP["link"] + "10\tm.2\n"}, r"shop\.link, line 4: item_id '10' occurs a second time, the first was line 2"),
        ({"link": SHOP["link"] + "2\tm.1\n"}, r"shop\.link, line 4: entity_id 'm\.1' occurs a second time"),
        ({"link": SHOP["link"] + "99\tm.2\n"}, r"shop\.link, line 4: item '99' is not in"),
        ({"kg": "head_id:token\trelation_id:token\n"}, r"shop\.kg: missing field 'tail_id'"),
        ({"item": SHOP["item"] + "8\tA\udcff\t1\t1\n"}, r"shop\.item, line 5: expected UTF-8, got byte 0xff"),
        ({"item": SHOP["item"] + "8\tA\t1\t1 x\n"}, r"shop\.item, line 5: expected numbers as size:float_seq, got 'x'"),
        ({"user": "user_id:token\tprice:token\n1\ta\n2\tb\n"}, r"field 'price' is of other types for users and items"),
        ({"item": "item_id:token\tentity_id:token\n10\ta\n2\tb\n7\tc\n"}, r"cannot be named 'entity_id'"),
        ({"kg": "head_id:token\trelation_id:token\ttail_id:token\nm.1\tinteracts\tm.9\n"}, r"have a relation 'interacts'"),
        ({"inter": "user_id:token\titem_id:token\tsplit:float\n1\t2\t3\n"}, r"field 'split' cannot become the edge attribute"),
        ({"inter": "user_id:token\titem_id:token\ttime:float\ttimestamp:float\n1\t2\t3\t4\n"}, r"'timestamp' cannot become"),
    ],
)  # fmt: skip
def test_errors_name_file_and_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_recbole(write(tmp_path / "a", SHOP | files))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"user": SHOP["user"]}, r"expected the \.inter files of one dataset, found none"),
        ({"train.inter": PARTS["train.inter"]}, r"found 'shop\.train\.inter', but not 'shop\.valid\.inter'"),
        ({"test.inter": PARTS["test.inter"], "valid.inter": PARTS["valid.inter"]}, r"but not 'shop\.train\.inter'"),
        (PARTS | {"test.inter": "user_id:token\titem_id:token\n1\t7\n"}, r"test\.inter: expected the fields of .*train\.inter"),
        (PARTS | {"test.inter": INTER + "2\t7\t1\t130\n1\t2\t1\t50\n"},
         r"test\.inter, line 3: user:1 and item:2 occur a second time at the same time, the first was .*train\.inter, line 2"),
    ],
)  # fmt: skip
def test_files_that_make_no_split_are_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_recbole(write(tmp_path / "a", files))


def test_several_datasets_in_a_folder_need_a_name(tmp_path: Path) -> None:
    folder = write(write(tmp_path / "a", SHOP), {"inter": SHOP["inter"]}, name="other")
    with pytest.raises(InputError, match="those of 'other', 'shop'; give a name"):
        read_recbole(folder)
    assert raw_of(read_recbole(folder, name="other")).num_nodes == 4
    with pytest.raises(InputError, match=r"third\.inter: file not found"):
        read_recbole(folder, name="third")


def test_a_folder_is_recognised(tmp_path: Path) -> None:
    assert looks_like_recbole(write(tmp_path / "a", {"train.inter": INTER}))
    assert not looks_like_recbole(write(tmp_path / "b", {"item": SHOP["item"]}))
    assert not looks_like_recbole(write(tmp_path / "c", {"inter": "userID\titemID\n1\t2\n"}))
    assert not looks_like_recbole(tmp_path / "missing")


def assert_equal(one: Bundle, other: Bundle) -> None:
    a, b = raw_of(one), raw_of(other)
    assert (a.name, a.node_ids, a.node_types) == (b.name, b.node_ids, b.node_types)
    assert torch.equal(a.node_type, b.node_type)
    assert a.content == b.content
    assert (a.columns is None) == (b.columns is None)
    if a.columns is not None and b.columns is not None:
        assert a.columns.to_pydict() == b.columns.to_pydict()
        assert a.columns.schema == b.columns.schema
    assert list(a.relations) == list(b.relations)
    for name, relation in a.relations.items():
        assert edges(a, name) == edges(b, name)
        assert {k: v.dtype for k, v in relation.attributes.items()} == {
            k: v.dtype for k, v in b.relations[name].attributes.items()
        }
        assert relation.reverse == b.relations[name].reverse
    assert {name: split.digest for name, split in one.splits.items()} == {
        name: split.digest for name, split in other.splits.items()
    }


@pytest.mark.parametrize("files", [SHOP, SHOP | PARTS, {"inter": SHOP["inter"]}], ids=["whole", "benchmark", "inter"])
@pytest.mark.parametrize("text_field", [None, "title"])
def test_what_was_read_is_written(tmp_path: Path, files: dict[str, str], text_field: str | None) -> None:
    text_field = text_field if "item" in files else None
    bundle = read_recbole(write(tmp_path / "a", files), text_field=text_field)
    write_recbole(bundle, tmp_path / "b", text_field=text_field)
    assert_equal(bundle, read_recbole(tmp_path / "b", text_field=text_field))


def test_written_files_are_the_files_that_were_read(tmp_path: Path) -> None:
    files = {ending: SHOP[ending] for ending in ("item", "link")} | PARTS
    write_recbole(read_recbole(write(tmp_path / "a", files)), tmp_path / "b")
    for part, text in PARTS.items():
        written = (tmp_path / "b" / f"shop.{part}").read_text().splitlines()
        assert sorted(line.split("\t") for line in written[1:]) == sorted(
            [user, item, *({"4": "4.0", "5": "5.0", "1": "1.0", "2": "2.0"}.get(r, r) for r in rest[:1]), time]
            for user, item, *rest, time in (line.split("\t") for line in text.splitlines()[1:])
        )
    assert (tmp_path / "b" / "shop.link").read_text() == SHOP["link"]
    with pytest.raises(InputError, match="already exists"):
        write_recbole(read_recbole(tmp_path / "a"), tmp_path / "b")
    write_recbole(read_recbole(tmp_path / "a"), tmp_path / "b", overwrite=True)


def test_an_item_without_a_link_gets_one_for_its_triples(tmp_path: Path) -> None:
    raw = raw_of(read_recbole(write(tmp_path / "a", SHOP)))
    write_recbole(Bundle(replace(raw, columns=None)), tmp_path / "b")
    assert (tmp_path / "b" / "shop.link").read_text().splitlines()[1:] == ["10\titem:10", "7\titem:7"]
    again = raw_of(read_recbole(tmp_path / "b"))
    assert edges(again, "item__like__item") == [("item:10", "item:7")]


def test_times_come_from_the_graph_where_the_split_has_none(tmp_path: Path) -> None:
    raw = raw_of(read_recbole(write(tmp_path / "a", SHOP)))
    split = split_leave_last_out(raw, "interacts")
    assert "rating" not in split.table.column_names
    write_recbole(Bundle(raw, {"last": split}), tmp_path / "b")  # the graph has all its edges
    again = read_recbole(tmp_path / "b").splits["official"]
    rows = {(r["user"], r["item"]): (r["rating"], r["split"]) for r in again.table.to_pylist()}
    assert {pair: rating for pair, (rating, _) in rows.items()} == {
        ("user:1", "item:2"): 3.5,
        ("user:2", "item:10"): 4.0,
        ("user:2", "item:2"): 5.0,
    }
    assert {part for _, part in rows.values()} == {"train", "test"}


def change(raw: RawGraph, name: str, **changes: Any) -> RawGraph:
    return replace(raw, relations={**raw.relations, name: replace(raw.relations[name], **changes)})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda g: replace(g, node_types=("thing", "item", "user"), relations={}), "it holds nodes of the types 'user', 'item', 'entity', not 'thing'"),
        (lambda g: replace(g, relations={}), "unknown relation 'interacts'"),
        (lambda g: replace(g, content={"image": [None] * g.num_nodes}), "no place for 'modality image'; leave them out with without=..modalities"),
        (lambda g: replace(g, content={"text": ["a"] * g.num_nodes}), "no place for '2 texts of entities'; leave them out with without=..modalities"),
        (lambda g: replace(g, content={"text": ["a"] + [None] * (g.num_nodes - 1)}), "'user' nodes have texts; give a field for them with text_field"),
        (lambda g: replace(g, columns=pa.table({"x": ["a\tb"] + ["c"] * 7})), "no place for 'column x of entities'; leave them out with without=..columns"),
        (lambda g: replace(g, columns=pa.table({"x": ["a\tb", *[None] * 7]})), r"field 'x': a token can neither be empty .*'a\\tb'"),
        (lambda g: replace(g, columns=pa.table({"x": ["", *[None] * 7]})), r"field 'x': a token can neither be empty"),
        (lambda g: replace(g, columns=pa.table({"x": [["a b"], *[None] * 7]})), "an element of a sequence cannot hold a blank"),
        (lambda g: replace(g, columns=pa.table({"x": [True, *[None] * 7]})), "no place for 'column x of type bool'; leave them out with without=..columns"),
        (lambda g: replace(g, columns=pa.table({"x": [float("nan"), *[None] * 7]})), "expected a finite number, got nan"),
        (lambda g: replace(g, columns=pa.table({"a:b": ["x", *[None] * 7]})), "a field cannot be named 'a:b'"),
        (lambda g: replace(g, columns=pa.table({"user_id": ["x", *[None] * 7]})), "a column cannot be named 'user_id'"),
        (lambda g: change(g, "made_by", attributes={"w": torch.ones(1)}), "no place for 'attribute w of made_by'; leave them out with without=..attributes"),
        (lambda g: change(g, "item__like__item", symmetric=True), "relation 'item__like__item': it holds no symmetric relations"),
        (lambda g: change(g, "made_by", edge_index=torch.empty(2, 0, dtype=torch.int64)), "no relation without edges"),
        (lambda g: change(g, "interacts", attributes={"v": torch.ones(3, 2)}), r"no place for 'edge attribute v torch.float32 \[3, 2\]'"),
        (lambda g: replace(g, relations={k: r for k, r in g.relations.items() if k != "entity__like__entity"}),
         "no entity without a triple, got 'entity:m.8'"),
        (lambda g: replace(g, relations={**g.relations, "knows": Relation(torch.tensor([[0], [1]]), "user", "user")}),
         "relation 'knows': it holds relations between 'item' and 'entity', got 'user' to 'user'"),
        (lambda g: change(change(g, "item__like__item", edge_index=torch.tensor([[3, 3], [5, 5]])), "made_by", reverse="makes"),
         "a triple once"),
        (lambda g: change(change(g, "makes", edge_index=torch.tensor([[7], [4]])), "made_by"),
         "declared reverse 'makes' does not hold the same pairs"),
    ],
)  # fmt: skip
def test_what_the_format_cannot_hold_is_refused(tmp_path: Path, edit: Any, message: str) -> None:
    raw = raw_of(read_recbole(write(tmp_path / "a", SHOP)))
    with pytest.raises(InputError, match=message):
        write_recbole(Bundle(edit(raw)), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def split_of(rows: list[tuple[str, str, str]], **settings: Any) -> Split:
    columns = {name: [row[i] for row in rows] for i, name in enumerate(("user", "item", "split"))}
    about = {"relation": "interacts", "user_type": "user", "item_type": "item"} | settings
    return Split("interaction", pa.table(columns), "official", about)


ROWS = [("user:1", "item:2", "train"), ("user:2", "item:10", "train"), ("user:2", "item:2", "test")]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"a": split_of(ROWS), "b": split_of(ROWS)}, "expected one split of kind interaction, got 'a', 'b'; choose one with split="),
        ({"a": Split("node", pa.table({"id": ["item:2"], "split": ["test"]}), "random")}, "expected one split of kind interaction, got 'a'"),
        ({"a": split_of([*ROWS, ("user:1", "item:7", "unused")])}, "'1 unused rows of the split'; leave them out with without=..unused"),
        ({"a": split_of(ROWS[:2])}, r"1 of its edges are in no row of the interaction split 'official', for example \('user:2', 'item:2'\)"),
        ({"a": split_of([*ROWS, ("user:3", "item:7", "test")])},
         "edges have 'rating', 'time', the rows of .* have not, and the graph lacks the edges of 1 rows; .*without=..attributes"),
        ({"a": split_of(ROWS, relation="sees")}, "must be about relation 'interacts', got 'sees'"),
        ({"a": split_of([*ROWS, ("user:9", "item:7", "test")])}, "unknown ids: 'user:9'"),
    ],
)  # fmt: skip
def test_a_split_that_would_lose_rows_or_times_is_refused(
    tmp_path: Path, splits: dict[str, Split], message: str
) -> None:
    raw = raw_of(read_recbole(write(tmp_path / "a", SHOP)))
    with pytest.raises(InputError, match=message):
        write_recbole(Bundle(raw, splits), tmp_path / "b")


def test_unused_rows_are_left_out_on_demand_and_a_split_is_chosen(tmp_path: Path) -> None:
    raw = raw_of(read_recbole(write(tmp_path / "a", SHOP)))
    splits = {"a": split_of([*ROWS, ("user:1", "item:7", "unused")]), "b": split_of(ROWS)}
    write_recbole(Bundle(raw, splits), tmp_path / "b", split="a", without=["unused"])
    assert read_recbole(tmp_path / "b").splits["official"].counts == {"train": 2, "valid": 0, "test": 1, "unused": 0}
    with pytest.raises(InputError, match="unknown split of kind interaction 'c'; choose from: a, b"):
        write_recbole(Bundle(raw, splits), tmp_path / "c", split="c")


def test_ids_without_the_prefix_are_refused(tmp_path: Path) -> None:
    raw = raw_of(read_recbole(write(tmp_path / "a", SHOP)))
    with pytest.raises(InputError, match="ids of 'user' nodes must start with 'u-', got 'user:1'"):
        write_recbole(Bundle(raw), tmp_path / "b", names=RecBoleNames(user_prefix="u-"))
